"""From the bytes of a table to a checked frame: every problem at once, each with the lines of the file that have it.

Arrives: the spec and the data. Leaves: a `Table` of columns of numbers (float, NaN missing) and of words (str, NaN
missing) with its numeric target; or InvalidDataset. Of numbers are also truth values, 0 and 1, and dates, as the days
since 1970-01-01.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from shared.arrays import Vector
from shared.cells import PLAIN, is_missing
from shared.dataset import DatasetSpec
from shared.documents import CellFormat, Kind
from shared.errors import ColumnProblem, InvalidDataset
from shared.metrics import plain
from shared.spelling import folded, nearest, normalized
from shared.tables.advice import to_read_missing, to_read_numbers
from shared.tables.cells import PLAIN_NUMBERS, in_lines, number_in
from shared.tables.kinds import RawColumn, kind_of
from shared.tables.row_hashes import side_contents
from shared.tables.sheet import Cells, Sheet, read_sheet
from shared.tables.table_size import MEMORY_BYTES

MIN_ROWS = 50
BOUND_DIGITS = 6
"""Significant digits with which a message shows a bound."""
_IDENTIFIER = re.compile(r"(?i:(.*[_\s.-])?(id|key|uuid|index|row))|.*[a-z]I[dD]")


@dataclass(frozen=True)
class Column:
    """A feature as it was read: its kind, whether cells are missing, and how a text file writes it."""

    name: str
    kind: Kind
    nullable: bool
    format: CellFormat = PLAIN


@dataclass(frozen=True)
class Table:
    """`features` (n, k) in the order of `columns`, `target` (n,), and what a person should know of the reading.

    `contents` (n,): what decides each row's side of the split, whatever the order of the columns and the spelling of
    its cells. `dropped`: the columns that the table has and a model does not use; `others` (n, …): what they say, as
    text, NaN missing. `times` (n,): the moments of the rows, where the spec splits by time;
    `weights` (n,): how much they count, all above 0 and 1 in the mean; None where all count alike.
    """

    features: pd.DataFrame
    target: pd.Series
    columns: tuple[Column, ...]
    contents: tuple[str, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]
    others: pd.DataFrame = field(default_factory=pd.DataFrame)
    times: Vector | None = None
    weights: Vector | None = None


def read_table(data: bytes, spec: DatasetSpec, memory_bytes: int = MEMORY_BYTES) -> Table:
    """The checked table in `data`, where it fits into the memory. Raises InvalidDataset with every problem found."""
    warnings: list[str] = []
    sheet = read_sheet(data, spec, warnings, memory_bytes)
    if spec.reading.rows_without_target == "drop":
        sheet = _with_target(sheet, spec, warnings)
    sheet = _counted(sheet, spec, warnings)
    _check_names(sheet, spec)
    problems = list(sheet.problems)
    target = _target(sheet, spec, problems)
    _check_key(sheet, spec, problems)
    times = _times(sheet, spec, problems)
    weights = _weights(sheet, spec, problems, warnings)
    features: dict[str, pd.Series] = {}
    columns: list[Column] = []
    for name in _candidates(sheet, spec):
        read = _feature(name, sheet, spec, problems, warnings)
        if read is not None:
            features[name], kind = read
            columns.append(Column(name, kind, bool(features[name].isna().any()), spec.format_of(name)))
    if not columns and not problems:
        problems.append("no usable feature is left: every column is the target, dropped, empty or constant")
    if problems:
        raise InvalidDataset(problems)
    dropped = tuple(name for name in sheet.columns if name not in features and name != spec.target)
    return Table(
        features=pd.DataFrame(features),
        target=pd.Series(target, name=spec.target),
        columns=tuple(columns),
        contents=tuple(side_contents(sheet.columns, spec.split, len(sheet.lines))),
        dropped=dropped,
        warnings=tuple(warnings),
        others=pd.DataFrame({name: _as_text(sheet.columns[name]) for name in dropped}, index=range(len(target))),
        times=times,
        weights=weights,
    )


def _candidates(sheet: Sheet, spec: DatasetSpec) -> list[str]:
    """The columns that may be features. A new group is unknown to every model: it is a feature only where asked for."""
    other = {spec.target, spec.weight or "", *spec.drop}
    if spec.split.group not in spec.features:
        other.add(spec.split.group or "")
    return [name for name in sheet.columns if name not in other]


def _as_text(cells: Cells) -> pd.Series:
    return pd.Series(
        [math.nan if cell is None or not cell.strip() else normalized(cell) for cell in cells], dtype=object
    )


# ---- who is on which side --------------------------------------------------------------------------------------------


def _check_key(sheet: Sheet, spec: DatasetSpec, problems: list[str]) -> None:
    split = spec.split
    for role, name in (("split.key", split.key), ("split.group", split.group), ("split.time", split.time)):
        cells = sheet.columns[name] if name else []
        empty = [line for cell, line in zip(cells, sheet.lines, strict=False) if cell is None or not cell.strip()]
        if empty:
            problems.append(f"{role} {name!r} is missing in {in_lines(empty)}; every row needs one")


def _times(sheet: Sheet, spec: DatasetSpec, problems: list[str]) -> Vector | None:
    """The moments of the rows (n,), days or numbers, where the spec names a column of time."""
    name = spec.split.time
    if name is None:
        return None
    column = _raw(name, sheet, spec)
    for reads in (column.number, column.day):
        if column.all(reads):
            known = {cell: reads(cell) for cell in column.counts}
            return np.array([math.nan if cell is None else known[cell] for cell in column.cells], dtype=np.float64)
    found: list[str] = []
    if column.holds("date", "number"):
        kind_of(column, "date", found)
    else:
        found.append(f"{name!r} holds neither dates nor numbers, by which rows could be ordered")
    problems += [f"split.time: {said}" for said in found]
    return None


def _weights(sheet: Sheet, spec: DatasetSpec, problems: list[str], warnings: list[str]) -> Vector | None:
    """How much each row counts (n,). The unit is of no matter, where to an estimator's penalty it would be: the mean is
    brought to 1."""
    if spec.weight is None:
        return None
    column = _raw(spec.weight, sheet, spec)
    numbers = [None if cell is None else column.number(cell) for cell in column.cells]
    wrong = [line for number, line in zip(numbers, sheet.lines, strict=True) if number is None or number < 0]
    if wrong or not any(numbers):
        where = f"it is not in {in_lines(wrong)}" if wrong else "it is 0 in every row"
        problems.append(f"weight {spec.weight!r} must be a number of at least 0, and more in some rows; {where}")
        return None
    found = np.array(numbers, dtype=np.float64)
    if np.ptp(found) == 0.0:
        warnings.append(f"weight {spec.weight!r} is the same in every row: all count alike")
        return None
    found /= found.max()
    return found / float(found.mean())


# ---- names ----------------------------------------------------------------------------------------------------------


def _check_names(sheet: Sheet, spec: DatasetSpec) -> None:
    present = sheet.columns
    problems = list(sheet.problems)
    roles: list[tuple[str, Iterable[str]]] = [
        ("target", [spec.target]),
        ("drop", spec.drop),
        ("features", spec.features),
        ("weight", [spec.weight] if spec.weight else []),
        ("split.key", [spec.split.key] if spec.split.key else []),
        ("split.ignore", spec.split.ignore),
        ("split.group", [spec.split.group] if spec.split.group else []),
        ("split.time", [spec.split.time] if spec.split.time else []),
    ]
    for role, names in roles:
        for name in names:
            if name not in present and not (role == "drop" and spec.aliases.get(name) in present):
                near = nearest(name, present)
                advice = f"did you mean {near!r}?" if near else f"the columns are {', '.join(present)}"
                problems.append(f"{role} names {name!r}, which the table does not have; {advice}")
    if len(sheet.lines) < MIN_ROWS:
        problems.append(f"the table has {len(sheet.lines)} rows; at least {MIN_ROWS} are needed")
    if len(problems) > len(sheet.problems):
        raise InvalidDataset(problems)


# ---- cells ----------------------------------------------------------------------------------------------------------


def _with_target(sheet: Sheet, spec: DatasetSpec, warnings: list[str]) -> Sheet:
    """The rows that have a target, as the spec asks."""
    form, cells = spec.format_of(spec.target), sheet.columns.get(spec.target, [])
    kept = [place for place, cell in enumerate(cells) if cell is not None and not is_missing(cell, form)]
    if len(kept) == len(cells):
        return sheet
    warnings.append(f"{len(cells) - len(kept)} row(s) without a target were dropped, as the spec asks")
    return _only(sheet, kept)


def _counted(sheet: Sheet, spec: DatasetSpec, warnings: list[str]) -> Sheet:
    """The rows that count: one whose weight is 0 is none. Where none counts, all are kept, and refused later."""
    if spec.weight not in sheet.columns:
        return sheet
    column = _raw(spec.weight, sheet, spec)
    kept = [place for place, cell in enumerate(column.cells) if cell is None or column.number(cell) != 0.0]
    if not kept or len(kept) == len(column.cells):
        return sheet
    warnings.append(f"{len(column.cells) - len(kept)} row(s) whose weight {spec.weight!r} is 0 were left out")
    return _only(sheet, kept)


def _only(sheet: Sheet, places: Sequence[int]) -> Sheet:
    columns = {name: [cells[place] for place in places] for name, cells in sheet.columns.items()}
    return replace(sheet, columns=columns, lines=[sheet.lines[place] for place in places])


def _target(sheet: Sheet, spec: DatasetSpec, problems: list[str]) -> list[float]:
    column = _raw(spec.target, sheet, spec)
    missing = [line for cell, line in zip(column.cells, sheet.lines, strict=True) if cell is None]
    if missing:
        problems.append(
            f"target {spec.target!r} is missing in {in_lines(missing)}; fill it in or remove the rows, or say "
            f'[reading] rows_without_target = "drop" in the spec'
        )
    if not column.all(column.number):
        marked = column.writings["marked"] > 0
        advice = (
            to_read_numbers(spec.target, column.counts, column.form)
            if marked
            else to_read_missing(spec.target, column.counts, column.number)
        )
        sentence = f"target {spec.target!r} is not a finite number in {column.unread(column.number)}; {PLAIN_NUMBERS}"
        sentence = f"{sentence}, or {advice}" if advice.lines else sentence
        problems.append(ColumnProblem(sentence, spec.target, advice.ready))
        return []
    values = [number for cell in column.cells if cell is not None and (number := column.number(cell)) is not None]
    if not missing and len(set(values)) == 1:
        problems.append(f"target {spec.target!r} has the same value in every row: there is nothing to learn")
    return values


def _raw(name: str, sheet: Sheet, spec: DatasetSpec) -> RawColumn:
    form = PLAIN if name in sheet.typed else spec.format_of(name)
    known = {cell: None if is_missing(cell, form) else normalized(cell) for cell in set(sheet.columns[name]) if cell}
    return RawColumn(name, [known[cell] if cell else None for cell in sheet.columns[name]], sheet.lines, form)


def _feature(
    name: str, sheet: Sheet, spec: DatasetSpec, problems: list[str], warnings: list[str]
) -> tuple[pd.Series, Kind] | None:
    column = _raw(name, sheet, spec)
    if not column.counts:
        warnings.append(f"feature {name!r} has no values and was dropped")
        return None
    specified = spec.kind_of(name)
    kind = kind_of(column, specified, problems)
    if kind is None:
        return None
    present = column.counts.total()
    if specified is None and present >= MIN_ROWS and _is_identifier(name, column.counts, kind):
        warnings.append(f"feature {name!r} has another value in every row, as an identifier has, and was dropped")
        return None
    series = _categorical(name, column, warnings) if kind == "categorical" else _numbers(column, kind)
    if kind == "categorical" and specified is None and series.nunique() > max(MIN_ROWS, 0.5 * present):
        warnings.append(
            f"feature {name!r} has {series.nunique():,} different texts in {present:,} rows and tells a model "
            f"little; list it in drop"
        )
    if series.nunique() == 1:
        warnings.append(f"feature {name!r} has the same value in every row and was dropped")
        return None
    _check_range(name, series, kind, sheet.lines, spec, problems)
    return series, kind


def _is_identifier(name: str, counts: Counter[str], kind: Kind) -> bool:
    """Text, or whole numbers, that differ in every row; numbers must also be consecutive or be named as an identifier.

    Other whole numbers that all differ may well be amounts, and are kept.
    """
    if kind in ("date", "boolean") or counts.total() > len(counts):
        return False
    if kind == "categorical":
        return True
    numbers = {number for cell in counts if (number := number_in(cell)) is not None}
    if len(numbers) < len(counts) or not all(number.is_integer() for number in numbers):
        return False
    return max(numbers) - min(numbers) == len(numbers) - 1 or _IDENTIFIER.fullmatch(name) is not None


def _numbers(column: RawColumn, kind: Kind) -> pd.Series:
    reads: dict[Kind, Callable[[str], float | None]] = {
        "numeric": column.number,
        "boolean": column.truth,
        "date": column.day,
    }
    known = {cell: reads[kind](cell) for cell in column.counts}
    return pd.Series([math.nan if cell is None else known[cell] for cell in column.cells], dtype=np.float64)


def _categorical(name: str, column: RawColumn, warnings: list[str]) -> pd.Series:
    """Spellings that differ only in case become the most frequent one; of equally frequent ones the first seen."""
    counts = column.counts
    spelling: dict[str, str] = {}
    for cell in counts:
        best = spelling.get(folded(cell))
        if best is None or counts[cell] > counts[best]:
            spelling[folded(cell)] = cell
    merged = len(counts) - len(spelling)
    if merged:
        warnings.append(f"feature {name!r}: {merged} spelling(s) that differ only in case were merged")
    known = {cell: spelling[folded(cell)] for cell in counts}
    return pd.Series([math.nan if cell is None else known[cell] for cell in column.cells], dtype=object)


def _check_range(
    name: str, series: pd.Series, kind: Kind, lines: Sequence[int], spec: DatasetSpec, problems: list[str]
) -> None:
    asked = spec.features.get(name)
    if asked is None or kind != "numeric":
        return
    low = -math.inf if asked.min is None else asked.min
    high = math.inf if asked.max is None else asked.max
    outside = [line for value, line in zip(series, lines, strict=True) if value < low or value > high]
    if outside:
        least, most = plain(low, BOUND_DIGITS), plain(high, BOUND_DIGITS)
        where = f"below {least}" if asked.max is None else f"above {most}" if asked.min is None else None
        where = where or f"outside {least} to {most}"
        problems.append(ColumnProblem(f"feature {name!r} is {where} in {in_lines(outside)}", name))
