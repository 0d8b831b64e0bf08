"""From the bytes of a table to a checked frame: every problem at once, each with the lines of the file that have it.

Arrives: the spec and the data. Leaves: a `Table` of numeric columns (float, NaN missing) and categorical ones (str, NaN
missing) with its numeric target; or InvalidDataset.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from shared.dataset import DatasetSpec, folded, nearest, normalized
from shared.documents import Kind
from shared.errors import InvalidDataset

MIN_ROWS = 50
SHOWN = 8
_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]\d{1,2}:\d{2}.*)?")
_MARKED = re.compile(r"[+-]?(\d+([.,]\d+)?\s*%|\d{1,3}([,' ]\d{3})+(\.\d+)?|\d+,\d+)")
"""Numbers as people write them: 72%, 1,000 and 3,5."""
_IDENTIFIER = re.compile(r"(?i:(.*[_\s.-])?(id|key|uuid|index|row))|.*[a-z]I[dD]")
PLAIN_NUMBERS = "write plain numbers, such as 0.72 for 72% and 1000 for 1,000"
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
Cells = list[str | None]


@dataclass(frozen=True)
class Column:
    """A feature as it was read: its kind, and whether cells are missing."""

    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True)
class Table:
    """`features` (n, k) in the order of `columns`, `target` (n,), and what a person should know of the reading.

    `contents` (n,): what each row says, whatever the order of the columns and the spelling of its cells. `dropped`: the
    columns that the table has and a model does not use.
    """

    features: pd.DataFrame
    target: pd.Series
    columns: tuple[Column, ...]
    contents: tuple[str, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass
class Sheet:
    """Raw cells by column, with the line of the file on which each row ends; None is the empty cell."""

    columns: dict[str, Cells]
    lines: list[int]


def read_table(data: bytes, spec: DatasetSpec) -> Table:
    """The checked table in `data`. Raises InvalidDataset with every problem found."""
    warnings: list[str] = []
    sheet = _read_parquet(data, spec, warnings) if spec.source.endswith(".parquet") else _read_csv(data, spec, warnings)
    _check_names(sheet, spec)
    problems: list[str] = []
    target = _target(sheet, spec, problems)
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
    return Table(
        features=pd.DataFrame(features),
        target=pd.Series(target, name=spec.target),
        columns=tuple(columns),
        contents=_contents(sheet, spec),
        dropped=tuple(name for name in sheet.columns if name not in features and name != spec.target),
        warnings=tuple(warnings),
    )


# ---- the file -------------------------------------------------------------------------------------------------------


def _read_csv(data: bytes, spec: DatasetSpec, warnings: list[str]) -> Sheet:
    header, rows, lines = _parsed(_decoded(data))
    names = _headers(header, spec)
    problems = _ragged(rows, lines, len(header))
    if problems:
        raise InvalidDataset(problems)
    cells = [[row[position] or None for row in rows] for position in range(len(names))]
    return _named(names, cells, lines, warnings)


def _named(names: Sequence[str], cells: Sequence[Cells], lines: list[int], warnings: list[str]) -> Sheet:
    """Columns by name; one without a name must be empty, and is left out."""
    for position, (name, column) in enumerate(zip(names, cells, strict=True), 1):
        if not name and any(column):
            raise InvalidDataset([f"column {position} has values but no name in the header"])
    if "" in names:
        warnings.append(f"{list(names).count('')} empty column(s) without a name were dropped")
    return Sheet({name: column for name, column in zip(names, cells, strict=True) if name}, lines)


def _decoded(data: bytes) -> str:
    if data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        raise InvalidDataset(["the file is Parquet; let its name, and source in the spec, end in .parquet"])
    if data.startswith(b"PK\x03\x04"):
        raise InvalidDataset(["the file is an Excel workbook or a ZIP file; save it as CSV (UTF-8)"])
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidDataset(["the file is UTF-16; save it as UTF-8"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidDataset([f"the file is not UTF-8 (first seen in line {line}); save it as UTF-8"]) from None
    if "\0" in text:
        raise InvalidDataset(
            [f"line {text[: text.index(chr(0))].count(chr(10)) + 1} holds a NUL byte; it is no text file"]
        )
    return text


def _parsed(text: str) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidDataset(
            [f"line {reader.line_num}: a quote is opened or closed in the wrong place ({error})"]
        ) from None
    if not rows:
        raise InvalidDataset(["the file is empty: expected a header and at least 50 rows"])
    header = rows[0]
    if len(header) == 1 and (found := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise InvalidDataset([f"the columns are separated by {found!r}; expected commas"])
    if len(rows) == 1:
        raise InvalidDataset(["the file has a header but no rows"])
    return header, rows[1:], lines[1:]


def _headers(header: Sequence[str], spec: DatasetSpec) -> list[str]:
    aliases = {normalized(alias): name for alias, name in spec.aliases.items()}
    stripped = [normalized(name) for name in header]
    names = [aliases.get(name, name) for name in stripped]
    twice = [name for name, count in Counter(name for name in names if name).items() if count > 1]
    if twice:
        raise InvalidDataset([f"the header names {', '.join(map(repr, twice))} more than once"])
    return names


def _ragged(rows: Sequence[Sequence[str]], lines: Sequence[int], width: int) -> list[str]:
    found = [line for row, line in zip(rows, lines, strict=True) if len(row) != width]
    return [f"{_in_lines(found)}: the number of cells differs from the header's {width}"] if found else []


def _read_parquet(data: bytes, spec: DatasetSpec, warnings: list[str]) -> Sheet:
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise InvalidDataset([f"the file is not Parquet: {error}"]) from None
    names = _headers([str(name) for name in frame.columns], spec)
    _require_scalars(frame)
    cells = [[_text(cell) for cell in frame.iloc[:, position]] for position in range(len(names))]
    return _named(names, cells, list(range(2, len(frame) + 2)), warnings)


def _require_scalars(frame: pd.DataFrame) -> None:
    kinds = (list, dict, tuple, np.ndarray, bytes, pd.Timedelta)
    nested = [str(name) for i, name in enumerate(frame.columns) if any(isinstance(c, kinds) for c in frame.iloc[:, i])]
    if nested:
        named = ", ".join(map(repr, nested))
        raise InvalidDataset([f"{named}: a cell must be one number or one text, not a list, bytes or a time span"])


def _text(cell: object) -> str | None:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return repr(float(cell)) if isinstance(cell, float | np.floating) else str(cell)


def _contents(sheet: Sheet, spec: DatasetSpec) -> tuple[str, ...]:
    """Made of the raw cells, so that no other row can change it: merged spellings and dropped constants depend on all.

    Columns in `drop` stay out: two rows that a model cannot tell apart belong on one side of the split.
    """
    names = sorted(name for name in sheet.columns if name not in spec.drop)
    forms = [{cell: f"{name}={_canonical(cell)}" for cell in set(sheet.columns[name]) if cell} for name in names]
    rows = zip(*(sheet.columns[name] for name in names), strict=True)
    return tuple("\x1f".join(form[cell] for form, cell in zip(forms, row, strict=True) if cell) for row in rows)


def _canonical(cell: str) -> str:
    """A cell's content whatever its spelling: `1.50` is `1.5`, `None` is `none`."""
    value = _number(cell)
    return folded(cell) if value is None else repr(value + 0.0)


