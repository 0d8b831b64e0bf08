"""Finds the kind of a column: as the spec says, else by its content. What is not clear is told, never guessed."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from shared.cells import day_in, truth_in
from shared.documents import CellFormat, Kind
from shared.errors import ColumnProblem
from shared.tables.advice import Advice, to_read_dates, to_read_missing, to_read_numbers
from shared.tables.cells import PLAIN_NUMBERS, Writing, in_lines, is_compact_date, number_in, writing_of
from shared.tables.sheet import Cells

MANY_VALUES = 20
"""A column of more different numbers than this is a measurement, and words among them are for a person to explain."""
_LEADING_ZERO = re.compile(r"[+-]?0\d+")


@dataclass(frozen=True)
class RawColumn:
    """A column as it stands in the file, None for what is missing, with the lines of its cells and how to read them."""

    name: str
    cells: Cells
    lines: Sequence[int]
    form: CellFormat

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each cell is there that holds something."""
        return Counter(cell for cell in self.cells if cell is not None)

    @cached_property
    def writings(self) -> Counter[Writing]:
        """How many cells are written in each way."""
        found: Counter[Writing] = Counter()
        for cell, count in self.counts.items():
            found[writing_of(cell, self.form)] += count
        return found

    def all(self, reads: Callable[[str], object]) -> bool:
        """Whether `reads` reads every cell that holds something."""
        return all(reads(cell) is not None for cell in self.counts)

    def unread(self, reads: Callable[[str], object]) -> str:
        """The lines with cells that `reads` does not read."""
        wrong = {cell for cell in self.counts if reads(cell) is None}
        return in_lines([line for cell, line in zip(self.cells, self.lines, strict=True) if cell in wrong])

    def holds(self, *writings: Writing) -> bool:
        """Whether any cell is written in one of these ways."""
        return any(self.writings[writing] for writing in writings)

    def number(self, cell: str) -> float | None:
        """The number that a cell is."""
        return number_in(cell, self.form)

    def day(self, cell: str) -> float | None:
        """The day that a cell is."""
        return day_in(cell, self.form)

    def truth(self, cell: str) -> bool | None:
        """The truth value that a cell is."""
        return truth_in(cell, self.form)


def kind_of(column: RawColumn, specified: Kind | None, problems: list[str]) -> Kind | None:
    """The kind, or None with what is wrong in `problems`.

    Whole numbers are numbers, however few of them there are: their order may mean something, and a value not seen in
    training keeps its meaning. Codes without an order are for the spec to call categorical.
    """
    problem = _against(column, specified) if specified else _unclear(column)
    if problem:
        problems.append(problem)
        return None
    if specified:
        return specified
    if column.all(column.truth):
        return "boolean"
    if column.all(column.number):
        return "categorical" if any(map(_LEADING_ZERO.fullmatch, column.counts)) else "numeric"
    return "date" if column.all(column.day) else "categorical"


def _against(column: RawColumn, specified: Kind) -> ColumnProblem | None:
    """What in a column is not of the kind that the spec tells."""
    if specified == "numeric" and not column.all(column.number):
        return _interrupted(column) if column.holds("number", "marked") else _none_of(column, "a number", column.number)
    if specified == "date" and not column.all(column.day):
        return _dates(column) if column.holds("number", "date") else _none_of(column, "a date", column.day)
    if specified == "boolean" and not column.all(column.truth):
        sentence = (
            f"feature {column.name!r} is boolean in the spec, but neither true nor false in "
            f"{column.unread(column.truth)}; name its words as true = [...] and false = [...] beside kind"
        )
        return ColumnProblem(sentence, column.name)
    return None


def _unclear(column: RawColumn) -> ColumnProblem | None:
    """The problem of a column that is nearly of a kind, or might be of two."""
    if column.all(column.truth):
        return None
    if column.all(column.number):
        return _dates(column) if all(map(is_compact_date, column.counts)) else None
    if column.all(column.day):
        return None
    total = sum(column.writings.values())
    most, count = column.writings.most_common(1)[0]
    if column.writings["marked"] and set(column.writings) <= {"number", "marked", "missing"}:
        return _marked(column)
    if count * 2 > total and most == "date":
        return _dates(column)
    if count * 2 > total and most == "time":
        sentence = (
            f"feature {column.name!r} holds times of day, which are not read; turn them into numbers (minutes since "
            f'midnight), list it in drop, or say kind = "categorical" in the spec'
        )
        return ColumnProblem(sentence, column.name)
    if count * 2 > total and most == "marked":
        return _marked(column)
    if not column.holds("word") and column.holds("number", "marked", "date"):
        # As where a spreadsheet took some for days.
        return _dates(column) if column.writings["date"] > column.writings["number"] else _interrupted(column)
    return _interrupted(column) if _is_a_measurement(column, total) else None


def _is_a_measurement(column: RawColumn, total: int) -> bool:
    """Whether words among the numbers are few, stand for a missing value, or interrupt many different numbers."""
    numbers = column.writings["number"]
    if total - numbers <= 0.1 * total:
        return True
    if set(column.writings) <= {"number", "missing"}:
        return numbers > 0
    different = sum(column.number(cell) is not None for cell in column.counts)
    return numbers * 2 > total and different > MANY_VALUES


def _none_of(column: RawColumn, kind: str, reads: Callable[[str], object]) -> ColumnProblem:
    sentence = (
        f"feature {column.name!r} is to hold {kind} by the spec, and holds none in {column.unread(reads)}; "
        f"say another kind, or list it in drop"
    )
    return ColumnProblem(sentence, column.name)


def _interrupted(column: RawColumn) -> ColumnProblem:
    advice = to_read_missing(column.name, column.counts, column.number)
    return _not_numbers(column, ", but not", "correct them, empty them", advice)


def _marked(column: RawColumn) -> ColumnProblem:
    advice = to_read_numbers(column.name, column.counts, column.form)
    return _not_numbers(column, " that are not written plainly", PLAIN_NUMBERS, advice)


def _not_numbers(column: RawColumn, which: str, mend: str, advice: Advice) -> ColumnProblem:
    sentence = (
        f"feature {column.name!r} holds numbers{which} in"
        f' {column.unread(column.number)}; {mend}, {_or(advice)}or say kind = "categorical" in the spec'
    )
    return ColumnProblem(sentence, column.name, advice.ready)


def _dates(column: RawColumn) -> ColumnProblem:
    numbers = column.all(column.number)
    unread = [line for line, cell in zip(column.lines, column.cells, strict=True) if cell is not None]
    where = in_lines(unread) if numbers else column.unread(column.day)
    advice = to_read_dates(column.name, column.counts, column.form)
    sentence = (
        f"feature {column.name!r} holds dates, which are not read as they stand in {where}; "
        f"{_or(advice)}turn them into numbers (an age, a month, days since), list it in drop, or say "
        f'kind = "{"numeric" if numbers else "categorical"}" in the spec'
    )
    return ColumnProblem(sentence, column.name, advice.ready)


def _or(advice: Advice) -> str:
    return f"{advice}, " if advice.lines else ""
