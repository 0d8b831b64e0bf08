"""A request while it is read: cells by feature become the graph's input, or every problem with them.

Both doors, JSON rows and CSV, gather their cells into a `Reading` and finish it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.predict.columns import CategoricalColumn, Column, NumericColumn
from shared.problems import MAX_PROBLEMS, Problem, Refusal, json_pointer, shortened

KnownRow = tuple[tuple[float, ...], tuple[str, ...]]
"""A row as the graph reads it: its numbers and its categories, in the order of the features."""


class Warned(msgspec.Struct, frozen=True, gc=False):
    """Something in the request that the caller should know of, although it was answered."""

    pointer: str
    code: str
    message: str


@dataclass(frozen=True)
class ModelInput:
    """What the graph reads: `numeric` double (n, k) and `categorical` text (n, c), with what to tell the caller."""

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    rows: int
    warnings: tuple[Warned, ...] = ()

    @classmethod
    def of(cls, row: KnownRow) -> "ModelInput":
        """One row as input."""
        numbers, words = row
        return cls(np.array([numbers], dtype=np.float64), np.array([words], dtype=object), 1)


@dataclass
class Reading:
    """Cells by feature, row by row, with the problems and warnings that were found on the way.

    Problems have the position of their row, so that they can be told in the request's order: by row, then as found.
    A problem of a whole column has the position -1.
    """

    rows: int
    single: bool = False
    cells: dict[str, Sequence[object]] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)

    def full(self) -> bool:
        """Whether there are more problems than are told."""
        return len(self.problems) > MAX_PROBLEMS

    def pointer(self, row: int, name: str) -> str:
        """Where the field `name` of `row` stands in the request."""
        return json_pointer(name) if self.single else json_pointer(row, name)

    def refuse(self, row: int, problem: Problem) -> None:
        """Note a problem of `row`, or of a whole column where `row` is -1."""
        self.problems.append((row, problem))

    def ignore(self, pointer: str) -> None:
        """Note that what stands at `pointer` has no influence."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Warned(pointer, "ignored", "the model does not use this field"))

    def finish(self, columns: Sequence[Column]) -> ModelInput:
        """The graph's input. Raises Refusal (422) with every problem."""
        cells = {column.name: self._accepted(column) for column in columns}
        if self.problems:
            self.problems.sort(key=lambda found: found[0])  # stable: within a row, as found
            raise Refusal(422, [problem for _, problem in self.problems])
        return model_input(columns, cells, self.rows, tuple(self.warnings))

    def _accepted(self, column: Column) -> Sequence[object]:
        cells = self.cells[column.name]
        at_once = column.accepts_all(cells)
        if at_once is not None:
            return at_once
        accepted, defects = column.accepts_each(cells)
        for _, (row, defect) in zip(range(MAX_PROBLEMS + 1), defects, strict=False):
            where = self.pointer(row, column.name)
            self.refuse(row, Problem(where, defect.code, defect.message, defect.allowed))
        return accepted


def model_input(
    columns: Sequence[Column], cells: Mapping[str, Sequence[object]], rows: int, warnings: tuple[Warned, ...] = ()
) -> ModelInput:
    """The graph's input from accepted cells by feature, `rows` of each."""
    numeric = np.array([cells[column.name] for column in columns if isinstance(column, NumericColumn)], np.float64)
    words = [cells[column.name] for column in columns if isinstance(column, CategoricalColumn)]
    categorical = np.array(words, dtype=object)
    return ModelInput(
        numeric=np.ascontiguousarray(numeric.reshape(len(columns) - len(words), rows).T),
        categorical=np.ascontiguousarray(categorical.reshape(len(words), rows).T),
        rows=rows,
        warnings=warnings,
    )


def duplicate_field(where: str, spelling: str, other: str) -> Problem:
    """The problem with a field that was sent under two names."""
    both = f"{shortened(spelling)!r} and {shortened(other)!r}"
    return Problem(where, "duplicate_field", f"{both} name the same field; send one")
