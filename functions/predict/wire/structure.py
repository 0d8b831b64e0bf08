"""What a JSON text holds, counted before anything is made of it: values, keys and depth, in the memory of one piece.

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
    """`values`: at most so many, containers among them; `keys`: as many as colons; `depth` of the innermost one."""

    values: int
    keys: int
    depth: int


def structure(data: bytes) -> Structure:
    """Count what `data` holds; for what is no JSON, something."""
    commas = keys = containers = depth = deepest = 0
    for plain in _outside_strings(data):
        opened = (plain == ord("[")) | (plain == ord("{"))
        closed = (plain == ord("]")) | (plain == ord("}"))
        levels = depth + np.cumsum(opened.astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
        if levels.size:
            depth, deepest = int(levels[-1]), max(deepest, int(levels.max()))
        commas += int(np.count_nonzero(plain == ord(",")))
        keys += int(np.count_nonzero(plain == ord(":")))
        containers += int(np.count_nonzero(opened))
    return Structure(commas + containers + 1, keys, deepest)


def cells(data: bytes) -> int:
    """At most so many cells has the table in `data`, whichever of the usual characters parts them."""
    delimiters, lines = dict.fromkeys(DELIMITERS.encode(), 0), 0
    for plain in _outside_strings(data, escapes=False):
        lines += int(np.count_nonzero(plain == ord("\n")) + np.count_nonzero(plain == ord("\r")))
        for delimiter in delimiters:
            delimiters[delimiter] += int(np.count_nonzero(plain == delimiter))
    return max(delimiters.values()) + lines + 1


def _outside_strings(data: bytes, *, escapes: bool = True) -> Iterator[Text]:
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
        yield found[parity == 0]
        within = int(parity[-1])
        start = end
