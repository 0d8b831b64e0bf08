"""What a JSON text holds, counted before anything is made of it: values, keys and depth, in the memory of one piece;
and where it can be cut, so that it need not be parsed in one go.

The cost of a tree is that of its values, up to a hundred bytes for two of text. Strings are told by their quotes, at
the speed of arrays; whether the text is JSON at all, the parser says.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.serving.csv_table import DELIMITERS

PIECE = 2**18
Text = NDArray[np.uint8]


@dataclass(frozen=True)
class Structure:
    """`values`: at most so many, containers among them; `keys`: as many as colons; `depth` of the innermost one.

    `cuts`: places of commas between the items of the outermost array, or of one within an object; one in a piece.
    """

    values: int
    keys: int
    depth: int
    cuts: tuple[int, ...] = ()


def structure(data: bytes, level: int = 1) -> Structure:
    """Count what `data` holds; for what is no JSON, something. `level` of the containers that may be cut."""
    commas = keys = containers = depth = deepest = 0
    cuts: list[int] = []
    ended = False
    for start, outside, plain in _outside_strings(data):
        opened = (plain == ord("[")) | (plain == ord("{"))
        closed = (plain == ord("]")) | (plain == ord("}"))
        levels = depth + np.cumsum(opened.astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
        if levels.size:
            if not ended:
                before, ended = _until_the_end(levels, level, begun=depth >= level)
                cuts += [start + place for place in _last_comma(outside, plain[:before], levels[:before], level)]
            depth, deepest = int(levels[-1]), max(deepest, int(levels.max()))
        commas += int(np.count_nonzero(plain == ord(",")))
        keys += int(np.count_nonzero(plain == ord(":")))
        containers += int(np.count_nonzero(opened))
    return Structure(commas + containers + 1, keys, deepest, tuple(cuts))


def at_most(data: bytes) -> Structure | None:
    """What a text of one piece holds at most, in a tenth of the time: what stands in strings is counted too, and no
    container is taken to end. None for a longer text.
    """
    if len(data) > PIECE:
        return None
    found = np.frombuffer(data, dtype=np.uint8)
    commas, keys, arrays, objects = (int(np.count_nonzero(found == ord(mark))) for mark in ",:[{")
    return Structure(commas + arrays + objects + 1, keys, arrays + objects)


def _until_the_end(levels: NDArray[np.int32], level: int, *, begun: bool) -> tuple[int, bool]:
    """How far the first container of `level` goes in a piece, and whether it ends there."""
    first = 0 if begun else int(np.argmax(levels >= level))
    if not begun and levels[first] < level:
        return 0, False
    below = levels[first:] < level
    end = int(np.argmax(below))
    return (first + end, True) if below[end] else (len(levels), False)


def _last_comma(outside: NDArray[np.bool_], plain: Text, levels: NDArray[np.int32], level: int) -> list[int]:
    found = np.flatnonzero((plain == ord(",")) & (levels == level))
    return [int(np.flatnonzero(outside)[found[-1]])] if found.size else []


def cells(data: bytes) -> int:
    """At most so many cells has the table in `data`, whichever of the usual characters parts them."""
    delimiters, lines = dict.fromkeys(DELIMITERS.encode(), 0), 0
    for _, _, plain in _outside_strings(data, escapes=False):
        lines += int(np.count_nonzero(plain == ord("\n")) + np.count_nonzero(plain == ord("\r")))
        for delimiter in delimiters:
            delimiters[delimiter] += int(np.count_nonzero(plain == delimiter))
    return max(delimiters.values()) + lines + 1


def _outside_strings(data: bytes, *, escapes: bool = True) -> Iterator[tuple[int, NDArray[np.bool_], Text]]:
    """Each piece by its place, which of its bytes are outside of strings, and those."""
    within = start = 0
    while start < len(data):
        end = min(start + PIECE, len(data))
        piece = data[start:end]
        if escapes and b"\\" in piece:
            if end < len(data) and (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # what the last one escapes comes next
                end -= 1
                piece = piece[:-1]
            piece = piece.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        found = np.frombuffer(piece, dtype=np.uint8)
        parity = (np.cumsum(found == ord('"'), dtype=np.int32) + within) & 1
        outside = parity == 0
        yield start, outside, found[outside]
        within = int(parity[-1])
        start = end
