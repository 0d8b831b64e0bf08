"""A column of the rows held out as another model than the one they were held out for reads it. Pure.

What the newer model uses is there as it was read, the rest as the text of the table.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from shared.cells import day_in, is_missing, number_in, truth_in
from shared.documents import Cell, CellFormat, Feature, Kind
from shared.spelling import folded

_READ: Mapping[Kind, Callable[[str, CellFormat], float | None]] = {"boolean": truth_in, "date": day_in}


def readable_by(feature: Feature, cells: Sequence[Cell] | None) -> bool:
    """Whether every cell can be what `feature` is: a number, date or truth value, or a word. None: no such column."""
    if cells is None:
        return False
    if feature.kind == "categorical":
        return all(cell is None or isinstance(cell, str) for cell in cells)
    return all(cell is None or _is_missing(feature, cell) or _number(feature, cell) is not None for cell in cells)


def as_read_by(feature: Feature, cells: Sequence[Cell]) -> list[Cell]:
    """The cells for the graph of a model with `feature`: numbers, or categories in the spelling that it has learnt."""
    if feature.kind == "categorical":
        spelling = {folded(category): category for category in feature.categories or ()}
        return [cell if cell is None else spelling.get(folded(str(cell)), str(cell)) for cell in cells]
    return [None if cell is None or _is_missing(feature, cell) else _number(feature, cell) for cell in cells]


def _is_missing(feature: Feature, cell: bool | float | str) -> bool:
    return isinstance(cell, str) and bool(cell.strip()) and is_missing(cell, feature.format)


def _number(feature: Feature, cell: bool | float | str) -> float | None:
    if not isinstance(cell, str):
        return float(cell)
    number = _READ.get(feature.kind, number_in)(cell.strip(), feature.format)
    if number is None and feature.kind == "date":
        number = day_in(cell)  # a newer model's holdout has dates in its own column's form
    return number if number is not None and isfinite(number) else None
