"""An .xlsx body as a table: the first sheet that holds anything. The only home of python-calamine.

What a small file can unfold to is measured before it is read.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from functions.predict.wire.workbook_parts import MOST_CELLS, MOST_UNPACKED, malformed, measured, too_large
from shared.problems import refuse
from shared.serving.sent_table import Record, SentTable, assemble, filled

MOST_LOOKED_AT = 2 * MOST_UNPACKED
"""Bytes of sheets that turn out to hold nothing: a thousand of them may be the same part."""

BYTES_OF_A_CELL = 64

MOST_CHARACTERS = 2**17
"""Of one cell, as in a CSV; a spreadsheet program has 32,767. What compares names would take twenty times as much."""


def parse_workbook(body: bytes, max_rows: int, max_cells: int = MOST_CELLS) -> SentTable:
    """The table in `body`. Raises Refusal: 400 for what is no such file, 413 for one that is too large."""
    parts = measured(body, max_cells)
    most_bytes = parts.most_bytes
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(parts.archive)
        del parts  # the reader has a copy
        visible = [
            sheet.name for sheet in book.sheets_metadata if sheet.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        left, rows = MOST_LOOKED_AT, []
        for name in visible:
            rows = _rows(book.get_sheet_by_name(name))
            if any(any(cell != "" for cell in row) for row in rows):
                break
            left -= most_bytes + BYTES_OF_A_CELL * sum(map(len, rows))
            if left < 0:
                raise too_large()
    except (python_calamine.CalamineError, ValueError) as error:
        raise malformed() from error
    if not rows:
        raise refuse(400, "empty_body", "expected a table with a header line, found an empty workbook")
    return assemble(filled(_records(rows), max_rows), max_rows, typed=True)


def _rows(sheet: Any) -> list[list[Any]]:
    """A sheet from its first cell on; row by row, so that others have their turn in between."""
    start = sheet.start
    left = [""] * (start[1] if start else 0)
    return [left + row for row in sheet.iter_rows()]


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
    text = str(cell)
    if len(text) > MOST_CHARACTERS:
        raise too_large()
    return text
