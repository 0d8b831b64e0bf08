"""Strict JSON: no NaN, no lone surrogates, valid UTF-8. Large texts are parsed piece by piece.

The parser lets no other thread run, so that a large text in one go would keep every other request waiting.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from functions.predict.wire import structure as structures
from functions.predict.wire.structure import Structure, structure
from shared.problems import Refusal, refuse
from shared.serving.sent_table import MOST_COLUMNS

MAX_NESTING = 32
MOST_FIELDS = 2**17
"""Members of one object: each that is not known is a problem of its own."""

MOST_LEVELS = 5
"""Containers within each other that are taken apart, each of which is counted anew: as many as a protocol has."""

Parse = Callable[[bytes, int], Any]
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PLACE = re.compile(r"\(byte (\d+)\)")
_OPENING = re.compile(rb"[ \t\r\n]*([\[{])")
_BLANK = re.compile(rb"[ \t\r\n]*")
_KEY = re.compile(rb'\s*("(?:[^"\\]++|\\.)*+")\s*:', re.DOTALL)
_CLOSING = {b"[": b"]", b"{": b"}"}


def decoded(data: bytes, skipped: int = 0) -> Any:
    """The value in `data`, before which `skipped` bytes of the body stand. Raises Refusal (400)."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:  # well-formed, but a number is beyond double precision
        return _decoded_with_infinities(data)
    except msgspec.DecodeError as error:
        surrogate = "truncated" in str(error) and _SURROGATE.search(data)
        message = _PLACE.sub(lambda found: f"(byte {int(found[1]) + skipped})", str(error))
        raise malformed("it holds half of a surrogate pair" if surrogate else message) from None
    except UnicodeDecodeError:
        raise refuse(400, "invalid_utf8", "the body is not valid UTF-8") from None
    except RecursionError:
        raise too_deep() from None


def decoded_in_pieces(
    data: bytes, found: Structure, most_rows: int, parse: Parse = decoded, *, skipped: int = 0, level: int = 1
) -> Any:
    """The value in `data`, in which `found` stands: what is valid piece by piece is valid as a whole.

    `parse` reads one piece. Raises Refusal: 400, or 413 for a large array of more than `most_rows` items and a large
    object of more members than `MOST_FIELDS`.
    """
    opening = _OPENING.match(data)
    if len(data) <= 2 * structures.PIECE or opening is None or level > MOST_LEVELS:
        return parse(data, skipped)
    _require_whole(data, found, opening[1])
    if _BLANK.fullmatch(data, opening.end(), found.end):
        return [] if opening[1] == b"[" else {}
    if opening[1] == b"{":
        _require_few("fields", found.items, MOST_FIELDS)
    else:
        _require_few("rows", found.items, max(most_rows, MOST_COLUMNS))

    def inner(item: bytes, before: int) -> Any:
        return decoded_in_pieces(item, structure(item), most_rows, parse, skipped=before, level=level + 1)

    pieces = _pieces(data, opening.end() - 1, found)
    if opening[1] == b"[":
        return [value for piece, place in pieces for value in _items(piece, skipped + place, parse, inner)]
    members: dict[str, Any] = {}
    for piece, place in pieces:
        members.update(_members(piece, skipped + place, parse, inner))
    return members


def _require_few(what: str, items: int, most: int) -> None:
    if items > most:
        message = f"a part of the body has {items} {what}, at most {most} are accepted: send fewer at once"
        raise refuse(413, f"too_many_{what}", message)


def _require_whole(data: bytes, found: Structure, opening: bytes) -> None:
    if found.end < 0:
        raise malformed("it ends before its last bracket")
    if data[found.end : found.end + 1] != _CLOSING[opening] or not _BLANK.fullmatch(data, found.end + 1):
        raise malformed(f"it goes on after its last bracket (byte {found.end})")


def _pieces(data: bytes, start: int, found: Structure) -> Iterator[tuple[bytes, int]]:
    """What stands between the cuts, with its place. Of more than a piece it is one item."""
    for before, cut in pairwise((start, *found.cuts, found.end)):
        yield data[before + 1 : cut], before + 1


def _items(piece: bytes, place: int, parse: Parse, inner: Parse) -> list[Any]:
    if len(piece) > 2 * structures.PIECE:
        return [inner(piece, place)]
    values: list[Any] = parse(b"[" + piece + b"]", place - 1)
    if type(values) is not list or not values:
        raise malformed("a value is missing beside a comma")
    return values


def _members(piece: bytes, place: int, parse: Parse, inner: Parse) -> dict[str, Any]:
    if len(piece) > 2 * structures.PIECE:
        key = _KEY.match(piece)
        if key is None:
            raise malformed(f"a name is missing (byte {place})")
        (name,) = parse(b"{" + key[1] + b":0}", place)
        return {name: inner(piece[key.end() :], place + key.end())}
    members: dict[str, Any] = parse(b"{" + piece + b"}", place - 1)
    if type(members) is not dict or not members:
        raise malformed("a member is missing beside a comma")
    return members


def malformed(reason: str) -> Refusal:
    """The refusal of what is no JSON."""
    return refuse(400, "malformed_json", f"the body is not valid JSON: {reason}")


def too_deep() -> Refusal:
    """The refusal of what nests too deep."""
    return refuse(400, "too_deep", f"the JSON is nested more than {MAX_NESTING} levels deep")


def _decoded_with_infinities(data: bytes) -> Any:
    """Numbers beyond double precision become infinite, so that they are refused by field, as out of range."""

    def constant(_: str) -> float:
        raise ValueError

    try:
        value = json.loads(data.decode(), parse_int=float, parse_float=float, parse_constant=constant)
        json.dumps(value, ensure_ascii=False).encode()  # meets every lone surrogate
    except RecursionError:
        raise too_deep() from None
    except ValueError:
        raise refuse(400, "malformed_json", "the body is not valid JSON") from None
    return value
