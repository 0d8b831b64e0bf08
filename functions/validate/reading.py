"""A column of the rows held out as another model than the one they were held out for reads it. Pure.

What the newer model uses is there as it was read, the rest as the text of the table.
"""

from collections.abc import Sequence
from math import isfinite

from shared.dataset import folded
from shared.documents import Cell, Feature


def readable_by(feature: Feature, cells: Sequence[Cell] | None) -> bool:
    """Whether every cell can be what `feature` is: a number, or one of its kind of words. None: no such column."""
    if cells is None:
        return False
    if feature.kind == "categorical":
        return all(cell is None or isinstance(cell, str) for cell in cells)
    return all(cell is None or _number(cell) is not None for cell in cells)


def as_read_by(feature: Feature, cells: Sequence[Cell]) -> list[Cell]:
    """The cells for the graph of a model with `feature`: numbers, or categories in the spelling that it has learnt."""
    if feature.kind == "categorical":
        spelling = {folded(category): category for category in feature.categories or ()}
        return [cell if cell is None else spelling.get(folded(str(cell)), str(cell)) for cell in cells]
    return [None if cell is None else _number(cell) for cell in cells]


def _number(cell: float | str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if isfinite(number) and "_" not in str(cell) else None  # as Python's own literals may be written
