"""From the bytes of a table to a checked frame: every problem at once, each with the lines of the file that have it.

Arrives: the spec and the data. Leaves: a `Table` of numeric columns (float, NaN missing) and categorical ones (str, NaN
missing) with its numeric target; or InvalidDataset.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from shared.dataset import DatasetSpec, folded, nearest, normalized
from shared.documents import Kind
from shared.errors import InvalidDataset
from shared.tables.cells import PLAIN_NUMBERS, Writing, in_lines, is_compact_date, number_in, writing_of
from shared.tables.sheet import Cells, Sheet, read_sheet

MIN_ROWS = 50
MANY_VALUES = 20
"""A column of more different numbers than this is a measurement, and words among them are for a person to explain."""
_IDENTIFIER = re.compile(r"(?i:(.*[_\s.-])?(id|key|uuid|index|row))|.*[a-z]I[dD]")
_LEADING_ZERO = re.compile(r"[+-]?0\d+")


@dataclass(frozen=True)
class Column:
    """A feature as it was read: its kind, and whether cells are missing."""

    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True)
class Table:
    """`features` (n, k) in the order of `columns`, `target` (n,), and what a person should know of the reading.

    `contents` (n,): what decides each row's side of the split, whatever the order of the columns and the spelling of
    its cells. `dropped`: the columns that the table has and a model does not use; `others` (n, …): what they say, as
    text, NaN missing.
    """

    features: pd.DataFrame
    target: pd.Series
    columns: tuple[Column, ...]
    contents: tuple[str, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]
    others: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_table(data: bytes, spec: DatasetSpec) -> Table:
    """The checked table in `data`. Raises InvalidDataset with every problem found."""
    warnings: list[str] = []
    sheet = read_sheet(data, spec, warnings)
    _check_names(sheet, spec)
    problems: list[str] = []
    target = _target(sheet, spec, problems)
    _check_key(sheet, spec, problems)
    features: dict[str, pd.Series] = {}
    columns: list[Column] = []
    for name in [name for name in sheet.columns if name != spec.target and name not in spec.drop]:
        read = _feature(name, sheet, spec, problems, warnings)
        if read is not None:
            features[name], kind = read
            columns.append(Column(name, kind, bool(features[name].isna().any())))
    if not columns and not problems:
        problems.append("no usable feature is left: every column is the target, dropped, empty or constant")
    if problems:
        raise InvalidDataset(problems)
    dropped = tuple(name for name in sheet.columns if name not in features and name != spec.target)
    return Table(
        features=pd.DataFrame(features),
        target=pd.Series(target, name=spec.target),
        columns=tuple(columns),
        contents=_contents(sheet, spec),
        dropped=dropped,
        warnings=tuple(warnings),
        others=pd.DataFrame({name: _as_text(sheet.columns[name]) for name in dropped}, index=range(len(target))),
    )


def _as_text(cells: Cells) -> pd.Series:
    return pd.Series(
        [math.nan if cell is None or not cell.strip() else normalized(cell) for cell in cells], dtype=object
    )


# ---- contents -----------------------------------------------------------------------------------------------------


def _contents(sheet: Sheet, spec: DatasetSpec) -> tuple[str, ...]:
    """Made of the raw cells, so that no other row can change it: merged spellings and dropped constants depend on all.

    Columns in `drop` are part of a row too, so that dropping another one moves no row.
    """
    key, ignored = spec.split.key, spec.split.ignore
    names = [key] if key else sorted(name for name in sheet.columns if name not in ignored)
    forms = [{cell: f"{name}={_canonical(cell)}" for cell in set(sheet.columns[name]) if cell} for name in names]
    rows = zip(*(sheet.columns[name] for name in names), strict=True)
    return tuple("\x1f".join(form[cell] for form, cell in zip(forms, row, strict=True) if cell) for row in rows)


def _check_key(sheet: Sheet, spec: DatasetSpec, problems: list[str]) -> None:
    cells = sheet.columns[spec.split.key] if spec.split.key else []
    empty = [line for cell, line in zip(cells, sheet.lines, strict=False) if cell is None or not cell.strip()]
    if empty:
        problems.append(f"split.key {spec.split.key!r} is missing in {in_lines(empty)}; every row needs one")


def _canonical(cell: str) -> str:
    """A cell's content whatever its spelling: `1.50` is `1.5`, `None` is `none`."""
    value = number_in(cell)
    return folded(cell) if value is None else repr(value + 0.0)


