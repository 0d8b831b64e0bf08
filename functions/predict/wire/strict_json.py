"""Strict JSON: no NaN, no lone surrogates, valid UTF-8. Large texts are parsed piece by piece.

The parser lets no other thread run, so that a large text in one go would keep every other request waiting.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from shared.problems import Refusal, refuse

MAX_NESTING = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PLACE = re.compile(r"\(byte (\d+)\)")


def decoded(data: bytes, skipped: int = 0) -> Any:
    """The value in `data`, before which `skipped` bytes of the body stand. Raises Refusal (400)."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:  # well-formed, but a number is beyond double precision
        return _decoded_with_infinities(data)
    except msgspec.DecodeError as error:
        surrogate = "truncated" in str(error) and _SURROGATE.search(data)
        told = _PLACE.sub(lambda found: f"(byte {int(found[1]) + skipped})", str(error))
        reason = "it holds half of a surrogate pair" if surrogate else told
        raise refuse(400, "malformed_json", f"the body is not valid JSON: {reason}") from None
    except UnicodeDecodeError:
        raise refuse(400, "invalid_utf8", "the body is not valid UTF-8") from None
    except RecursionError:
        raise too_deep() from None


def decoded_in_pieces(data: bytes, cuts: Sequence[int], opening: re.Match[bytes] | None) -> Any:
    """The array in `data`, or the object whose first member it is, cut at commas between its items.

    `opening`: how it begins, up to the array's bracket; of any other shape it is parsed in one go. Each piece is an
    array of its own, with at least one item: what is valid piece by piece is valid as a whole. Raises Refusal (400).
    """
    if opening is None:
        return decoded(data)
    inside = opening.group().lstrip().startswith(b"{")
    head = decoded(data[: cuts[0]] + (b"]}" if inside else b"]"))
    name = next(iter(head)) if inside else ""
    rows = _items(head[name] if inside else head)
    for before, cut in pairwise(cuts):
        rows += _items(decoded(b"[" + data[before + 1 : cut] + b"]", before))
    last = cuts[-1] + 1
    tail = decoded(opening.group() + data[last:], last - len(opening.group()))
    rows += _items(tail[name] if inside else tail)
    return {**tail, name: rows} if inside else rows


def too_deep() -> Refusal:
    """The refusal of what nests too deep."""
    return refuse(400, "too_deep", f"the JSON is nested more than {MAX_NESTING} levels deep")


def _items(value: Any) -> list[Any]:
    if type(value) is not list or not value:
        raise refuse(400, "malformed_json", "the body is not valid JSON: a value is missing beside a comma")
    return value


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
