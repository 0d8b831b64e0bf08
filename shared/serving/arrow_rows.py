"""Rows of a file as Arrow columns: whole columns become the graph's input, or every problem by row.

The rules are those of `columns`, cell by cell. Here they are asked of whole columns: numbers within the range are taken
at once, texts once for each different one, and only what is left is asked cell by cell.
"""

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.arrays import Mask
from shared.problems import Problem, json_pointer, shortened
from shared.serving.columns import BooleanColumn, CategoricalColumn, Column, DateColumn, NumericColumn, TextTable
from shared.serving.findings import Defect
from shared.serving.rows import RequestSchema

NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
"""What `columns` takes for a number in text, for RE2."""


@dataclass(frozen=True)
class ArrowInput:
    """What the graph reads of `rows` rows: `numeric` (m, k) and `categorical` (m, c) of the rows in `answered` (m,).

    `refused`: the problems of the other rows by their position; `warned`: how many cells of answered rows were unusual,
    by feature and code.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    answered: NDArray[np.int64]
    refused: Mapping[int, Sequence[Problem]]
    warned: Mapping[tuple[str, str], int]


@dataclass
class _Found:
    """What was found on the way, by the position of the row. `first` is the position of the first row in its file."""

    first: int
    refused: dict[int, list[Problem]] = field(default_factory=dict)
    warned: list[tuple[int, str, str]] = field(default_factory=list)

    def refuse(self, row: int, name: str, defect: Defect) -> None:
        where = json_pointer(self.first + row, name)
        self.refused.setdefault(row, []).append(Problem(where, defect.code, defect.message))


def read_arrow(
    schema: RequestSchema,
    columns: Mapping[str, pa.Array],
    rows: int,
    *,
    first: int = 0,
    refused: Mapping[int, Problem] | None = None,
    decimal_comma: bool = False,
) -> ArrowInput:
    """The graph's input from the columns of a file by feature, `rows` of each, as /predict_batch reads them row by row.

    `refused` are rows that have a problem already, so that their cells do not count. A column of any type is read;
    `meaningless` tells before which types no feature can be read from.
    """
    before = dict(refused or {})
    found = _Found(first)
    cells = {column.name: _accepted(column, columns[column.name], found, decimal_comma) for column in schema.columns}
    for row, problem in before.items():
        found.refused[row] = [problem]
    answered = np.arange(rows)
    if found.refused:
        answered = np.setdiff1d(answered, np.fromiter(found.refused, dtype=np.int64), assume_unique=True)
    numbers = [cells[column.name] for column in schema.columns if not isinstance(column, CategoricalColumn)]
    words = [cells[column.name] for column in schema.columns if isinstance(column, CategoricalColumn)]
    return ArrowInput(
        numeric=_stacked(numbers, answered, rows, np.dtype(np.float64)),
        categorical=_stacked(words, answered, rows, np.dtype(object)),
        answered=answered,
        refused=dict(sorted(found.refused.items())),
        warned=Counter((name, code) for row, name, code in found.warned if row not in found.refused),
    )


def meaningless(column: Column, kind: pa.DataType) -> str | None:
    """Why no cell of a column of type `kind` can be one of the feature; None where it can."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(plain) or _is_text(plain):
        return None
    expected, is_one = _EXPECTED[type(column)]
    binary = pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or pa.types.is_fixed_size_binary(plain)
    if pa.types.is_nested(plain) or binary or pa.types.is_duration(plain):
        return f"expected {expected}, found a column of type {shortened(str(plain))}"
    return None if is_one(plain) else f"expected {expected}, found a column of type {shortened(str(plain))}"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_day(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


_EXPECTED: Mapping[type[Column], tuple[str, Callable[[pa.DataType], bool]]] = {
    NumericColumn: ("numbers", _is_number),
    CategoricalColumn: ("texts", lambda _: True),
    BooleanColumn: ("truth values", pa.types.is_boolean),
    DateColumn: ("dates", _is_day),
}
"""What a typed column must hold for each kind of feature."""


def _stacked(columns: Sequence[NDArray[Any]], answered: NDArray[np.int64], rows: int, kind: np.dtype[Any]) -> Any:
    stacked = np.empty((len(answered), len(columns)), dtype=kind)
    for place, cells in enumerate(columns):
        stacked[:, place] = cells if len(answered) == rows else cells[answered]
    return stacked


def _accepted(column: Column, cells: pa.Array, found: _Found, decimal_comma: bool) -> NDArray[Any]:
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    textual = _is_text(cells.type)
    table = TextTable(decimal_comma, typed=not textual)
    encoded = pa.types.is_dictionary(cells.type) or pa.types.is_null(cells.type)
    if isinstance(column, NumericColumn) and not encoded and not (textual and column.has_format):
        return _numbers(column, cells, found, table)
    return _by_value(column, cells, found, table)


# ---- numbers --------------------------------------------------------------------------------------------------------


def _numbers(column: NumericColumn, cells: pa.Array, found: _Found, table: TextTable) -> NDArray[np.float64]:
    textual = _is_text(cells.type)
    numbers = _from_text(cells, table.decimal_comma) if textual else _from_numbers(cells)
    fine = column.plain(numbers)
    if not isinstance(column.accepts(None), Defect):
        fine |= _missing(cells, numbers, textual)
    if fine.all():
        return numbers
    left = np.flatnonzero(~fine)
    if textual:
        asked = column.from_text(cells.take(pa.array(left)).fill_null("").to_pylist(), table)
    else:
        asked = [None if np.isnan(number) else number for number in numbers[left].tolist()]
    numbers = numbers.copy()
    numbers[left] = _asked(column, asked, left, found)
    return numbers


def _asked(column: Column, asked: Sequence[object], rows: NDArray[np.int64], found: _Found) -> Any:
    """The cells of some rows, each asked for itself."""
    accepted, findings = column.accepts_each(asked)
    for position, finding in findings:
        if isinstance(finding, Defect):
            found.refuse(int(rows[position]), column.name, finding)
        else:
            found.warned.append((int(rows[position]), column.name, finding.code))
    return accepted


def _from_text(cells: pa.Array, decimal_comma: bool) -> NDArray[np.float64]:
    """The numbers that texts are (n,), NaN where one is none. Whatever casts to a finite number is one of `columns`."""
    if decimal_comma:
        pointed = pc.match_substring(cells, ".")
        cells = pc.replace_substring(pc.if_else(pointed, pa.scalar("", cells.type), cells), ",", ".")
    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(cells, NUMBER)
        numbers = pc.cast(pc.if_else(plain, cells, pa.scalar(None, cells.type)), pa.float64())
    return _as_float64(numbers)


def _from_numbers(cells: pa.Array) -> NDArray[np.float64]:
    """Numbers of any width; those in single precision as short as they are written: 0.1, not 0.10000000149011612."""
    if pa.types.is_float16(cells.type):
        cells = pc.cast(cells, pa.float32())
    if pa.types.is_float32(cells.type):
        cells = pc.cast(cells, pa.string())
    return _as_float64(pc.cast(cells, pa.float64(), safe=False))


def _as_float64(numbers: pa.Array) -> NDArray[np.float64]:
    found: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
    return found.astype(np.float64, copy=False)


def _missing(cells: pa.Array, numbers: NDArray[np.float64], textual: bool) -> Mask:
    """Which cells are empty. A column of numbers has no other ones that are no number."""
    if not textual:
        return np.isnan(numbers)
    empty = pc.equal(pc.fill_null(pc.binary_length(cells), 0), 0)
    found: Mask = empty.to_numpy(zero_copy_only=False)
    return found


# ---- texts, and whatever has few different values -------------------------------------------------------------------


def _by_value(column: Column, cells: pa.Array, found: _Found, table: TextTable) -> NDArray[Any]:
    """Each different cell is asked once."""
    encoded = cells if pa.types.is_dictionary(cells.type) else pc.dictionary_encode(cells)
    if _is_text(encoded.dictionary.type):
        table = TextTable(table.decimal_comma)
    texts = [_text(cell) for cell in encoded.dictionary]
    asked = [*column.from_text(texts, table), None]
    accepted, findings = column.accepts_each(asked)
    codes = pc.fill_null(pc.cast(encoded.indices, pa.int64()), len(texts)).to_numpy(zero_copy_only=False)
    _tell(column, dict(findings), codes, found)
    categorical = isinstance(column, CategoricalColumn)
    values = np.empty(len(accepted), dtype=object if categorical else np.float64)
    values[:] = accepted
    cells_of_rows: NDArray[Any] = values[codes]
    return cells_of_rows


def _tell(column: Column, findings: Mapping[int, Any], codes: NDArray[np.int64], found: _Found) -> None:
    if not findings:
        return
    has_finding = np.zeros(int(codes.max(initial=0)) + max(findings) + 2, dtype=np.bool_)
    has_finding[list(findings)] = True
    for row in np.flatnonzero(has_finding[codes]).tolist():
        finding = findings[codes[row]]
        if isinstance(finding, Defect):
            found.refuse(row, column.name, finding)
        else:
            found.warned.append((row, column.name, finding.code))


def _text(cell: pa.Scalar) -> str:
    """A cell as a table of text would hold it."""
    value = cell.as_py()
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return str(np.float32(value)) if pa.types.is_float32(cell.type) or pa.types.is_float16(cell.type) else str(value)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
