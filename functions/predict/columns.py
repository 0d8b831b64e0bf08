"""The coercion table, one class for each kind of feature: cells as they were sent become cells as the graph reads them.

`accepts` is the rule of a column for one cell. `accepts_all` applies it to a whole batch in one step where every cell
is plainly good, so that only the others cost time.
"""

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.dataset import folded, normalized
from shared.documents import Feature
from shared.model_runtime import MISSING_TEXT
from shared.problems import Bounds

MAX_ALLOWED_LISTED = 100
_LARGEST = sys.float_info.max
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_JSON_NAMES: Mapping[type, str] = {bool: "a boolean", str: "text", dict: "an object", list: "an array"}


class Absent:
    """The cell of a field that the row does not have."""


class Skipped:
    """The cell of a row or a column about which a problem was found already."""


ABSENT = Absent()
SKIPPED = Skipped()


@dataclass(frozen=True)
class Defect:
    """Why a cell was refused."""

    code: str
    message: str
    allowed: tuple[str, ...] | Bounds | None = None


Defects = Iterator[tuple[int, Defect]]
"""Defects with the positions of their cells."""


class CategoricalColumn:
    """Text, matched without regard to case, surrounding space and apostrophe; answers in the trained spelling."""

    missing = MISSING_TEXT

    def __init__(self, feature: Feature) -> None:
        categories = feature.categories or ()
        self.name = feature.name
        self._nullable = feature.nullable
        self._exact: dict[object, str] = {category: category for category in categories}
        if feature.nullable:
            self._exact[None] = self.missing
        self._folded = {folded(category): category for category in reversed(categories)}
        self._longest = 16 + 4 * max(map(len, self._folded), default=0)
        self._unknown = _unknown_category(categories)

    def accepts(self, cell: object) -> str | Defect:
        """The graph's cell for `cell`, or why it is refused."""
        try:
            return self._exact[cell]
        except (KeyError, TypeError):  # TypeError: an unhashable array or object
            return self._accepts_closely(cell)

    def accepts_all(self, cells: Sequence[object]) -> Sequence[str] | None:
        """The graph's cells, or None where one of them is in no trained spelling."""
        try:
            return list(map(self._exact.__getitem__, cells))
        except (KeyError, TypeError):
            return None

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[str], Defects]:
        """The graph's cells, missing where there is a defect, and the defects, found while they are asked for."""
        texts = {cell: self.accepts(cell) for cell in {cell for cell in cells if isinstance(cell, str)}}
        found = [texts[cell] if isinstance(cell, str) else self.accepts(cell) for cell in cells]
        return [self.missing if isinstance(cell, Defect) else cell for cell in found], _defects(found)

    def from_text(self, cells: Sequence[str]) -> list[object]:
        """Cells of a CSV as cells of JSON: only the empty one is missing."""
        return [cell if cell.strip() else None for cell in cells]

    def _accepts_closely(self, cell: object) -> str | Defect:
        if isinstance(cell, str):
            return self._trained_spelling(cell) or self._unknown
        return _without_value(cell, "text", self._unknown.allowed) or self.missing

    def _trained_spelling(self, text: str) -> str | None:
        plain = normalized(text)
        if plain in self._exact:
            return self._exact[plain]
        return self._folded.get(folded(plain)) if len(plain) <= self._longest else None


class NumericColumn:
    """JSON numbers within the feature's range; a boolean is not a number."""

    missing = math.nan

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._nullable = feature.nullable
        self._low = -_LARGEST if feature.min is None else feature.min
        self._high = _LARGEST if feature.max is None else feature.max
        bounds = None if feature.min is None and feature.max is None else Bounds(min=feature.min, max=feature.max)
        self._out_of_range = Defect("out_of_range", _range_message(feature.min, feature.max), bounds)

    def accepts(self, cell: object) -> float | Defect:
        """The graph's cell for `cell`, or why it is refused."""
        if type(cell) is float or type(cell) is int:
            return cell if self._low <= cell <= self._high else self._out_of_range
        if cell is None and self._nullable:
            return self.missing
        return _without_value(cell, "a number", None) or self.missing

    def accepts_all(self, cells: Sequence[object]) -> Sequence[float] | None:
        """The graph's cells, or None where one of them is no number within the range."""
        if not set(map(type, cells)) <= {float, int}:
            return None
        numbers: Sequence[float] = cells  # type: ignore[assignment]
        ends = (min(numbers), max(numbers)) if numbers else ()
        return None if any(isinstance(self.accepts(end), Defect) for end in ends) else numbers

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[float], Defects]:
        """The graph's cells, missing where there is a defect, and the defects, found while they are asked for."""
        found = [self.accepts(cell) for cell in cells]
        return [self.missing if isinstance(cell, Defect) else cell for cell in found], _defects(found)

    def from_text(self, cells: Sequence[str]) -> list[object]:
        """Cells of a CSV as cells of JSON: a number must parse whole, else the cell stays text and is refused."""
        return [_parsed(cell.strip()) for cell in cells]


Column = CategoricalColumn | NumericColumn


def column(feature: Feature) -> Column:
    """The column that reads `feature`."""
    return CategoricalColumn(feature) if feature.kind == "categorical" else NumericColumn(feature)


def _defects(found: Sequence[object]) -> Defects:
    return ((position, cell) for position, cell in enumerate(found) if isinstance(cell, Defect))


def _without_value(cell: object, expected: str, allowed: tuple[str, ...] | Bounds | None) -> Defect | None:
    """What to say of a cell that is neither text nor a number where one is expected; None where all was said."""
    if cell is None:
        message = f"expected {expected}, found null; the training data had no missing values here"
        return Defect("null", message, allowed)
    if cell is ABSENT:
        return Defect("missing", f"this field is required; expected {expected}", allowed)
    if cell is SKIPPED:
        return None
    return Defect("wrong_type", f"expected {expected}, found {_JSON_NAMES.get(type(cell), 'a number')}", allowed)


def _unknown_category(categories: Sequence[str]) -> Defect:
    if len(categories) <= MAX_ALLOWED_LISTED:
        return Defect("unknown_category", "expected one of the categories in allowed", tuple(categories))
    return Defect("unknown_category", f"expected one of the {len(categories)} categories that /schema lists")


def _range_message(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "expected a number within double precision"
    if low is None:
        return f"expected a number of at most {high:g}"
    return f"expected a number of at least {low:g}" if high is None else f"expected a number from {low:g} to {high:g}"


def _parsed(cell: str) -> object:
    if not cell:
        return None
    return float(cell) if _NUMBER.fullmatch(cell) else cell
