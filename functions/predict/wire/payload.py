"""The body of a request: read within its limit, of a known media type, and JSON in the strict sense.

msgspec refuses NaN, lone surrogates and invalid UTF-8, but takes the last of two equal keys and nests without a limit
of ours. Both are recognised by counting: a flat batch has as many colons as keys and as many brackets as rows, which
costs a few scans at memory speed. Only a body that does not add up, or is larger than a piece, is looked at closely.
"""

import asyncio
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

from functions.predict.wire.strict_json import MAX_NESTING, Parse, decoded, decoded_in_pieces, too_deep
from functions.predict.wire.structure import Structure, at_most, cells, structure
from functions.predict.wire.threads import off_loop
from shared.problems import MAX_PROBLEMS, Problem, Refusal, json_pointer, refuse, shortened
from shared.serving.csv_table import CHARSETS

JSON = "json"
CSV = "csv"
WORKBOOK = "xlsx"
TABLE = "table"
"""A CSV or a workbook, as its first bytes show: for clients that know no type but bytes."""
SMALL_BYTES = 32 * 1024
"""Bodies below are read at once on the event loop; larger ones take milliseconds, which it is not kept waiting for."""

WHOLE = "functions.predict.whole"
"""In the scope of a request whose body has arrived to its end."""

ARCHIVE = b"PK\x03\x04"
"""What every workbook begins with: it may unfold to a thousand times its size."""

LONG_TEXT_BYTES = 256 * 1024
"""A text is parsed in one go; no category and no cell is so long."""
MOST_EFFECTS = 20

MEDIA_TYPES: Mapping[str, str] = {
    JSON: "application/json",
    CSV: "text/csv",
    WORKBOOK: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    TABLE: "application/octet-stream",
}


@dataclass(frozen=True)
class Most:
    """What a JSON body may hold: `values`, arrays and objects among them, and rows, wherever it has its rows."""

    values: int = 2**19
    rows: int = 10_000

    @property
    def containers(self) -> int:
        """The most arrays and objects: the garbage collector looks at each of them, again and again."""
        return max(self.values // 8, 2 * self.rows + 1000)


BATCHES = (JSON, CSV, WORKBOOK, TABLE)
_TABLE_TYPES = {name: kind for kind, name in MEDIA_TYPES.items() if kind != JSON}
_BOM = b"\xef\xbb\xbf"
_MEDIA_TYPE = re.compile(r"\s*([^\s;,]+)\s*(?:;(.*))?", re.ASCII | re.DOTALL)
_JSON_TYPE = re.compile(r"application/(?:json|[a-z0-9!#$&^_.-]+\+json)", re.ASCII)
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.ASCII | re.IGNORECASE)
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_FEW = re.compile(r"\d{1,2}", re.ASCII)
_BRACKETS = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(set(range(256)) - set(b"()"))


