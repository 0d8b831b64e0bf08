"""The beginning of a file: its columns, how it is written, and where its rows begin."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from functions.batch.parquet_file import FIRST_LINE, opened
from functions.batch.rows import BatchRefused
from functions.batch.stretch import StoredFile
from shared.batches import Cut, Dialect
from shared.problems import Refusal
from shared.serving.csv_table import SEPARATOR_LINE, delimiter_in, has_decimal_commas
from shared.serving.sent_table import MOST_TITLES, Record, header_of
from shared.spelling import normalized

HEAD_BYTES = 2**20
_MARK = b"\xef\xbb\xbf"
_OTHERS = {
    b"PAR1": "the file is Parquet; let its name end in .parquet",
    b"PK\x03\x04": "the file is an Excel workbook or a ZIP file; save it as CSV (UTF-8)",
    b"\x1f\x8b": "the file is compressed by gzip; upload it as it is",
    b"\xff\xfe": "the file is UTF-16; save it as CSV (UTF-8)",
    b"\xfe\xff": "the file is UTF-16; save it as CSV (UTF-8)",
}


@dataclass(frozen=True)
class Head:
    """`columns` with their types where the file tells them. `rows`: how many there are, or are estimated to be."""

    columns: tuple[str, ...]
    first: Cut
    rows: int
    types: dict[str, pa.DataType] | None = None
    dialect: Dialect | None = None


def parquet_head(file: StoredFile) -> Head:
    """What the footer says. Raises BatchRefused."""
    found = opened(file)
    schema = found.schema_arrow
    columns = tuple(normalized(name) for name in schema.names)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise BatchRefused("duplicate_header", [f"the file has the column {name!r} twice" for name in twice])
    first = Cut(number=0, start=0, row=0, line=FIRST_LINE)
    return Head(columns, first, found.metadata.num_rows, dict(zip(columns, schema.types, strict=True)))


def text_head(file: StoredFile) -> Head:
    """What the first lines show, as /predict_batch reads them. Raises BatchRefused."""
    data = file.read(0, HEAD_BYTES)
    for mark, problem in _OTHERS.items():
        if data.startswith(mark):
            raise BatchRefused("no_csv", [problem])
    if len(data) < file.input.size:
        data = file.lines_until_break(0, HEAD_BYTES)
    begin = len(_MARK) if data.startswith(_MARK) else 0
    text, encoding = _decoded(data[begin:], file.input.size)
    separator = SEPARATOR_LINE.match(text)
    delimiter = separator.group(1) if separator else delimiter_in(text)
    if separator:
        begin += len(separator.group().encode(encoding))
        text = text[separator.end() :]
    return _head(text, encoding, delimiter, begin, 2 if separator else 1, file.input.size)


def _head(text: str, encoding: Literal["utf-8", "cp1252"], delimiter: str, begin: int, line: int, size: int) -> Head:
    records: list[Record] = []
    ends: list[int] = []
    for cells, end in _records(text, delimiter, encoding):
        records.append((line + len(records), cells))
        ends.append(begin + end)
    filled = [place for place, (_, cells) in enumerate(records) if any(map(str.strip, cells))]
    try:
        above, header = header_of([records[place] for place in filled[: MOST_TITLES + 1]])
    except Refusal as refusal:
        raise BatchRefused.of(refusal) from None
    last = filled[above - 1]
    start = ends[last]
    comma = delimiter != "," and has_decimal_commas(records[last + 1 :])
    rows = len(filled) - above
    shown = ends[-1] - start
    return Head(
        columns=header,
        first=Cut(number=0, start=start, row=0, line=records[last][0] + 1),
        rows=round((size - start) * rows / shown) if shown else 0,
        dialect=Dialect(encoding=encoding, delimiter=delimiter, decimal_comma=comma),
    )


def _records(text: str, delimiter: str, encoding: str) -> Iterator[tuple[list[str], int]]:
    """The records with the byte at which each ends. One that is cut off by the end of the head is left out."""
    used = 0

    def lines() -> Iterator[str]:
        nonlocal used
        for line in io.StringIO(text, newline=""):
            used += len(line.encode(encoding))
            yield line

    try:
        for cells in csv.reader(lines(), delimiter=delimiter, strict=True):
            yield cells, used
    except csv.Error:  # told with its line where the rows are read, unless it only is the head's end
        return


def _decoded(data: bytes, size: int) -> tuple[str, Literal["utf-8", "cp1252"]]:
    if not data.strip():
        raise BatchRefused("empty_body", ["expected a table with a header line, found an empty file"])
    if b"\0" in data:
        raise BatchRefused("malformed_csv", ["the file holds NUL characters; expected CSV text in UTF-8"])
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if error.end >= len(data) and len(data) < size:  # the head ends within a character
            return data[: error.start].decode("utf-8"), "utf-8"
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        problem = "the file is neither UTF-8 nor Windows-1252; save it as CSV (UTF-8)"
        raise BatchRefused("invalid_encoding", [problem]) from None
