"""The coercion table, one class for each kind of feature: cells as they were sent become cells as the graph reads them.

`accepts` is the rule of a column for one cell. `accepts_all` applies it to a whole batch in one step where every cell
is plainly good, so that only the others cost time.
"""

import datetime
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.cells import PLAIN, day_in, day_text, is_missing, number_in, truth_in
from shared.documents import Feature, Kind
from shared.metrics import plain
from shared.model_runtime import MISSING_TEXT
from shared.problems import Bounds
from shared.serving.findings import Defect, Findings, Unusual, accepted_cells, findings_in, has_findings, without_value
from shared.spelling import folded, normalized

MAX_ALLOWED_LISTED = 100
_LARGEST = sys.float_info.max
_DECIMAL_COMMA = str.maketrans({",": ".", ".": ","})
_EXAMPLE = datetime.date(2024, 5, 31)
NO_DATE = "not in the format of the spec"
"""What replaces a table's cell that is no date as the table writes dates, whatever else it may be."""


@dataclass(frozen=True)
class TextTable:
    """How a file of text was found to be written, beyond what the spec says of its columns.

    `decimal_comma`: its cells are parted by something else, and its numbers have commas. `typed`: a program wrote its
    numbers and dates by their type.
    """

    decimal_comma: bool = False
    typed: bool = False


TEXT = TextTable()


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
        self._on_unknown = feature.on_unknown
        self._form = feature.format

    def accepts(self, cell: object) -> str | Defect | Unusual:
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

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[Any], Findings]:
        """The graph's cells, missing where there is a defect, and the findings, found while they are asked for."""
        texts = {cell: self.accepts(cell) for cell in {cell for cell in cells if isinstance(cell, str)}}
        found = [texts[cell] if isinstance(cell, str) else self.accepts(cell) for cell in cells]
        return accepted_cells(found, self.missing), findings_in(found)

    def from_text(self, cells: Sequence[str], _table: TextTable = TEXT) -> list[object]:
        """Cells of a table as cells of JSON: the empty one is missing, and what the spec names so."""
        if not self._form.missing:
            return [cell if cell.strip() else None for cell in cells]
        return [None if is_missing(cell, self._form) else cell for cell in cells]

    def _accepts_closely(self, cell: object) -> str | Defect | Unusual:
        if isinstance(cell, str):
            return self._trained_spelling(cell) or self._unseen(cell)
        return without_value(cell, "text", self._unknown.allowed) or self.missing

    def _unseen(self, text: str) -> Defect | Unusual:
        plain = normalized(text)
        if self._on_unknown == "refuse" or not plain:
            return self._unknown
        return Unusual(plain, "unknown_category", "training has not seen this category; it counts as none of the known")

    def _trained_spelling(self, text: str) -> str | None:
        plain = normalized(text)
        if plain in self._exact:
            return self._exact[plain]
        return self._folded.get(folded(plain)) if len(plain) <= self._longest else None


class NumericColumn:
    """JSON numbers within the feature's limits, with a warning outside its range; a boolean is not a number."""

    missing = math.nan

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._form = feature.format
        self.has_format = msgspec.structs.replace(feature.format, missing=()) != PLAIN
        self._nullable = feature.nullable
        self._low = -_LARGEST if feature.min is None else feature.min
        self._high = _LARGEST if feature.max is None else feature.max
        lowest, highest = limits(feature)
        self._lowest = -_LARGEST if lowest is None else lowest
        self._highest = _LARGEST if highest is None else highest
        bounds = None if lowest is None and highest is None else Bounds(min=lowest, max=highest)
        self._out_of_range = Defect("out_of_range", _range_message(lowest, highest), bounds)
        self._seen = f"outside the range that training saw, {_range_words(feature.min, feature.max)}"

    def accepts(self, cell: object) -> float | Defect | Unusual:
        """The graph's cell for `cell`, or why it is refused."""
        if type(cell) is float or type(cell) is int:
            return cell if self._low <= cell <= self._high else self._beyond(cell)
        if cell is None and self._nullable:
            return self.missing
        return without_value(cell, "a number", None) or self.missing

    def accepts_all(self, cells: Sequence[object]) -> Sequence[float] | None:
        """The graph's cells, or None where one of them is no number within the range."""
        if not set(map(type, cells)) <= {float, int}:
            return None
        numbers: Sequence[float] = cells  # type: ignore[assignment]
        ends = (min(numbers), max(numbers)) if numbers else ()
        return None if has_findings([self.accepts(end) for end in ends]) else numbers

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[Any], Findings]:
        """The graph's cells, missing where there is a defect, and the findings, found while they are asked for."""
        found = [self.accepts(cell) for cell in cells]
        return accepted_cells(found, self.missing), findings_in(found)

    def plain(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of many numbers (n,) are within the range, so that nothing is to be said of them."""
        return (numbers >= self._low) & (numbers <= self._high)

    def from_text(self, cells: Sequence[str], table: TextTable = TEXT) -> list[object]:
        """Cells of a table as cells of JSON: a number must parse whole, else the cell stays text and is refused.

        Where the file has decimal commas, a cell with a point is no number: it might mean thousands.
        """
        comma = table.decimal_comma and not self.has_format
        if not (comma or self.has_format or self._form.missing):
            return [_parsed(cell.strip()) for cell in cells]
        written = [cell.strip().translate(_DECIMAL_COMMA) for cell in cells] if comma else cells
        return [None if is_missing(cell, self._form) else self._number(cell.strip(), table) for cell in written]

    def _number(self, cell: str, table: TextTable) -> object:
        number = number_in(cell, PLAIN if table.typed or not self.has_format else self._form)
        if number is None and table.typed and self.has_format:
            number = number_in(cell, self._form)
        return cell if number is None else number

    def _beyond(self, cell: float) -> Defect | Unusual:
        if self._lowest <= cell <= self._highest:
            return Unusual(cell, "outside_training_range", self._seen)
        return self._out_of_range


class BooleanColumn:
    """JSON's true and false, which the graph reads as 1 and 0."""

    missing = math.nan

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._form = feature.format
        self._nullable = feature.nullable

    def accepts(self, cell: object) -> float | Defect | Unusual:
        """The graph's cell for `cell`, or why it is refused."""
        if cell is True or cell is False:
            return float(cell)
        if cell is None and self._nullable:
            return self.missing
        return without_value(cell, "true or false", None) or self.missing

    def accepts_all(self, cells: Sequence[object]) -> Sequence[float] | None:
        """The graph's cells, or None where one of them is no truth value."""
        return [float(cell is True) for cell in cells] if set(map(type, cells)) <= {bool} else None

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[Any], Findings]:
        """The graph's cells, missing where there is a defect, and the findings, found while they are asked for."""
        found = [self.accepts(cell) for cell in cells]
        return accepted_cells(found, self.missing), findings_in(found)

    def from_text(self, cells: Sequence[str], _table: TextTable = TEXT) -> list[object]:
        """Cells of a table as cells of JSON: true and false in any case, and the words that the spec has for them."""
        truths = [None if is_missing(cell, self._form) else truth_in(cell, self._form) for cell in cells]
        return [
            cell if truth is None and not is_missing(cell, self._form) else truth
            for cell, truth in zip(cells, truths, strict=True)
        ]


