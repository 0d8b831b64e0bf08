"""How a cell is written that is not read as it stands, as people and programs write them."""

import datetime
import math
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from shared import cells
from shared.cells import PLAIN
from shared.documents import CellFormat

Writing: TypeAlias = Literal["number", "marked", "missing", "date", "time", "word"]

SHOWN = 8
PLAIN_NUMBERS = "write plain numbers, such as 0.72 for 72% and 1000 for 1,000"
_GROUPED = r"\d{1,3}([,.' \u00a0\u2009\u202f\u2019]\d{2,3})*[,.' \u00a0\u2009\u202f\u2019]\d{3}([.,]\d+)?"
_AMOUNT = rf"({_GROUPED}|\d+([.,]\d+)?|[.,]\d+)"
_CURRENCY = r"[$\u00a3\u20ac\u00a5\u20b9]"
_MARKED = re.compile(rf"\(?[+\-\u2212]?\s*{_CURRENCY}?\s*[+\-\u2212]?{_AMOUNT}\s*[%\u2030]?\s*{_CURRENCY}?\)?")
"""72%, 1,000, 12,34,567, 1.234,56, $5, (5.00), and the minus sign and the narrow spaces of typesetting."""
_MISSING = re.compile(r"(?i:n/?a|n\.a\.|#n/a|null|none|nan|nil|missing|unknown|[?.-]+|[+-]?inf(inity)?)")
"""What R, UCI, SQL and spreadsheets write for no value, and the infinities."""
_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIME = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s?(?i:[ap]m))?"
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    rf"|\d{{1,2}}[-/. ]{_MONTH}[-/., ]+\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}})"
    r"([T ]\d{1,2}:\d{2}.*)?"
)
_COMPACT_DATE = re.compile(r"(19|20)\d{6}")


def number_in(cell: str | None, form: CellFormat = PLAIN) -> float | None:
    """The finite number that the whole cell is, or None; Python's `1_000` and `nan` are no numbers of a table."""
    value = None if cell is None else cells.number_in(cell.strip(), form)
    return value if value is not None and math.isfinite(value) else None


def writing_of(cell: str, form: CellFormat = PLAIN) -> Writing:
    """How a cell that holds something is written: a number of `form`, one with marks, a word for missing, a date, a
    word.

    Told apart to be told to a person: none of them is turned into another.
    """
    if number_in(cell, form) is not None:
        return "number"
    if _DATE.fullmatch(cell):
        return "date"
    if re.fullmatch(_TIME, cell):
        return "time"
    if _MARKED.fullmatch(cell):
        return "marked"
    return "missing" if _MISSING.fullmatch(cell) else "word"


def is_compact_date(cell: str) -> bool:
    """Whether the cell is a day as 20130101 writes it."""
    if not _COMPACT_DATE.fullmatch(cell):
        return False
    try:
        datetime.date(int(cell[:4]), int(cell[4:6]), int(cell[6:]))
    except ValueError:
        return False
    return True


def in_lines(lines: Sequence[int]) -> str:
    """`lines 2, 3 and 5 more`."""
    shown = ", ".join(map(str, lines[:SHOWN]))
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"
