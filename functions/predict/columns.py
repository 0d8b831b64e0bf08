"""The coercion table, one class per kind of feature: cells as sent become cells as the graph reads them.

Each column first tries the whole batch in one step that only correct cells pass, then looks cell by cell.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.predict.problems import Bounds
from shared.dataset import folded, normalized
from shared.documents import Feature
from shared.model_runtime import MISSING_TEXT

MAX_ALLOWED_LISTED = 100
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_JSON_NAMES: Mapping[type, str] = {bool: "a boolean", str: "text", dict: "an object", list: "an array"}


class Absent:
    """The cell of a field that the row does not have."""


class Skipped:
    """The cell of a row or column about which a problem was found already."""


ABSENT = Absent()
SKIPPED = Skipped()


@dataclass(frozen=True)
class Defect:
    """Why a cell was refused."""

    code: str
    message: str
    allowed: tuple[str, ...] | Bounds | None = None


Defects = Iterator[tuple[int, Defect]]


class CategoricalColumn:
    """Text, matched without regard to case, surrounding space and apostrophe; answers in the trained spelling."""

    def __init__(self, feature: Feature) -> None:
        categories = feature.categories or ()
        self.name = feature.name
        self._nullable = feature.nullable
        self._exact: dict[object, str] = {category: category for category in categories}
        if feature.nullable:
            self._exact[None] = MISSING_TEXT
        self._folded = {folded(category): category for category in reversed(categories)}
        self._longest = 16 + 4 * max(map(len, self._folded), default=0)
        self._unknown = _unknown_category(categories)

    def known(self, cell: object) -> str:
        """The graph's cell for one in trained spelling. Raises KeyError or TypeError for any other."""
        return self._exact[cell]

    def read(self, cells: Sequence[object]) -> list[str] | None:
        """The graph's cells, or None where one of them needs a closer look."""
        try:
            return [self._exact[cell] for cell in cells]
        except (KeyError, TypeError):  # TypeError: an unhashable array or object
            return None

    def read_each(self, cells: Sequence[object]) -> tuple[list[str], Defects]:
        """The graph's cells, and the defects by position, found while they are asked for."""
        seen: dict[str, str | None] = {}
        found = [self._cell(cell, seen) for cell in cells]
        return (
            [cell if isinstance(cell, str) else MISSING_TEXT for cell in found],
            ((row, cell) for row, cell in enumerate(found) if isinstance(cell, Defect)),
        )

    def from_text(self, cells: Sequence[str]) -> list[object]:
        """Cells of a CSV as cells of JSON: only the empty one is missing."""
        return [cell if cell.strip() else None for cell in cells]

    def _cell(self, cell: object, seen: dict[str, str | None]) -> str | Defect | None:
        if isinstance(cell, str):
            if cell not in seen:
                seen[cell] = self._trained_spelling(cell)
            return seen[cell] or self._unknown
        return _without_value(cell, "text", self._nullable, self._unknown.allowed)

    def _trained_spelling(self, text: str) -> str | None:
        plain = normalized(text)
        if plain in self._exact:
            return self._exact[plain]
        return self._folded.get(folded(plain)) if len(plain) <= self._longest else None


class NumericColumn:
    """JSON numbers within the feature's range; a bool is none."""

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._nullable = feature.nullable
        self._low = -math.inf if feature.min is None else feature.min
        self._high = math.inf if feature.max is None else feature.max
        bounds = None if feature.min is None and feature.max is None else Bounds(min=feature.min, max=feature.max)
        self._out_of_range = Defect("out_of_range", _range_message(feature.min, feature.max), bounds)

    def known(self, cell: object) -> float:
        """The graph's cell for a number within the range. Raises ValueError for any other."""
        if (type(cell) is float or type(cell) is int) and self._low <= cell <= self._high and _finite((cell,)):
            return cell
        raise ValueError

    def read(self, cells: Sequence[object]) -> list[float] | None:
        """The graph's cells, or None where one of them needs a closer look."""
        if set(map(type, cells)) <= {float, int}:
            numbers: list[float] = cells  # type: ignore[assignment]
            if not numbers or (self._low <= min(numbers) and max(numbers) <= self._high and _finite(numbers)):
                return numbers
        return None

    def read_each(self, cells: Sequence[object]) -> tuple[list[float], Defects]:
        """The graph's cells, and the defects by position, found while they are asked for."""
        found = [self._cell(cell) for cell in cells]
        return (
            [math.nan if cell is None or isinstance(cell, Defect) else cell for cell in found],
            ((row, cell) for row, cell in enumerate(found) if isinstance(cell, Defect)),
        )

    def from_text(self, cells: Sequence[str]) -> list[object]:
        """Cells of a CSV as cells of JSON: a number must parse whole, else the cell stays text and is refused."""
        return [_parsed(cell.strip()) for cell in cells]

    def _cell(self, cell: object) -> float | Defect | None:
        if type(cell) is int or type(cell) is float:
            inside = self._low <= cell <= self._high and _finite((cell,))
            return float(cell) if inside else self._out_of_range
        return _without_value(cell, "a number", self._nullable, None)


Column = CategoricalColumn | NumericColumn


def column(feature: Feature) -> Column:
    """The column that reads `feature`."""
    return CategoricalColumn(feature) if feature.kind == "categorical" else NumericColumn(feature)


def _without_value(
    cell: object, expected: str, nullable: bool, allowed: tuple[str, ...] | Bounds | None
) -> Defect | None:
    """What to say of a cell that is neither text nor a number where one is expected; None where it may be missing."""
    if cell is None:
        message = f"expected {expected}, found null; the training data had no missing values here"
        return None if nullable else Defect("null", message, allowed)
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


def _finite(numbers: Sequence[float]) -> bool:
    try:
        return math.isfinite(float(min(numbers))) and math.isfinite(float(max(numbers)))
    except OverflowError:  # an integer beyond double precision
        return False


def _parsed(cell: str) -> object:
    if not cell:
        return None
    return float(cell) if _NUMBER.fullmatch(cell) else cell
