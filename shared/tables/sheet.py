"""From the bytes of a file to a sheet of raw cells: CSV in UTF-8, or Parquet."""

import csv
import datetime
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.parquet_footer import BadFooter, require_readable_file
from shared.spelling import normalized
from shared.tables.cells import in_lines, number_in
from shared.tables.table_size import MEMORY_BYTES, MORE_MEMORY, TableTooLarge, require_fits

Cells = list[str | None]
TYPED = b"tabular.typed"
"""The metadata of a file that was gathered of several: the columns that were typed there, and are text here."""
SEPARATOR = "\x1f"
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*[\[{]|\{\s*[\"}])")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml)\b", re.IGNORECASE)


@dataclass
class Sheet:
    """Raw cells by column, with the line of the file on which each row ends; None is the empty cell.

    `typed`: columns whose cells a program wrote by their type, whatever the spec says of text. `problems`: of rows that
    were left out, so that they do not hide what is wrong with the others.
    """

    columns: dict[str, Cells]
    lines: list[int]
    typed: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


def read_sheet(data: bytes, spec: DatasetSpec, warnings: list[str], memory_bytes: int = MEMORY_BYTES) -> Sheet:
    """The cells of `data`, Parquet where the spec's source ends so, where they fit into the memory.

    Raises InvalidDataset.
    """
    if spec.is_parquet:
        return _read_parquet(data, spec, warnings, memory_bytes)
    require_fits(data.count(b",") + data.count(b"\n"), len(data), memory_bytes)
    return _read_csv(data, spec, warnings)


def _read_csv(data: bytes, spec: DatasetSpec, warnings: list[str]) -> Sheet:
    header, rows, lines = _parsed(_decoded(data))
    names = _headers(header, spec)
    problems = _ragged(rows, lines, len(header))
    sound = [(row, line) for row, line in zip(rows, lines, strict=True) if len(row) == len(header)]
    if len(sound) * 2 < len(rows):
        raise InvalidDataset(problems)  # the header is what is wrong
    cells = [[row[position] or None for row, _ in sound] for position in range(len(names))]
    warnings += _told_of_line_ends(names, sound)
    sheet = _named(names, cells, [line for _, line in sound], warnings)
    return replace(sheet, problems=tuple(problems))


def _named(names: Sequence[str], cells: Sequence[Cells], lines: list[int], warnings: list[str]) -> Sheet:
    """Columns by name; without one: pandas' row labels, told and left out, and what is empty."""
    labels = [
        i
        for i, name in enumerate(names)
        if (name == "__index_level_0__" or (i == 0 and name in ("", "Unnamed: 0"))) and _are_labels(cells[i])
    ]
    for i in labels:
        warnings.append(f"column {i + 1}, {names[i]!r}, holds row labels, as pandas writes them, and was dropped")
    names = [name for i, name in enumerate(names) if i not in labels]
    cells = [column for i, column in enumerate(cells) if i not in labels]
    for position, (name, column) in enumerate(zip(names, cells, strict=True), 1):
        if not name and any(column):
            raise InvalidDataset([f"column {position} has values but no name in the header"])
    if "" in names:
        warnings.append(f"{list(names).count('')} empty column(s) without a name were dropped")
    return Sheet({name: column for name, column in zip(names, cells, strict=True) if name}, lines)


def _are_labels(cells: Cells) -> bool:
    """Whole numbers that differ in every row; a selection or a shuffle leaves gaps and changes their order."""
    numbers = [number_in(cell) for cell in cells]
    return len(set(numbers)) == len(cells) and all(number is not None and number.is_integer() for number in numbers)


def _decoded(data: bytes) -> str:
    if data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        raise InvalidDataset(["the file is Parquet; let its name, and source in the spec, end in .parquet"])
    if data.startswith(b"PK\x03\x04"):
        raise InvalidDataset(["the file is an Excel workbook or a ZIP file; save it as CSV (UTF-8)"])
    if data.startswith(b"\x1f\x8b"):
        raise InvalidDataset(["the file is compressed by gzip; unpack it"])
    if _MARKUP.match(data):
        raise InvalidDataset(["the file is a web page or XML and no table; save it as CSV (UTF-8)"])
    if _JSON.match(data):
        raise InvalidDataset(["the file is JSON; save it as CSV (UTF-8)"])
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
    swallowed: list[str] = []
    usual = csv.field_size_limit(max(len(text), 1))
    try:
        for row in reader:
            if row:
                swallowed += _swallowed(row, lines[-1] + 1 if lines else 1, reader.line_num)
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidDataset(
            [f"line {reader.line_num}: a quote is opened or closed in the wrong place ({error})"]
        ) from None
    finally:
        csv.field_size_limit(usual)
    if swallowed:
        raise InvalidDataset(swallowed)
    if not rows:
        raise InvalidDataset(["the file is empty: expected a header and at least 50 rows"])
    header = rows[0]
    if len(header) == 1 and (found := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise InvalidDataset([f"the columns are separated by {found!r}; expected commas"])
    if len(rows) == 1:
        raise InvalidDataset(["the file has a header but no rows"])
    return header, rows[1:], lines[1:]


def _swallowed(row: Sequence[str], first: int, last: int) -> list[str]:
    """The problem of a row whose quoted cell holds lines that would be rows themselves: a quote left open."""
    if first == last:
        return []
    inner = [line for cell in row for line in cell.splitlines()[1:-1]]
    whole = sum(_is_row(line.split(","), row) for line in inner)
    if whole:
        between = f"{whole} row(s) between them are in one cell"
    elif any(_are_two_rows(row, place) for place in range(len(row))):
        between = "both lines are rows of their own"
    else:
        return []
    return [f"a quote opened in line {first} is closed in line {last}, and {between}"]


def _is_row(cells: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a line in a cell of `row` has a row's number of cells; of two, which a sentence may have, its numbers."""
    return len(cells) == len(row) and (len(row) > 2 or _numbers_where(row, cells, -1))


def _are_two_rows(row: Sequence[str], place: int) -> bool:
    """Whether the cell at `place` is the end of one row and the beginning of another, each with its numbers."""
    parts = row[place].splitlines()
    if len(parts) != 2:
        return False
    halves = [*row[:place], *parts[0].split(",")], [*parts[1].split(","), *row[place + 1 :]]
    return all(len(half) == len(row) and _numbers_where(row, half, place) for half in halves)


def _numbers_where(row: Sequence[str], cells: Sequence[str], besides: int) -> bool:
    """Whether `row` has numbers, and `cells` have some in the same places; the place `besides` is not looked at."""
    places = [place for place, cell in enumerate(row) if place != besides and number_in(cell) is not None]
    return bool(places) and all(number_in(cells[place]) is not None for place in places)


def _told_of_line_ends(names: Sequence[str], rows: Sequence[tuple[list[str], int]]) -> list[str]:
    """A sentence for each column with cells of several lines, which a quote left open makes as well; a row comes with
    the line on which it ends."""
    found: dict[str, list[tuple[int, int]]] = {}
    before = 1
    for row, last in rows:
        before, first = last, before + 1
        if last > first:  # or an empty line is between them
            for name, cell in zip(names, row, strict=True):
                if (height := len(cell.splitlines())) > 1:
                    found.setdefault(name, []).append((last, height))
    return [
        f"column {name!r} has {len(cells)} cell(s) of several lines, up to {max(height for _, height in cells)}, "
        f"which end in {in_lines([last for last, _ in cells])}; if that is not meant, a quote is left open"
        for name, cells in found.items()
    ]


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
    return [f"{in_lines(found)}: the number of cells differs from the header's {width}"] if found else []


def _read_parquet(data: bytes, spec: DatasetSpec, warnings: list[str], memory_bytes: int) -> Sheet:
    """Read by the file's own types: pandas would turn whole numbers with gaps into fractions, and hide columns."""
    try:
        table = _table_that_fits(data, memory_bytes)
    except BadFooter as error:
        raise InvalidDataset([str(error)]) from None
    except MemoryError:  # Arrow's own is one too
        raise TableTooLarge([f"the table unfolds to more memory than there is. {MORE_MEMORY}"]) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InvalidDataset([f"the file is not Parquet: {error}"]) from None
    names = _headers(table.column_names, spec)
    nested = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if not _is_scalar(kind)]
    if nested:
        named = ", ".join(map(repr, nested))
        raise InvalidDataset([f"{named}: a cell must be one number or one text, not a list, bytes or a time span"])
    cells = [_decoded_texts(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    sheet = _named(names, cells, list(range(2, table.num_rows + 2)), warnings)
    typed = {name for name, kind in zip(names, table.schema.types, strict=True) if not _is_text(kind)}
    typed_there = (table.schema.metadata or {}).get(TYPED, b"").decode(errors="replace").split(SEPARATOR)
    return replace(sheet, typed=frozenset({*typed, *typed_there} - {""}))


def _table_that_fits(data: bytes, memory_bytes: int) -> pa.Table:
    """Sizes first as the footer has them; then of texts that stand once in the file and in many cells."""
    require_readable_file(data)
    described = pq.ParquetFile(io.BytesIO(data))
    groups, schema = described.metadata, described.schema_arrow
    cells = groups.num_rows * groups.num_columns
    require_fits(cells, sum(groups.row_group(i).total_byte_size for i in range(groups.num_row_groups)), memory_bytes)
    words = [name for name, kind in zip(schema.names, schema.types, strict=True) if _is_text(kind)]
    table = pq.ParquetFile(io.BytesIO(data), read_dictionary=words).read()
    require_fits(cells, sum(map(_text_bytes, table.columns)), memory_bytes)
    return table


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of all cells of a column of words, each as often as it stands there."""
    if not (pa.types.is_dictionary(column.type) and _is_text(column.type)):
        return int(column.nbytes)
    lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(found.cast(pa.int64())).as_py() or 0 for found in lengths)


def _is_scalar(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    binary = pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or pa.types.is_fixed_size_binary(plain)
    return not (pa.types.is_nested(plain) or binary or pa.types.is_duration(plain))


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _decoded_texts(name: str, column: pa.ChunkedArray) -> Cells:
    try:
        return _texts(column)
    except UnicodeDecodeError:
        raise InvalidDataset([f"{name!r} holds text that is not UTF-8, as Parquet's text is; write it anew"]) from None


def _texts(column: pa.ChunkedArray) -> Cells:
    """Cells as CSV would hold them; a float as short as its own precision allows: 0.1, not 0.10000000149011612."""
    single = pa.types.is_float32(column.type) or pa.types.is_float16(column.type)
    return [_text(np.float32(cell) if single and cell is not None else cell) for cell in column.to_pylist()]


def _text(cell: object) -> str | None:
    if cell is None or (isinstance(cell, float | np.floating) and math.isnan(cell)):
        return None
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC)
    return str(cell)
