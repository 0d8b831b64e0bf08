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
"""Bytes that are parsed in one go."""

WINDOW = 2**16
"""Bytes that are counted at once: arrays of a megabyte would be fetched from the system anew each time, as the image
tells the allocator, which takes five times as long as to count them."""

Text = NDArray[np.uint8]


@dataclass(frozen=True)
class Structure:
    """`values`: at most so many, `containers` among them; `keys`: as many as colons; `depth` of the innermost one;
    `long_text`: bytes of the longest string in whole pieces, 0 where none fills a piece.

    Of the outermost container: how many `items` it has, `end`, the place of its bracket, -1 where it has none, and
    `cuts`, the places of the first and the last comma between its items in each piece.
    """

    values: int
    keys: int
    depth: int
    containers: int = 0
    long_text: int = 0
    items: int = 1
    cuts: tuple[int, ...] = ()
    end: int = -1


def structure(data: bytes) -> Structure:
    """Count what `data` holds; for what is no JSON, something."""
    commas = keys = containers = depth = deepest = 0
    items, end, long_text, within = 1, -1, 0, 0
    cuts: list[int] = []
    for start, outside, plain in _outside_strings(data):
        if not plain.size:
            within += len(outside)
            long_text = max(long_text, within)
            continue
        within = 0
        opened = (plain == ord("[")) | (plain == ord("{"))
        closed = (plain == ord("]")) | (plain == ord("}"))
        levels = depth + np.cumsum(opened.astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
        comma = plain == ord(",")
        if end < 0:
            before, ended = _until_the_end(levels, begun=depth > 0)
            found = np.flatnonzero(comma[:before] & (levels[:before] == 1))
            places = np.flatnonzero(outside)
            items += len(found)
            cuts += [start + int(place) for place in places[found[[0, -1]]]] if found.size else []
            end = start + int(places[before]) if ended else -1
        depth, deepest = int(levels[-1]), max(deepest, int(levels.max()))
        commas += int(np.count_nonzero(comma))
        keys += int(np.count_nonzero(plain == ord(":")))
        containers += int(np.count_nonzero(opened))
    return Structure(
        commas + containers + 1, keys, deepest, containers, long_text, items, tuple(dict.fromkeys(cuts)), end
    )


def at_most(data: bytes) -> Structure | None:
    """What a text of one piece holds at most, in a tenth of the time: what stands in strings is counted too, and no
    container is taken to end. None for a longer text.
    """
    if len(data) > PIECE:
        return None
    found = np.frombuffer(data, dtype=np.uint8)
    commas, keys, arrays, objects = (int(np.count_nonzero(found == ord(mark))) for mark in ",:[{")
    return Structure(commas + arrays + objects + 1, keys, arrays + objects, arrays + objects)


def _until_the_end(levels: NDArray[np.int32], *, begun: bool) -> tuple[int, bool]:
    """How far the outermost container goes in a piece, and whether it ends there."""
    first = 0 if begun else int(np.argmax(levels >= 1))
    if not begun and levels[first] < 1:
        return 0, False
    below = levels[first:] < 1
    end = int(np.argmax(below))
    return (first + end, True) if below[end] else (len(levels), False)


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
    window = min(PIECE, WINDOW)
    while start < len(data):
        end = min(start + window, len(data))
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
