"""CSV in pieces, by the rules of `shared.serving.csv_table`: one record is what Python's reader says it is.

Blocks without a quote are read by Arrow, many times as fast; blocks with one, and whatever Arrow finds odd, by Python.
The two see the same records, and a part always ends at the end of a record.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from functions.batch.rows import BATCH_ROWS, ArrowRows, BatchRefused, Piece
from functions.batch.stretch import READ_BYTES, StoredFile
from shared.batches import BatchPlan, Cut, Dialect
from shared.serving.sent_table import fitted, ragged_row

MOST_RAGGED_CELLS = 2**20
"""Cells that rows without the header's number of them may take, where most rows of a block are such."""


@dataclass(frozen=True)
class Records:
    """What one block held: cells by column, the records' numbers within it, ragged ones among them, and its size."""

    cells: Sequence[pa.Array]
    numbers: NDArray[np.int64]
    ragged: dict[int, tuple[int, int]]
    records: int
    used: int


@dataclass(frozen=True)
class BlockCount:
    """How many rows and records a block has, and its bytes."""

    rows: int
    records: int
    used: int


class TextFile:
    """A CSV file with its plan."""

    def __init__(self, file: StoredFile, plan: BatchPlan, dialect: Dialect) -> None:
        self._file = file
        self._plan = plan
        self._dialect = dialect
        self._part_bytes = plan.part_size
        self._block_bytes = min(READ_BYTES, plan.part_size)
        between = re.escape(dialect.delimiter)
        self._blank = re.compile(rf"(?:(?<=\n)|\A)(?:[^\S\n]|{between})*(?:\n|(?<=.)\Z)")

    def pieces(self, start: Cut) -> Iterator[Piece]:
        cut: Cut | None = start
        while cut is not None:
            piece = self._piece(cut)
            yield piece
            cut = piece.next

    def cuts(self, start: Cut) -> Iterator[Cut]:
        """Blocks without a quote have a record a line, so that counting lines will do."""
        cut: Cut | None = start
        while cut is not None:
            yield cut
            offset, row, line = cut.start, cut.row, cut.line
            while offset < self._plan.input.size and offset - cut.start < self._part_bytes:
                counted = self._counted(offset, line)
                offset, row, line = offset + counted.used, row + counted.rows, line + counted.records
            cut = self._following(cut, offset, row, line)

    def most_rows(self, after: Cut | None) -> int:
        """A row has at least the characters between its cells, and one cell or the end of its line."""
        if after is None:
            return 0
        shortest = max(len(self._plan.columns), 2)
        return (self._plan.input.size - after.start) // shortest + 1

    def _piece(self, cut: Cut) -> Piece:
        offset, row, line = cut.start, cut.row, cut.line
        batches: list[ArrowRows] = []
        while offset < self._plan.input.size and offset - cut.start < self._part_bytes:
            found = self._records(offset, line)
            batches += self._batches(found, row, line)
            offset, line, row = offset + found.used, line + found.records, row + len(found.numbers)
        return Piece(cut, batches or [self._nothing(cut)], self._following(cut, offset, row, line))

    def _following(self, cut: Cut, offset: int, row: int, line: int) -> Cut | None:
        ends = offset >= self._plan.input.size
        return None if ends else Cut(number=cut.number + 1, start=offset, row=row, line=line)

    def _nothing(self, cut: Cut) -> ArrowRows:
        columns = {name: pa.array([], pa.string()) for name in self._plan.columns if name}
        return ArrowRows(columns, cut.row, np.empty(0, dtype=np.int64))

    def _batches(self, found: Records, row: int, line: int) -> Iterator[ArrowRows]:
        for begin in range(0, len(found.numbers), BATCH_ROWS):
            end = min(begin + BATCH_ROWS, len(found.numbers))
            yield ArrowRows(
                columns={
                    name: cells[begin:end] for name, cells in zip(self._plan.columns, found.cells, strict=True) if name
                },
                first=row + begin,
                numbers=found.numbers[begin:end] + line,
                refused={
                    position - begin: ragged_row(row + position, line + int(found.numbers[position]), *widths)
                    for position, widths in found.ragged.items()
                    if begin <= position < end
                },
            )

    def _records(self, offset: int, line: int) -> Records:
        block = self._block(offset)
        if _is_plain(block):
            plain = self._plain(block)
            if plain is not None:
                return plain
        return self._odd(offset, len(block), line)

    def _counted(self, offset: int, line: int) -> BlockCount:
        block = self._block(offset)
        if not _is_plain(block):
            found = self._odd(offset, len(block), line)
            return BlockCount(len(found.numbers), found.records, found.used)
        text = self._decoded(block, line)
        records = text.count("\n") + (not text.endswith("\n"))
        blank = len(self._blank.findall(text))
        return BlockCount(records - blank, records, len(block))

    def _block(self, offset: int) -> bytes:
        block = self._file.lines_until_break(offset, self._block_bytes)
        if not block:
            raise BatchRefused("malformed_csv", ["the file ends before its size; upload it again"])
        if b"\0" in block:
            raise BatchRefused("malformed_csv", ["the file holds NUL characters; expected CSV text in UTF-8"])
        return block

    # ---- by Arrow -------------------------------------------------------------------------------------------------

    def _plain(self, block: bytes) -> Records | None:
        """The records of a block in which every line is one; None where they are not all alike."""
        width = len(self._plan.columns)
        if width < 2:
            return None
        text = block if self._dialect.encoding == "utf-8" else _in_utf8(block)
        if text is None:
            return None
        names = [str(position) for position in range(width)]
        try:
            table = pacsv.read_csv(
                pa.py_buffer(text),
                pacsv.ReadOptions(column_names=names, use_threads=False, block_size=max(len(text), 1)),
                pacsv.ParseOptions(delimiter=self._dialect.delimiter, quote_char=False, ignore_empty_lines=False),
                pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )
        except pa.ArrowInvalid:
            return None
        cells = [column.combine_chunks() for column in table.columns]
        numbers = np.arange(table.num_rows, dtype=np.int64)
        filled = _filled(cells)
        if filled is not None:
            cells, numbers = [column.filter(pa.array(filled)) for column in cells], numbers[filled]
        return Records(cells, numbers, {}, table.num_rows, len(block))

    # ---- by Python's own reader -----------------------------------------------------------------------------------

    def _odd(self, offset: int, wanted: int, line: int) -> Records:
        """The records that begin within `wanted` bytes; the last of them may end beyond."""
        width = len(self._plan.columns)
        used = 0

        def lines() -> Iterator[str]:
            nonlocal used
            while offset + used < self._plan.input.size:
                block = self._file.lines_until_break(offset + used, self._block_bytes)
                for text in io.StringIO(self._decoded(block, line + records), newline=""):
                    used += len(text.encode(self._dialect.encoding))
                    yield text

        nothing = [""] * width
        rows: list[list[str]] = []
        numbers: list[int] = []
        ragged: dict[int, tuple[int, int]] = {}
        records = 0
        reader = csv.reader(lines(), delimiter=self._dialect.delimiter, strict=True)
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    whole = fitted(cells, width)
                    if len(whole) != width:
                        ragged[len(rows)] = (len(cells), width)
                        _require_most_are_whole(len(ragged), len(rows) + 1, width, line + records)
                        whole = nothing
                    rows.append(whole)
                    numbers.append(records)
                records += 1
                if used >= wanted:
                    break
        except csv.Error as error:
            raise BatchRefused("malformed_csv", [f"row {line + records} is not valid CSV: {error}"]) from None
        columns = zip(*rows, strict=True) if rows else [()] * width
        arrays = [pa.array(column, pa.string()) for column in columns]
        return Records(arrays, np.array(numbers, dtype=np.int64), ragged, records, used)

    def _decoded(self, block: bytes, line: int) -> str:
        try:
            text = block.decode(self._dialect.encoding)
        except UnicodeDecodeError as error:
            row = line + block.count(b"\n", 0, error.start)
            name = {"utf-8": "UTF-8", "cp1252": "Windows-1252"}[self._dialect.encoding]
            raise BatchRefused(
                "invalid_encoding",
                [f"the file begins as {name} and is none in or after row {row}; save it as CSV (UTF-8)"],
            ) from None
        if "\0" in text:
            raise BatchRefused("malformed_csv", ["the file holds NUL characters; expected CSV text in UTF-8"])
        return text


def _require_most_are_whole(ragged: int, rows: int, width: int, line: int) -> None:
    """A row has at least as many bytes as cells, unless it is ragged: those make a small file a large table.

    Raises BatchRefused where they are most of the rows, and take memory.
    """
    if ragged * width > MOST_RAGGED_CELLS and ragged * 2 > rows:
        problem = f"{ragged} of {rows} rows up to row {line} do not have the header's {width} cells"
        raise BatchRefused("malformed_csv", [f"{problem}; is the header's line the right one?"])


def _is_plain(block: bytes) -> bool:
    """Whether every line is a record: no cell is quoted, and no line ends otherwise."""
    return b'"' not in block and block.count(b"\r") == block.count(b"\r\n")


def _in_utf8(block: bytes) -> bytes | None:
    try:
        return block.decode("cp1252").encode()
    except UnicodeDecodeError:
        return None


def _filled(cells: Sequence[pa.Array]) -> NDArray[np.bool_] | None:
    """Which rows hold anything; None where all do. Most are told by their first cell."""
    filled: NDArray[np.bool_] | None = None
    for column in cells:
        holds = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(column)), 0).to_numpy(zero_copy_only=False)
        filled = holds if filled is None else filled | holds
        if filled.all():
            return None
    return filled
