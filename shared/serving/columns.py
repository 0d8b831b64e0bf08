"""The coercion table, one class for each kind of feature: cells as they were sent become cells as the graph reads them.

`accepts` is the rule of a column for one cell. `accepts_all` applies it to a whole batch in one step where every cell
is plainly good, so that only the others cost time.
"""

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.dataset import folded, normalized
from shared.documents import Feature
from shared.model_runtime import MISSING_TEXT
from shared.problems import Bounds

MAX_ALLOWED_LISTED = 100
_LARGEST = sys.float_info.max
_DECIMAL_COMMA = str.maketrans({",": ".", ".": ","})
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


@dataclass(frozen=True)
class Unusual:
    """A cell that is answered although training has not seen its like, with what to tell the caller."""

    cell: float | str
    code: str
    message: str


Findings = Iterator[tuple[int, Defect | Unusual]]
"""What there is to say of cells, with their positions."""

_FINDINGS = frozenset({Defect, Unusual})


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
        return _cells(found, self.missing), _findings(found)

    def from_text(self, cells: Sequence[str], *, decimal_comma: bool = False) -> list[object]:  # noqa: ARG002
        """Cells of a table as cells of JSON: only the empty one is missing."""
        return [cell if cell.strip() else None for cell in cells]

    def _accepts_closely(self, cell: object) -> str | Defect | Unusual:
        if isinstance(cell, str):
            return self._trained_spelling(cell) or self._unseen(cell)
        return _without_value(cell, "text", self._unknown.allowed) or self.missing

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
        return _without_value(cell, "a number", None) or self.missing

    def accepts_all(self, cells: Sequence[object]) -> Sequence[float] | None:
        """The graph's cells, or None where one of them is no number within the range."""
        if not set(map(type, cells)) <= {float, int}:
            return None
        numbers: Sequence[float] = cells  # type: ignore[assignment]
        ends = (min(numbers), max(numbers)) if numbers else ()
        return None if any(type(self.accepts(end)) in _FINDINGS for end in ends) else numbers

    def accepts_each(self, cells: Sequence[object]) -> tuple[list[Any], Findings]:
        """The graph's cells, missing where there is a defect, and the findings, found while they are asked for."""
        found = [self.accepts(cell) for cell in cells]
        return _cells(found, self.missing), _findings(found)

    def plain(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of many numbers (n,) are within the range, so that nothing is to be said of them."""
        return (numbers >= self._low) & (numbers <= self._high)

    def from_text(self, cells: Sequence[str], *, decimal_comma: bool = False) -> list[object]:
        """Cells of a table as cells of JSON: a number must parse whole, else the cell stays text and is refused.

        Where the file has decimal commas, a cell with a point is no number: it might mean thousands.
        """
        if decimal_comma:
            return [_parsed(cell.strip().translate(_DECIMAL_COMMA)) for cell in cells]
        return [_parsed(cell.strip()) for cell in cells]

    def _beyond(self, cell: float) -> Defect | Unusual:
        if self._lowest <= cell <= self._highest:
            return Unusual(cell, "outside_training_range", self._seen)
        return self._out_of_range


Column = CategoricalColumn | NumericColumn


def column(feature: Feature) -> Column:
    """The column that reads `feature`."""
    return CategoricalColumn(feature) if feature.kind == "categorical" else NumericColumn(feature)


def has_findings(cells: Sequence[object]) -> bool:
    """Whether anything is to be said of accepted cells."""
    return not _FINDINGS.isdisjoint(map(type, cells))


def limits(feature: Feature) -> tuple[float | None, float | None]:
    """The numbers of a feature beyond which a number is refused; None where that side is open."""
    return (
        feature.min if feature.lowest is None else feature.lowest,
        feature.max if feature.highest is None else feature.highest,
    )


def _cells(found: Sequence[object], missing: float | str) -> list[object]:
    if not has_findings(found):
        return list(found)
    return [missing if type(cell) is Defect else cell.cell if type(cell) is Unusual else cell for cell in found]


def _findings(found: Sequence[object]) -> Findings:
    return ((position, cell) for position, cell in enumerate(found) if isinstance(cell, Defect | Unusual))


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
    words = _range_words(low, high)
    if not words:
        return "expected a number within double precision"
    return f"expected a number {words}" if words.startswith("from") else f"expected a number of {words}"


def _range_words(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"


def _parsed(cell: str) -> object:
    if not cell:
        return None
    return float(cell) if _NUMBER.fullmatch(cell) else cell