async def read(request: Request, max_bytes: int, seconds: float) -> bytes:
    """The whole body. Raises Refusal: 413 as soon as it is known to be larger than `max_bytes`, 408 if it takes longer.

    Raises ClientDisconnect where the caller hangs up before its end.
    """
    require_accepted(declared(request), max_bytes)
    if WHOLE in request.scope:
        return await _received(request, max_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await _received(request, max_bytes)
    except TimeoutError:
        message = f"the body did not arrive within {seconds:g} seconds"
        raise refuse(408, "slow_body", message, {"Connection": "close"}) from None


def is_small(body: bytes) -> bool:
    """Whether what is made of `body` takes little memory and time."""
    return len(body) < SMALL_BYTES and not body.startswith(ARCHIVE)


def declared(request: Request) -> int:
    """The size of the body by its header, -1 where that says nothing."""
    said = _header(request, b"content-length")
    return int(said[:20]) if said.isdigit() else -1


def require_accepted(size: int, max_bytes: int) -> None:
    """Raises Refusal (413)."""
    if size > max_bytes:
        raise _too_large(max_bytes)


async def _received(request: Request, max_bytes: int) -> bytes:
    message = await request.receive()
    body: bytes = message.get("body", b"")
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await request.receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if size > max_bytes:
        raise _too_large(max_bytes)
    if len(chunks) == 1:
        return body
    return b"".join(chunks) if size < SMALL_BYTES else await off_loop(lambda: b"".join(chunks))


def media_type(request: Request, accepted: tuple[str, ...], *, unsaid: str | None = None) -> tuple[str, str | None]:
    """JSON, CSV, WORKBOOK or TABLE, and the charset where one is declared, by the request's headers;
    `unsaid` where they say nothing of the type.

    Raises Refusal (415) where it is not among `accepted`, or the charset is not one that is read.
    """
    if any(name == b"content-encoding" for name, _ in request.scope["headers"]):
        raise refuse(415, "content_encoding", "expected a body without Content-Encoding; send it uncompressed")
    sent = _header(request, b"content-type")
    if sent == b"application/json":  # what nearly every caller sends
        return JSON, None
    if not sent and unsaid is not None:
        return unsaid, None
    match = _MEDIA_TYPE.fullmatch(sent.decode("latin-1"))
    found = match.group(1).lower() if match else ""
    kind = JSON if _JSON_TYPE.fullmatch(found) else _TABLE_TYPES.get(found)
    if match is None or kind not in accepted:
        raise refuse(
            415, "media_type", f"expected the Content-Type {' or '.join(MEDIA_TYPES[name] for name in accepted)}"
        )
    charset = _CHARSET.search(match.group(2) or "")
    return kind, _known_charset(charset.group(1), kind) if charset else None


def _known_charset(declared: str, kind: str) -> str:
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        name = ""
    allowed = CHARSETS if kind == CSV else frozenset({"utf-8", "ascii"})
    if name not in allowed:
        raise refuse(415, "charset", "expected the charset utf-8")
    return name


def _header(request: Request, wanted: bytes) -> bytes:
    """The first header of this name, as Starlette finds it but without a copy of all of them."""
    for name, value in request.scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return b""


def preferred(request: Request) -> str:
    """JSON, or CSV or WORKBOOK where the caller would rather have that, by the Accept header (RFC 9110)."""
    weights: dict[str, float] = {}
    for part in ",".join(request.headers.getlist("accept")).split(","):
        match = _MEDIA_TYPE.fullmatch(part)
        if match:
            weight = _WEIGHT.search(match.group(2) or "")
            weights[match.group(1).lower()] = float(weight.group(1)) if weight else 1.0
    return max((JSON, CSV, WORKBOOK), key=lambda kind: _weight(MEDIA_TYPES[kind], weights))  # of equals the first


def errors_by_row(request: Request) -> bool:
    """Whether rows are answered each for itself, by `?errors=rows`. Raises Refusal (400) for another value."""
    if not request.scope["query_string"]:
        return False
    values = request.query_params.getlist("errors")
    if any(value not in ("rows", "all") for value in values):
        raise refuse(400, "bad_query", "expected errors=rows or errors=all in the address")
    return values[-1:] == ["rows"]


def formulas_kept(request: Request) -> bool:
    """Whether `?formulas=keep` asks for text as it was sent, though a spreadsheet would run it.

    Raises Refusal (400) for another value.
    """
    if not request.scope["query_string"]:
        return False
    values = request.query_params.getlist("formulas")
    if any(value != "keep" for value in values):
        raise refuse(400, "bad_query", "expected formulas=keep in the address")
    return bool(values)


def effects_asked(request: Request) -> int:
    """How many of each row's largest effects `?explain=` asks for, 0 where it does not.

    Raises Refusal (400) for anything but a number from 1 to 20.
    """
    if not request.scope["query_string"]:
        return 0
    values = request.query_params.getlist("explain")
    if any(not _FEW.fullmatch(value) or not 1 <= int(value) <= MOST_EFFECTS for value in values):
        raise refuse(400, "bad_query", f"expected explain= with a number from 1 to {MOST_EFFECTS} in the address")
    return int(values[-1]) if values else 0


def _weight(name: str, weights: Mapping[str, float]) -> float:
    family = f"{name.split('/', 1)[0]}/*"
    return next((weights[key] for key in (name, family, "*/*") if key in weights), 0.0)


def parse_json(body: bytes, most: Most = Most(), parse: Parse = decoded) -> Any:
    """The value in `body`; `parse` reads a piece of it. Raises Refusal: 400 for what is not strict JSON, 413 for more
    than `most`."""
    data = body.removeprefix(_BOM)
    if not data.strip():
        raise refuse(400, "empty_body", "expected a JSON document, found an empty body")
    if len(data) < SMALL_BYTES:
        value = parse(data, 0)
        if _flat_counts(value) != (data.count(b"{") + data.count(b"["), data.count(b":")):
            _check_closely(data, value)
        return value
    few = at_most(data)
    if few is None or few.values > most.values:
        found = _require_little(data, most)
        value = decoded_in_pieces(data, found, most.rows, parse)
    else:
        value = parse(data, 0)
        if _flat_counts(value) == (few.containers, few.keys):
            return value
        found = _require_little(data, most)
    if found.keys != _flat_counts(value)[1] and found.keys != _count_keys(value):
        raise Refusal(400, _duplicates(data))
    return value


def _require_little(data: bytes, most: Most) -> Structure:
    """What `data` holds, before it is parsed. Raises Refusal: 400 where it nests too deep, 413 for too much."""
    found = structure(data)
    if found.depth > MAX_NESTING:
        raise too_deep()
    if found.values > most.values:
        raise _too_many("values", found.values, most.values)
    if found.containers > most.containers:
        raise _too_many("rows", found.containers, most.containers, "rows, or other arrays and objects")
    if found.long_text >= LONG_TEXT_BYTES:
        message = f"the body holds a text of more than {LONG_TEXT_BYTES} bytes"
        raise refuse(413, "text_too_long", message)
    return found


def require_few_cells(body: bytes, max_cells: int) -> None:
    """Raises Refusal (413) for a CSV that may have more cells than are accepted."""
    found = cells(body) if len(body) >= SMALL_BYTES else 0
    if found > max_cells:
        raise _too_many("cells", found, max_cells)


def _flat_counts(value: Any) -> tuple[int, int]:
    """Brackets and keys of a row, of rows, or of rows in an envelope; (-1, -1) for any other shape."""
    if type(value) is list:
        rows, containers, keys = value, 1, 0
    elif type(value) is dict and type(value.get("instances")) is list:
        rows, containers, keys = value["instances"], 2, len(value)
    elif type(value) is dict:
        return 1, len(value)
    else:
        return 0, 0
    try:
        return containers + len(rows), keys + sum(map(dict.__len__, rows))
    except TypeError:  # a row that is no object
        return -1, -1


def _check_closely(data: bytes, value: Any) -> None:
    plain = _STRING.sub(b'""', data)
    nested = plain.translate(_BRACKETS).translate(None, _NO_BRACKETS)
    for _ in range(MAX_NESTING):
        nested = nested.replace(b"()", b"")  # peels the innermost level of every branch
    if nested:
        raise too_deep()
    if plain.count(b":") != _count_keys(value):
        raise Refusal(400, _duplicates(data))


def _count_keys(value: Any) -> int:
    keys, level = 0, [value]
    while level:
        keys += sum(len(item) for item in level if type(item) is dict)
        members = [item.values() if type(item) is dict else item for item in level if type(item) in (dict, list)]
        level = [member for group in members for member in group if type(member) in (dict, list)]
    return keys


def _duplicates(data: bytes) -> list[Problem]:
    names: dict[str, None] = {}

    def note(pairs: list[tuple[str, Any]]) -> None:
        """Keeps the names that come twice, and nothing of the document."""
        found: set[str] = set()
        for name, _ in pairs:
            if name in found and len(names) <= MAX_PROBLEMS:
                names[name] = None
            found.add(name)

    json.loads(data, object_pairs_hook=note)
    return [
        Problem(json_pointer(name), "duplicate_key", f"the key {shortened(name)!r} stands twice in one object")
        for name in names
    ]


def _too_many(what: str, found: int, most: int, described: str = "") -> Refusal:
    message = f"the body holds about {found} {described or what}, at most {most} are accepted: send fewer rows at once"
    return refuse(413, f"too_many_{what}", message)


def _too_large(max_bytes: int) -> Refusal:
    return refuse(413, "body_too_large", f"the body is larger than the {max_bytes} bytes that are accepted")
