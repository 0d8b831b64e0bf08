"""A table as it was sent, whatever the file was: a header and rows of text, each row with its number in the file.

Title lines above the header and empty lines are left out; the numbers tell where the others stand.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.problems import Problem, Refusal, json_pointer, refuse, shortened
from shared.spelling import normalized

MOST_TITLES = 10
"""The most lines that may stand above the header."""

MOST_COLUMNS = 16_384
"""The most columns of a table: as many as a sheet of a spreadsheet has."""

Record = tuple[int, list[str]]
"""A line's number, as a spreadsheet counts lines from 1, and its cells."""


@dataclass(frozen=True)
class SentTable:
    """Header names as compared (stripped, normalised), rows of equally many cells as sent, and the rows' numbers.

    `typed`: a program wrote numbers and dates by their type, whatever the table's own way of writing them.
    """

    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] | None = None
    decimal_comma: bool = False
    typed: bool = False


def filled(records: Iterable[Record], max_rows: int) -> list[Record]:
    """The records that are not empty. Raises Refusal (413) as soon as there are more than titles, header and rows."""
    most = MOST_TITLES + 1 + max_rows
    found: list[Record] = []
    for number, cells in records:
        if any(map(str.strip, cells)):
            found.append((number, cells))
            if len(found) > most:
                raise too_many_rows(max_rows)
    return found


def assemble(
    records: Sequence[Record], max_rows: int, *, decimal_comma: bool = False, typed: bool = False
) -> SentTable:
    """The table that `records`, which are not empty, hold.

    Raises Refusal: 400 for what is no table, with every ragged row; 413 for more than `max_rows` rows.
    """
    above, header = header_of(records)
    rest = records[above:]
    if len(rest) > max_rows:
        raise too_many_rows(max_rows)
    rows = [fitted(cells, len(header)) for _, cells in rest]
    ragged = [
        ragged_row(row, line, len(cells), len(header))
        for row, ((line, _), cells) in enumerate(zip(rest, rows, strict=True))
        if len(cells) != len(header)
    ]
    if ragged:
        raise Refusal(400, ragged)
    return SentTable(header, rows, [line for line, _ in rest], decimal_comma, typed)


def too_many_rows(max_rows: int) -> Refusal:
    """The refusal of a batch, of whichever format, that has more than `max_rows` rows."""
    return refuse(413, "too_many_rows", f"the batch has more than the {max_rows} rows that are accepted")


def header_of(records: Sequence[Record]) -> tuple[int, tuple[str, ...]]:
    """How many records the header and the titles above it are, and the header's names."""
    if not records:
        return 0, ()
    first = records[: MOST_TITLES + 1]
    wide = max(_filled(cells) for _, cells in first) > 1
    place = next(place for place, (_, cells) in enumerate(first) if not wide or _filled(cells) > 1)
    if len(records[place][1]) > MOST_COLUMNS:
        raise refuse(413, "too_many_columns", f"the table has more than the {MOST_COLUMNS} columns that are accepted")
    header = tuple(normalized(name) for name in records[place][1])
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        problems = [
            Problem(json_pointer(name), "duplicate_header", f"the header {shortened(name)!r} stands twice")
            for name in twice
        ]
        raise Refusal(400, problems)
    return place + 1, header


def _filled(cells: Sequence[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def fitted(cells: list[str], width: int) -> list[str]:
    """The cells without empty ones beyond the header."""
    return cells if len(cells) <= width or any(map(str.strip, cells[width:])) else cells[:width]


def ragged_row(row: int, line: int, found: int, expected: int) -> Problem:
    """The problem of a row that has more or fewer cells than the header."""
    return Problem(
        json_pointer(row), "ragged_row", f"row {line} has {found} cells, the header has {expected}", row=line
    )