# ---- names ----------------------------------------------------------------------------------------------------------


def _check_names(sheet: Sheet, spec: DatasetSpec) -> None:
    present = sheet.columns
    problems = []
    for role, names in (("target", [spec.target]), ("drop", spec.drop), ("features", spec.features)):
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
        problems.append(f"target {spec.target!r} is missing in {_in_lines(missing)}; fill it in or remove the rows")
    numbers = [_number(cell) for cell in cells]
    wrong = [
        line
        for cell, number, line in zip(cells, numbers, sheet.lines, strict=True)
        if cell and cell.strip() and number is None
    ]
    if wrong:
        problems.append(f"target {spec.target!r} is not a finite number in {_in_lines(wrong)}; {PLAIN_NUMBERS}")
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
    wrong = [line for cell, line in zip(cells, lines, strict=True) if cell is not None and _number(cell) is None]
    asked = spec.features.get(name)
    if asked is not None and asked.kind == "categorical":
        return "categorical"
    if not wrong and (asked or not any(_LEADING_ZERO.fullmatch(cell) for cell in present)):
        return "numeric"
    if asked is None and all(_DATE.fullmatch(cell) for cell in present):
        problems.append(
            f"feature {name!r} holds dates, which are not read; turn them into numbers (an age, a month, days since), "
            f'list it in drop, or say kind = "categorical" in the spec'
        )
        return None
    if asked is None and all(_number(cell) is not None or _MARKED.fullmatch(cell) for cell in present) and wrong:
        problems.append(
            f"feature {name!r} holds numbers that are not written plainly in {_in_lines(wrong)}; {PLAIN_NUMBERS}, "
            f'or say kind = "categorical" in the spec'
        )
        return None
    if asked is not None or (wrong and len(wrong) <= 0.1 * len(present)):
        problems.append(
            f"feature {name!r} holds numbers, but not in {_in_lines(wrong)}; correct them, empty them, "
            f'or say kind = "categorical" in the spec'
        )
        return None
    return "categorical"


def _numeric(cells: Cells) -> pd.Series:
    return pd.Series([math.nan if cell is None else _number(cell) for cell in cells], dtype=np.float64)


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
        problems.append(f"feature {name!r} is outside {low:g} to {high:g} in {_in_lines(outside)}")


def _number(cell: str | None) -> float | None:
    """The finite number that the whole cell is, or None; Python's `1_000` and `nan` are no numbers of a table."""
    if cell is None or "_" in cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _in_lines(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN]))
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"
