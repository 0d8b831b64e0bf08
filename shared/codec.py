"""Documents to bytes and back: canonical JSON, strict, bounded, and never silently of a newer version."""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from shared.decisions import Challenge, Pointer
from shared.documents import SCHEMA_VERSION, Document, FileDigest, Manifest
from shared.errors import InvalidDocument
from shared.layout import is_run_id
from shared.profiles import Golden, Holdout

MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_ITEMS = 1_000_000
"""Values of a document, unless its reader knows better: they cost memory, twenty times as many bytes as their text."""
_WINDOW = 256 * 2**10

T = TypeVar("T", bound=Document)


def encode(document: Document) -> bytes:
    """Canonical JSON with a trailing newline: indented by two spaces, or `on_one_line`.

    Raises ValueError for a number that is not finite.
    """
    plain = msgspec.to_builtins(document)
    _require_finite(plain, type(document).__name__)
    return msgspec.json.format(msgspec.json.encode(document), indent=0 if document.on_one_line else 2) + b"\n"


def decode(data: bytes, kind: type[T], where: str, *, max_items: int = MAX_ITEMS) -> T:
    """Parse `data` as a `kind` of at most `max_items` values.

    Raises InvalidDocument naming `where`, what was expected and what was found.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidDocument(f"{where}: {len(data)} bytes is over the limit of {MAX_DOCUMENT_BYTES}")
    _require_few_items(data, max_items, where)
    try:
        _refuse_newer(data, where)
        document = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"{where}: not a valid {kind.__name__}: {error}") from None
    _check(document, where)
    return document


def encode_gzip(document: Document) -> bytes:
    """`encode`, compressed; the same document gives the same bytes (no timestamp)."""
    return gzip.compress(encode(document), mtime=0)


def decode_gzip(data: bytes, kind: type[T], where: str, *, max_items: int = MAX_ITEMS) -> T:
    """`decode` of compressed data, bounded, so that a small file cannot unfold into all of memory."""
    try:
        plain = _unpacked(data, max_items, where)
    except zlib.error as error:
        raise InvalidDocument(f"{where}: not gzip: {error}") from None
    return decode(plain, kind, where, max_items=max_items)


def _unpacked(data: bytes, max_items: int, where: str) -> bytes:
    """What `data` unfolds to, up to the limit of bytes, and not much further than the limit of values."""
    stream = zlib.decompressobj(wbits=31)
    pieces: list[bytes] = []
    size = commas = 0
    looked_at = max(max_items, 1)
    while not stream.eof and size <= MAX_DOCUMENT_BYTES:
        piece = stream.decompress(stream.unconsumed_tail if pieces else data, _WINDOW)
        if not piece and not stream.eof:
            raise InvalidDocument(f"{where}: the gzip data ends early")
        pieces.append(piece)
        size, commas = size + len(piece), commas + piece.count(b",")
        if commas >= looked_at:  # texts may hold as many
            _require_few_items(b"".join(pieces), max_items, where)
            looked_at = 2 * commas
    return b"".join(pieces)


def digest(data: bytes) -> FileDigest:
    """Size and SHA-256 of `data`."""
    return FileDigest(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def _require_few_items(data: bytes, max_items: int, where: str) -> None:
    """Count values before any is made, a window at a time. Commas within texts are none between values."""
    if data.count(b",") < max_items:
        return
    found = 0
    for separators in _separators(data):
        found += separators
        if found >= max_items:
            raise InvalidDocument(f"{where}: {found + 1} values or more, at most {max_items} are expected")


def _separators(data: bytes) -> Iterator[int]:
    """The commas outside of texts, of each window. A pair of backslashes, or one before a quote, changes no text."""
    import numpy as np  # only where there is much to count

    within, left = 0, b""
    for start in range(0, len(data), _WINDOW):
        window = left + data[start : start + _WINDOW]
        whole = window.rstrip(b"\\")
        left = b"\\" * ((len(window) - len(whole)) % 2)
        codes = np.frombuffer(whole.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
        quotes = np.cumsum(codes == ord('"')) + within
        yield int(np.count_nonzero((codes == ord(",")) & (quotes % 2 == 0)))
        within = int(quotes[-1]) % 2 if len(quotes) else within


class _Version(msgspec.Struct):
    schema_version: int | None = None


def _refuse_newer(data: bytes, where: str) -> None:
    version = msgspec.json.decode(data, type=_Version).schema_version
    if version is not None and version > SCHEMA_VERSION:
        raise InvalidDocument(
            f"{where}: schema_version {version} is newer than {SCHEMA_VERSION}, the newest read here; deploy newer code"
        )


def _check(document: Document, where: str) -> None:
    """What types alone cannot say."""
    if isinstance(document, Manifest | Pointer | Challenge):
        if document.schema_version < 1:
            raise InvalidDocument(f"{where}: schema_version must be 1 or more")
        if not is_run_id(document.run_id):
            raise InvalidDocument(f"{where}: run_id is not of the form <UTC yyyymmddThhmmssZ>-<8 hex>")
    if isinstance(document, Golden) and len(document.rows) != len(document.predictions):
        raise InvalidDocument(f"{where}: {len(document.rows)} rows but {len(document.predictions)} predictions")
    if isinstance(document, Holdout):
        if {len(column) for column in document.columns.values()} - {len(document.target)}:
            raise InvalidDocument(f"{where}: the columns and the target differ in length")
        weights = document.weights
        if weights is not None and (
            len(weights) != len(document.target) or not all(0.0 < w < math.inf for w in weights)
        ):
            raise InvalidDocument(f"{where}: the weights must be above 0, one for each of the targets")


def _require_finite(value: object, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}; JSON has no such number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _require_finite(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _require_finite(item, f"{path}[{position}]")