class DateColumn:
    """Dates as ISO 8601 writes them, which the graph reads as days; with a warning outside what training saw."""

    missing = math.nan

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._form = feature.format
        self._nullable = feature.nullable
        self._low, self._high = feature.min or 0.0, feature.max or 0.0
        lowest, highest = limits(feature)
        self._lowest, self._highest = lowest or 0.0, highest or 0.0
        written = self._form.date_format and f", in a table as {_EXAMPLE.strftime(self._form.date_format)}"
        self._expected = f"a date such as {_EXAMPLE.isoformat()}{written or ''}"
        self._seen = f"from {day_text(self._low)} to {day_text(self._high)}"

    def accepts(self, cell: object) -> float | Defect | Unusual:
        """The graph's cell for `cell`, or why it is refused."""
        if isinstance(cell, str):
            days = day_in(cell)
            if days is None:
                return Defect("not_a_date", f"expected {self._expected}")
            return days if self._low <= days <= self._high else self._beyond(days)
        if cell is None and self._nullable:
            return self.missing
        return without_value(cell, self._expected, None) or self.missing

    def accepts_all(self, cells: Sequence[object]) -> Sequence[float] | None:
        """The graph's cells, or None where one of them is no date that training saw the like of."""
        found = [self.accepts(cell) for cell in cells]
        numbers: Sequence[float] = found  # type: ignore[assignment]
        return None if set(map(type, cells)) - {str} or has_findings(found) else numbers

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[Any], Findings]:
        """The graph's cells, missing where there is a defect, and the findings, found while they are asked for."""
        found = [self.accepts(cell) for cell in cells]
        return accepted_cells(found, self.missing), findings_in(found)

    def from_text(self, cells: Sequence[str], table: TextTable = TEXT) -> list[object]:
        """Cells of a table as cells of JSON: a date in the spec's format becomes ISO's."""
        return [None if is_missing(cell, self._form) else self._date(cell, table) for cell in cells]

    def _date(self, cell: str, table: TextTable) -> str:
        if self._form.date_format is None or (table.typed and day_in(cell) is not None):
            return cell
        days = day_in(cell, self._form)
        return NO_DATE if days is None else day_text(days)

    def _beyond(self, days: float) -> Defect | Unusual:
        if self._lowest <= days <= self._highest:
            return Unusual(days, "outside_training_range", f"outside the dates that training saw, {self._seen}")
        return Defect("out_of_range", f"expected a date {self._seen}")


Column = CategoricalColumn | NumericColumn | BooleanColumn | DateColumn

_COLUMNS: Mapping[Kind, Callable[[Feature], Column]] = {
    "categorical": CategoricalColumn,
    "numeric": NumericColumn,
    "boolean": BooleanColumn,
    "date": DateColumn,
}


def column(feature: Feature) -> Column:
    """The column that reads `feature`."""
    return _COLUMNS[feature.kind](feature)


def limits(feature: Feature) -> tuple[float | None, float | None]:
    """The numbers of a feature beyond which a number is refused; None where that side is open."""
    return (
        feature.min if feature.lowest is None else feature.lowest,
        feature.max if feature.highest is None else feature.highest,
    )


def _unknown_category(categories: Sequence[str]) -> Defect:
    if len(categories) <= MAX_ALLOWED_LISTED:
        return Defect("unknown_category", "expected one of the categories in allowed", tuple(categories))
    return Defect("unknown_category", f"expected one of the {len(categories)} categories that /schema lists")


def _range_message(low: float | None, high: float | None) -> str:
    words = _range_words(low, high)
    if not words:
        return "expected a number within double precision"
    return f"expected a number {words}" if words.startswith("from") else f"expected a number of {words}"


def _range_words(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f"at most {plain(high, 6)}"
    return f"at least {plain(low, 6)}" if high is None else f"from {plain(low, 6)} to {plain(high, 6)}"


def _parsed(cell: str) -> object:
    number = number_in(cell) if cell else None
    return (cell or None) if number is None else number
