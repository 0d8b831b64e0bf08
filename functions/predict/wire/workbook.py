"""An .xlsx body as a table: the first sheet that holds anything. The only home of python-calamine.

The reader lays a sheet out whole, so what a small file can unfold to is measured before it is read.
"""

import datetime
import functools
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from shared.problems import Refusal, refuse
from shared.serving.sent_table import Record, SentTable, assemble

ARCHIVE = b"PK\x03\x04"
"""What every workbook begins with."""

MOST_UNPACKED = 48 * 2**20
"""Bytes of all its parts: some twenty times as much as the cells that are accepted need."""

MOST_CELLS = 2**19
CHUNK = 2**20
LONGEST_CELL = 16
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_COLUMN_OF_CELL = re.compile(rb'\br="([A-Z]{1,3})[0-9]{1,7}"')
_ROW_OF_CELL = re.compile(rb'\br="[A-Z]{1,3}([0-9]{1,7})"')


def parse_workbook(body: bytes, max_rows: int, max_cells: int = MOST_CELLS) -> SentTable:
    """The table in `body`. Raises Refusal: 400 for what is no such file, 413 for one that is too large."""
    _require_small(body, max_cells)
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(body))
        visible = [
            sheet.name for sheet in book.sheets_metadata if sheet.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        sheets = (book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in visible)
        rows = next((rows for rows in sheets if any(any(cell != "" for cell in row) for row in rows)), [])
    except (python_calamine.CalamineError, ValueError) as error:
        raise _malformed() from error
    if not rows:
        raise refuse(400, "empty_body", "expected a table with a header line, found an empty workbook")
    return assemble(_records(rows), max_rows, typed=True)


def _records(rows: Sequence[Sequence[Any]]) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        yield number, [_text(cell) for cell in row]


def _text(cell: object) -> str:
    """A cell as a CSV would hold it: numbers in as few digits as tell them, dates as ISO 8601."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _require_small(body: bytes, max_cells: int) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED:
                raise _too_large()
            for entry in archive.infolist():
                if _SHEET.fullmatch(entry.filename):
                    _require_few_cells(archive, entry, max_cells)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise _malformed() from error  # RuntimeError: it is encrypted


def _require_few_cells(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_cells: int) -> None:
    """The rectangle that a sheet's cells span, read piece by piece. What a piece cuts in two stands in the next one."""
    rows = columns = cells = 0
    with archive.open(entry) as sheet:
        kept = b""
        while piece := sheet.read(CHUNK):
            cells += piece.count(b"<c ")
            if cells > max_cells:
                raise _too_large()
            text = kept + piece
            rows = max(rows, *map(int, set(_ROW_OF_CELL.findall(text))), 0)
            columns = max(columns, *map(_column, set(_COLUMN_OF_CELL.findall(text))), 0)
            if rows * columns > max_cells:
                raise _too_large()
            kept = piece[-LONGEST_CELL:]


def _column(letters: bytes) -> int:
    return functools.reduce(lambda column, letter: 26 * column + letter - 64, letters, 0)


def _malformed() -> Refusal:
    return refuse(400, "malformed_workbook", "the body is not an .xlsx workbook, or it is protected")


def _too_large() -> Refusal:
    return refuse(413, "body_too_large", "the workbook unfolds to more than is accepted")