# ---- names ----------------------------------------------------------------------------------------------------------


def _check_names(sheet: Sheet, spec: DatasetSpec) -> None:
    present = sheet.columns
    problems = []
    roles: list[tuple[str, Iterable[str]]] = [
        ("target", [spec.target]),
        ("drop", spec.drop),
        ("features", spec.features),
        ("split.key", [spec.split.key] if spec.split.key else []),
        ("split.ignore", spec.split.ignore),
    ]
    for role, names in roles:
        for name in names:
            if name not in present and not (role == "drop" and spec.aliases.get(name) in present):
                near = nearest(name, present)
                advice = f"did you mean {near!r}?" if near else f"the columns are {', '.join(present)}"
                problems.append(f"{role} names {name!r}, which the table does not have; {advice}")
    if len(sheet.lines) < MIN_ROWS:
        problems.append(f"the table has {len(sheet.lines)} rows; at least {MIN_ROWS} are needed")
    if problems:
        raise InvalidDataset(problems)


# ---- cells ----------------------------------------------------------------------------------------------------------


def _target(sheet: Sheet, spec: DatasetSpec, problems: list[str]) -> list[float]:
    cells = sheet.columns[spec.target]
    missing = [line for cell, line in zip(cells, sheet.lines, strict=True) if cell is None or not cell.strip()]
    if missing:
        problems.append(f"target {spec.target!r} is missing in {in_lines(missing)}; fill it in or remove the rows")
    numbers = [number_in(cell) for cell in cells]
    wrong = [
        line
        for cell, number, line in zip(cells, numbers, sheet.lines, strict=True)
        if cell and cell.strip() and number is None
    ]
    if wrong:
        problems.append(f"target {spec.target!r} is not a finite number in {in_lines(wrong)}; {PLAIN_NUMBERS}")
    values = [number for number in numbers if number is not None]
    if not missing and not wrong and len(set(values)) == 1:
        problems.append(f"target {spec.target!r} has the same value in every row: there is nothing to learn")
    return values


def _feature(
    name: str, sheet: Sheet, spec: DatasetSpec, problems: list[str], warnings: list[str]
) -> tuple[pd.Series, Kind] | None:
    cells = [None if cell is None or not cell.strip() else normalized(cell) for cell in sheet.columns[name]]
    present = [cell for cell in cells if cell is not None]
    if not present:
        warnings.append(f"feature {name!r} has no values and was dropped")
        return None
    kind = _kind(name, cells, sheet.lines, spec, problems)
    if kind is None:
        return None
    if name not in spec.features and len(present) >= MIN_ROWS and _is_identifier(name, present, kind):
        warnings.append(f"feature {name!r} has another value in every row, as an identifier has, and was dropped")
        return None
    series = _numeric(cells) if kind == "numeric" else _categorical(name, cells, warnings)
    if kind == "categorical" and name not in spec.features and series.nunique() > max(MIN_ROWS, 0.5 * len(present)):
        warnings.append(
            f"feature {name!r} has {series.nunique():,} different texts in {len(present):,} rows and tells a model "
            f"little; list it in drop"
        )
    if series.nunique() == 1:
        warnings.append(f"feature {name!r} has the same value in every row and was dropped")
        return None
    _check_range(name, series, kind, sheet.lines, spec, problems)
    return series, kind


def _is_identifier(name: str, present: Sequence[str], kind: Kind) -> bool:
    """Text, or whole numbers, that differ in every row; numbers must also be consecutive or be named as an identifier.

    Other whole numbers that all differ may well be amounts, and are kept.
    """
    if len(set(present)) < len(present):
        return False
    if kind == "categorical":
        return True
    numbers = {float(cell) for cell in present}
    if len(numbers) < len(present) or not all(number.is_integer() for number in numbers):
        return False
    return max(numbers) - min(numbers) == len(numbers) - 1 or _IDENTIFIER.fullmatch(name) is not None


