"""Slices of rows: which group a cell of a column belongs to, the same at training, in the gate and afterwards. Pure."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from shared.documents import Cell
from shared.metrics import plain

MISSING = "(missing)"
MOST_VALUES = 12
"""A column of numbers with more different ones is sliced into quarters."""
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def labels(cells: Sequence[Cell]) -> list[str]:
    """The slice of each cell: its category, its number, or the quarter of all numbers that it is in."""
    numbers = _numbers(cells)
    if numbers is None:
        return [MISSING if cell is None else str(cell) for cell in cells]
    known = np.array([number for number in numbers if number is not None])
    if len(set(known.tolist())) <= MOST_VALUES:
        return [MISSING if number is None else plain(number, 6) for number in numbers]
    cuts = np.unique(np.quantile(known, QUARTERS))
    names = [f"{plain(cuts[part])} to {plain(cuts[part + 1])}" for part in range(len(cuts) - 1)]
    return [MISSING if number is None else names[_part(cuts, number)] for number in numbers]


def _part(cuts: "np.ndarray[tuple[int], np.dtype[np.float64]]", number: float) -> int:
    return int(np.clip(np.searchsorted(cuts, number, side="right") - 1, 0, len(cuts) - 2))


def _numbers(cells: Sequence[Cell]) -> list[float | None] | None:
    """The cells as numbers, None where some cell is none; a column that the model does not use comes as text."""
    found: list[float | None] = []
    for cell in cells:
        try:
            number = None if cell is None else float(cell)
        except ValueError:
            return None
        if number is not None and not isfinite(number):
            return None
        found.append(number)
    return found if any(number is not None for number in found) else None
