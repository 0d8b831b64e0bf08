"""A request while it is read: cells by feature become the graph's input, or every problem with them.

Both doors, JSON rows and CSV, gather their cells into a `Reading` and finish it here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from typing import TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from shared.problems import MAX_PROBLEMS, Problem, Refusal, json_pointer, shortened
from shared.serving.columns import CategoricalColumn, Column
from shared.serving.findings import Unusual

COLUMN = -1
"""Replaces a row's position where something is said of a whole column."""

Locate = Callable[[int, str], str]
"""The JSON pointer to the cell of a row and a field."""

KnownRow = tuple[tuple[float, ...], tuple[str, ...]]
"""A row as the graph reads it: its numbers and its categories, in the order of the features."""


class Warned(msgspec.Struct, frozen=True, gc=False):
    """Something in the request that the caller should know of, although it was answered."""

    pointer: str
    code: str
    message: str


@dataclass(frozen=True)
class ModelInput:
    """What the graph reads: `numeric` double (n, k) and `categorical` text (n, c), with what to tell the caller.

    Where rows are answered each for itself, `refused` holds the problems of those that cannot be, by their position in
    the request, and `numeric` and `categorical` only the others, in order. `notes` are the warnings by position.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    rows: int
    warnings: tuple[Warned, ...] = ()
    refused: Mapping[int, Sequence[Problem]] = field(default_factory=dict)
    notes: Mapping[int, Sequence[Warned]] = field(default_factory=dict)

    @classmethod
    def of(cls, row: KnownRow) -> "ModelInput":
        """One row as input."""
        return cls.of_rows([row])

    @classmethod
    def of_rows(cls, rows: Sequence[KnownRow]) -> "ModelInput":
        """Rows as input."""
        numbers, words = zip(*rows, strict=True)
        return cls(np.array(numbers, dtype=np.float64), np.array(words, dtype=object), len(rows))


MOST_OF_A_ROW = 5
"""Problems of one row that are told where rows are answered each for itself: so many rows may have some."""


@dataclass
class Reading:
    """Cells by feature, row by row, with the problems and warnings that were found on the way.

    Problems have the position of their row, so that they can be told in the request's order: by row, then as found.
    A problem of a whole column has the position COLUMN. `prefix` leads to the rows within the request, and `locate` to
    the cells where they do not stand in their rows. `numbers` are the rows' numbers as a spreadsheet counts them.
    `each`: a row with problems does not keep the others from an answer.
    """

    rows: int
    single: bool = False
    each: bool = False
    prefix: str = ""
    locate: Locate | None = None
    numbers: Sequence[int] | None = None
    cells: dict[str, Sequence[object]] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    problems_by_row: Counter[int] = field(default_factory=Counter)
    warnings: list[tuple[int, Warned]] = field(default_factory=list)

    def full(self) -> bool:
        """Whether there are more problems than are told."""
        return not self.each and len(self.problems) > MAX_PROBLEMS

    def pointer(self, row: int, *steps: str) -> str:
        """Where `row`, or a field of it, stands in the request."""
        if self.locate is not None and steps:
            return self.locate(row, steps[0])
        return self.prefix + (json_pointer(*steps) if self.single else json_pointer(row, *steps))

    def refuse(self, row: int, problem: Problem) -> None:
        """Note a problem of `row`, or of a whole column where `row` is COLUMN."""
        if self.each and row != COLUMN:
            self.problems_by_row[row] += 1
            if self.problems_by_row[row] > MOST_OF_A_ROW + 1:
                return
            if self.problems_by_row[row] > MOST_OF_A_ROW:
                message = f"the row has more problems than the {MOST_OF_A_ROW} that are listed"
                problem = Problem(self.pointer(row), "more_problems", message)
        if self.numbers is not None and row != COLUMN:
            problem = replace(problem, row=self.numbers[row])
        self.problems.append((row, problem))

    def full_row(self, row: int) -> bool:
        """Whether no more problems of `row` are told."""
        return self.each and self.problems_by_row[row] > MOST_OF_A_ROW

    def warn(self, row: int, pointer: str, code: str, message: str) -> None:
        """Note something that the caller should know of although `row`, or a column, is answered."""
        if self.each or len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append((row, Warned(pointer, code, message)))

    def ignore(self, row: int, pointer: str) -> None:
        """Note that what stands at `pointer` has no influence."""
        self.warn(row, pointer, "ignored", "the model does not use this field")

    def finish(self, columns: Sequence[Column]) -> ModelInput:
        """The graph's input. Raises Refusal (422) with every problem; of `each` row only those of whole columns."""
        cells = {column.name: self._accepted(column) for column in columns}
        listed = [found for found in self.problems if found[0] == COLUMN] if self.each else self.problems
        if listed:
            listed.sort(key=lambda found: found[0])  # stable: within a row, as found
            raise Refusal(422, [problem for _, problem in listed])
        refused = _by_row(self.problems)
        if refused:
            cells = {
                name: [cell for row, cell in enumerate(held) if row not in refused] for name, held in cells.items()
            }
        read = model_input(columns, cells, self.rows - len(refused))
        notes = _by_row([found for found in self.warnings if found[0] not in refused])
        warnings = [warned for row, warned in self.warnings if row not in refused][:MAX_PROBLEMS]
        return dataclass_replace(read, warnings=tuple(warnings), refused=refused, notes=notes)

    def _accepted(self, column: Column) -> Sequence[object]:
        cells = self.cells[column.name]
        at_once = column.accepts_all(cells)
        if at_once is not None:
            return at_once
        accepted, findings = column.accepts_each(cells)
        defects = 0
        for row, found in findings:
            where = self.pointer(row, column.name)
            if isinstance(found, Unusual):
                self.warn(row, where, found.code, found.message)
                continue
            self.refuse(row, Problem(where, found.code, found.message, found.allowed))
            defects += 1
            if defects > MAX_PROBLEMS and not self.each:
                break
        return accepted


Found = TypeVar("Found")


def _by_row(found: Sequence[tuple[int, Found]]) -> dict[int, list[Found]]:
    rows: dict[int, list[Found]] = {}
    for row, entry in found:
        if row != COLUMN:
            rows.setdefault(row, []).append(entry)
    return rows


def model_input(columns: Sequence[Column], cells: Mapping[str, Sequence[object]], rows: int) -> ModelInput:
    """The graph's input from accepted cells by feature, `rows` of each."""
    numbers = [cells[column.name] for column in columns if not isinstance(column, CategoricalColumn)]
    words = [cells[column.name] for column in columns if isinstance(column, CategoricalColumn)]
    numeric = np.empty((rows, len(numbers)), dtype=np.float64)
    for place, column_cells in enumerate(numbers):
        numeric[:, place] = np.array(column_cells, dtype=np.float64)
    categorical = np.empty((rows, len(words)), dtype=object)
    for place, column_cells in enumerate(words):
        categorical[:, place] = column_cells
    return ModelInput(numeric, categorical, rows)


def duplicate_field(where: str, spelling: str, other: str) -> Problem:
    """The problem with a field that was sent under two names."""
    both = f"{shortened(spelling)!r} and {shortened(other)!r}"
    return Problem(where, "duplicate_field", f"{both} name the same field; send one")
