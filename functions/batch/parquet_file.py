"""Parquet in pieces: only the columns that are asked for, a few thousand rows at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.rows import BATCH_ROWS, ArrowRows, BatchRefused, Piece
from functions.batch.stretch import SeekableFile, StoredFile
from shared.batches import BatchPlan, Cut
from shared.parquet_footer import HARMLESS_BYTES, TAIL_BYTES, BadFooter, footer_bytes, require_readable
from shared.spelling import normalized

BUFFER_BYTES = 2**21
"""Bytes of each column that are read at once, so that a row group's size does not matter."""
FIRST_LINE = 2
"""The first row's number, as if the table were in a spreadsheet below its header."""


class ParquetTable:
    """A Parquet file with its plan."""

    def __init__(self, file: StoredFile, plan: BatchPlan) -> None:
        self._plan = plan
        self._part_rows = plan.part_size
        self._parquet = opened(file)
        wanted = {*plan.fields.values(), *plan.keep}
        names = {name: normalized(name) for name in self._parquet.schema_arrow.names}
        self._columns = {stored: name for stored, name in names.items() if name in wanted}

    def pieces(self, start: Cut) -> Iterator[Piece]:
        cut, held, rows = start, [], 0
        for batch in self._batches(start.start):
            held.append(batch)
            rows += len(batch)
            if rows == self._part_rows:
                following = self._following(cut)
                yield Piece(cut, held, following)
                if following is None:
                    return
                cut, held, rows = following, [], 0
        yield Piece(cut, held or [self._nothing(cut)], None)

    def cuts(self, start: Cut) -> Iterator[Cut]:
        cut: Cut | None = start
        while cut is not None:
            yield cut
            cut = self._following(cut)

    def most_rows(self, after: Cut | None) -> int:
        return 0 if after is None else self._plan.rows - after.start

    def _following(self, cut: Cut) -> Cut | None:
        start = cut.start + self._part_rows
        if start >= self._plan.rows:
            return None
        return Cut(number=cut.number + 1, start=start, row=start, line=start + FIRST_LINE)

    def _nothing(self, cut: Cut) -> ArrowRows:
        schema = self._parquet.schema_arrow
        columns = {name: pa.array([], schema.field(stored).type) for stored, name in self._columns.items()}
        return ArrowRows(columns, cut.row, np.empty(0, dtype=np.int64))

    def _batches(self, start: int) -> Iterator[ArrowRows]:
        """Rows from `start` on, in batches that never reach over the end of a part."""
        row = start
        for found in self._stream(start):
            batch = found
            while batch.num_rows:
                room = self._part_rows - (row - self._plan.first.start) % self._part_rows
                taken = batch.slice(0, room)
                numbers = np.arange(row, row + taken.num_rows, dtype=np.int64) + FIRST_LINE
                columns = dict(zip(self._columns.values(), taken.columns, strict=True))
                yield ArrowRows(columns, row, numbers)
                row += taken.num_rows
                batch = batch.slice(taken.num_rows)

    def _stream(self, start: int) -> Iterator[pa.RecordBatch]:
        groups, skip = self._groups(start)
        names = list(self._columns)
        try:
            for found in self._parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=names, use_threads=False):
                skipped = min(skip, found.num_rows)
                skip -= skipped
                yield found.slice(skipped).select(names)
        except MemoryError:  # Arrow's own is one too
            raise
        except (pa.ArrowException, ValueError, OSError) as error:
            raise unreadable(error) from None

    def _groups(self, start: int) -> tuple[Sequence[int], int]:
        """The row groups from the one that holds row `start` on, and how many of its rows come before."""
        before = 0
        for group in range(self._parquet.num_row_groups):
            rows = self._parquet.metadata.row_group(group).num_rows
            if start < before + rows:
                return range(group, self._parquet.num_row_groups), start - before
            before += rows
        return [], 0


def opened(file: StoredFile) -> pq.ParquetFile:
    """The file with its footer read. Raises BatchRefused where it is no Parquet, or its footer must not be read."""
    try:
        _require_readable(file)
    except BadFooter as error:
        raise BatchRefused("malformed_parquet", [str(error)]) from None
    try:
        return pq.ParquetFile(pa.PythonFile(SeekableFile(file), "r"), pre_buffer=False, buffer_size=BUFFER_BYTES)
    except MemoryError:
        raise
    except (pa.ArrowException, ValueError, OSError) as error:
        raise unreadable(error) from None


def _require_readable(file: StoredFile) -> None:
    end = max(file.input.size - TAIL_BYTES, 0)
    size = footer_bytes(file.read(end, TAIL_BYTES))
    if size > HARMLESS_BYTES:
        start = max(end - size, 0)
        require_readable(file.read(start, end - start))


def unreadable(error: Exception) -> BatchRefused:
    """Arrow's own words can hold values of the file, so its kind must do."""
    problem = f"the file is not Parquet, or it is damaged ({type(error).__name__}); write it again and upload it whole"
    return BatchRefused("malformed_parquet", [problem])