def _kind(name: str, cells: Cells, lines: Sequence[int], spec: DatasetSpec, problems: list[str]) -> Kind | None:
    """As the spec says, else by content: a column of numbers with a few words in it is a mistake to be told.

    Whole numbers are numbers, however few of them there are: their order may mean something, and a value not seen in
    training keeps its meaning. Codes without an order are for the spec to call categorical. Truth values are words.
    """
    present = [cell for cell in cells if cell is not None]
    wrong = [line for cell, line in zip(cells, lines, strict=True) if cell is not None and number_in(cell) is None]
    asked = spec.features.get(name)
    if asked is not None and asked.kind == "categorical":
        return "categorical"
    if asked is None and (problem := _unread(name, present, wrong)):
        problems.append(problem)
        return None
    if not wrong and (asked or not any(_LEADING_ZERO.fullmatch(cell) for cell in present)):
        return "numeric"
    if asked is None and not wrong:
        return "categorical"
    if asked is not None or _is_a_measurement(present, wrong):
        problems.append(
            f"feature {name!r} holds numbers, but not in {in_lines(wrong)}; correct them, empty them, "
            f'or say kind = "categorical" in the spec'
        )
        return None
    return "categorical"


def _unread(name: str, present: Sequence[str], wrong: Sequence[int]) -> str | None:
    """The problem of a column that is dates, times of day or numbers with marks, none of which is read; else None."""
    if not wrong:
        found: Writing = "date" if all(map(is_compact_date, present)) else "number"
    else:
        writings = _writings(present)
        most = writings.most_common(1)[0]
        marked = writings["marked"] and set(writings) <= {"number", "marked", "missing"}
        found = "marked" if marked else most[0] if most[1] * 2 > len(present) else "word"
    if found in ("date", "time"):
        what = "dates" if found == "date" else "times of day"
        return (
            f"feature {name!r} holds {what}, which are not read; turn them into numbers (an age, a month, days since), "
            f'list it in drop, or say kind = "{"categorical" if wrong else "numeric"}" in the spec'
        )
    if found == "marked":
        return (
            f"feature {name!r} holds numbers that are not written plainly in {in_lines(wrong)}; {PLAIN_NUMBERS}, "
            f'or say kind = "categorical" in the spec'
        )
    return None


def _is_a_measurement(present: Sequence[str], wrong: Sequence[int]) -> bool:
    """Whether words among the numbers are few, stand for a missing value, or interrupt many different numbers."""
    if len(wrong) <= 0.1 * len(present):
        return True
    writings = _writings(present)
    numbers = {cell for cell in set(present) if number_in(cell) is not None}
    if set(writings) <= {"number", "missing"}:
        return bool(numbers)
    return writings["number"] * 2 > len(present) and len(numbers) > MANY_VALUES


def _writings(present: Sequence[str]) -> Counter[Writing]:
    counts: Counter[Writing] = Counter()
    for cell, count in Counter(present).items():
        counts[writing_of(cell)] += count
    return counts


def _numeric(cells: Cells) -> pd.Series:
    return pd.Series([math.nan if cell is None else number_in(cell) for cell in cells], dtype=np.float64)


def _categorical(name: str, cells: Cells, warnings: list[str]) -> pd.Series:
    """Spellings that differ only in case become the most frequent one; of equally frequent ones the first seen."""
    counts = Counter(cell for cell in cells if cell is not None)
    spelling: dict[str, str] = {}
    for cell in counts:
        best = spelling.get(folded(cell))
        if best is None or counts[cell] > counts[best]:
            spelling[folded(cell)] = cell
    merged = len(counts) - len(spelling)
    if merged:
        warnings.append(f"feature {name!r}: {merged} spelling(s) that differ only in case were merged")
    return pd.Series([math.nan if cell is None else spelling[folded(cell)] for cell in cells], dtype=object)


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
        problems.append(f"feature {name!r} is outside {low:g} to {high:g} in {in_lines(outside)}")
