"""The request's fields as the model knows them: JSON rows or a CSV table become the graph's input, or every problem.

Both doors meet in `_Reading`: cells by feature, row by row, with the problems and warnings found on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.predict.columns import ABSENT, SKIPPED, CategoricalColumn, Column, NumericColumn, column
from functions.predict.problems import MAX_PROBLEMS, Problem, Refusal, pointer, shortened
from functions.predict.table import Table
from shared.dataset import nearest, normalized
from shared.documents import Manifest

Row = Mapping[str, Any]
Known = tuple[tuple[float, ...], tuple[str, ...]]
"""A row as the graph reads it: its numbers and its categories, none of the numbers missing."""


class Warned(msgspec.Struct, frozen=True, gc=False):
    """Something in the request that had no influence."""

    pointer: str
    code: str
    message: str


@dataclass(frozen=True)
class Inputs:
    """What the graph reads: `numeric` double (n, k) and `categorical` text (n, c), with what to tell the caller."""

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    rows: int
    warnings: tuple[Warned, ...] = ()

    @classmethod
    def of(cls, row: Known) -> "Inputs":
        """One row."""
        numbers, words = row
        return cls(np.array([numbers], dtype=np.float64), np.array([words], dtype=object), 1)


@dataclass
class _Reading:
    """A request while it is read. Positions order the problems as the request does: by row, then as found."""

    rows: int
    single: bool
    cells: dict[str, Sequence[object]] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)

    def full(self) -> bool:
        return len(self.problems) > MAX_PROBLEMS

    def pointer(self, row: int, name: str) -> str:
        return pointer(name) if self.single else pointer(row, name)


class RequestSchema:
    """The fields of one model. Immutable once built, so threads may share it."""

    def __init__(self, manifest: Manifest) -> None:
        self.columns: tuple[Column, ...] = tuple(column(feature) for feature in manifest.features)
        self._numeric = [c.name for c in self.columns if isinstance(c, NumericColumn)]
        self._categorical = [c.name for c in self.columns if not isinstance(c, NumericColumn)]
        self._numeric_columns = [c for c in self.columns if isinstance(c, NumericColumn)]
        self._categorical_columns = [c for c in self.columns if isinstance(c, CategoricalColumn)]
        self._features = {c.name: c.name for c in self.columns}
        self._ignored = {manifest.target, *manifest.dropped}
        self._names = self._features | {name: name for name in self._ignored}
        for alias, name in manifest.aliases.items():
            self._names.setdefault(alias, name)
            if name not in self._features:
                self._ignored.add(name)
        self._headers = {normalized(spelling): name for spelling, name in self._names.items()}

    def known(self, row: Row) -> Known | None:
        """The row of /predict where it has exactly the features, in trained spelling; None for any other."""
        try:
            if len(row) == len(self.columns):
                return (
                    tuple([entry.known(row[entry.name]) for entry in self._numeric_columns]),
                    tuple([entry.known(row[entry.name]) for entry in self._categorical_columns]),
                )
        except (KeyError, TypeError, ValueError):  # a field that is absent, or a cell that needs a closer look
            pass
        return None

    def read_row(self, row: Row) -> Inputs:
        """The one row of /predict, whatever it is. Raises Refusal (422) with every problem."""
        return self._read([row], single=True)

    def read_rows(self, rows: Sequence[Any]) -> Inputs:
        """The rows of /predict_batch. Raises Refusal (422) with every problem, pointing to `/<row>/<field>`."""
        return self._read(rows, single=False)

    def read_table(self, table: Table) -> Inputs:
        """The rows of a CSV. Raises Refusal (422); a problem of a whole column points to `/<header>`, once."""
        if not table.rows:
            return self._inputs({c.name: [] for c in self.columns}, 0, ())
        reading = _Reading(rows=len(table.rows), single=False)
        self._gather_table(table, reading)
        return self._finish(reading)

    def _read(self, rows: Sequence[Any], *, single: bool) -> Inputs:
        values = self._read_at_once(rows)
        if values is not None:
            return self._inputs(values, len(rows), ())
        reading = _Reading(rows=len(rows), single=single)
        self._gather_rows(rows, reading)
        return self._finish(reading)

    def _read_at_once(self, rows: Sequence[Any]) -> dict[str, Sequence[object]] | None:
        """The values of rows that have exactly the features, all in trained spelling; None for any others."""
        width = len(self.columns)
        values: dict[str, Sequence[object]] = {}
        try:
            if any(len(row) != width for row in rows):
                return None
            for entry in self.columns:
                name = entry.name
                read = entry.read([row[name] for row in rows])
                if read is None:
                    return None
                values[name] = read
        except (KeyError, TypeError, IndexError):  # a field that is absent, or a row that is no object
            return None
        return values

    def _gather_rows(self, rows: Sequence[Any], reading: _Reading) -> None:
        gathered: dict[str, list[object]] = {c.name: [ABSENT] * len(rows) for c in self.columns}
        for position, row in enumerate(rows):
            if isinstance(row, dict):
                self._gather_row(position, row, gathered, reading)
            else:
                problem = Problem(pointer(position), "not_an_object", "expected an object with the model's fields")
                reading.problems.append((position, problem))
                for cells in gathered.values():
                    cells[position] = SKIPPED
            if reading.full():
                break
        reading.cells.update(gathered)

    def _gather_row(self, position: int, row: Row, gathered: dict[str, list[object]], reading: _Reading) -> None:
        sources: dict[str, str] = {}
        for spelling, cell in row.items():
            name = self._names.get(spelling)
            if name in gathered and name not in sources:
                sources[name] = spelling
                gathered[name][position] = cell
                continue
            where = reading.pointer(position, spelling)
            if name is None:
                reading.problems.append((position, self._unknown(where, spelling)))
            elif name in sources:
                reading.problems.append((position, _conflict(where, spelling, sources[name])))
            else:
                _warn_ignored(reading, where)
            if reading.full():
                return

    def _gather_table(self, table: Table, reading: _Reading) -> None:
        sources: dict[str, str] = {}
        for header, cells in zip(table.header, zip(*table.rows, strict=True), strict=True):
            name = self._headers.get(header)
            where = pointer(header)
            if name is None and not header and not any(map(str.strip, cells)):
                _warn_ignored(reading, where)
            elif name is None:
                reading.problems.append((-1, self._unknown(where, header)))
            elif name in self._ignored:
                _warn_ignored(reading, where)
            elif name in sources:
                reading.problems.append((-1, _conflict(where, header, sources[name])))
            else:
                sources[name] = header
                reading.cells[name] = self._column(name).from_text(cells)
            if reading.full():
                break
        self._require_columns(reading)

    def _require_columns(self, reading: _Reading) -> None:
        for entry in self.columns:
            if entry.name not in reading.cells:
                problem = Problem(pointer(entry.name), "missing", "the CSV has no column with this name")
                reading.problems.append((-1, problem))
                reading.cells[entry.name] = [SKIPPED] * reading.rows

    def _column(self, name: str) -> Column:
        return next(entry for entry in self.columns if entry.name == name)

    def _finish(self, reading: _Reading) -> Inputs:
        values: dict[str, Sequence[object]] = {}
        for entry in self.columns:
            values[entry.name] = self._values(entry, reading)
        if reading.problems:
            reading.problems.sort(key=lambda found: found[0])  # stable: within a row, as found
            raise Refusal(422, [problem for _, problem in reading.problems])
        return self._inputs(values, reading.rows, tuple(reading.warnings))

    def _values(self, entry: Column, reading: _Reading) -> Sequence[object]:
        cells = reading.cells[entry.name]
        at_once = entry.read(cells)
        if at_once is not None:
            return at_once
        values, defects = entry.read_each(cells)
        for _, (row, defect) in zip(range(MAX_PROBLEMS + 1), defects, strict=False):
            where = reading.pointer(row, entry.name)
            reading.problems.append((row, Problem(where, defect.code, defect.message, defect.allowed)))
        return values

    def _unknown(self, where: str, spelling: str) -> Problem:
        near = nearest(shortened(spelling), self._features)
        advice = f"did you mean {near!r}?" if near else "see /schema for the fields"
        return Problem(where, "unknown_field", f"the model has no such field; {advice}")

    def _inputs(self, values: Mapping[str, Sequence[object]], rows: int, warnings: tuple[Warned, ...]) -> Inputs:
        numeric = np.array([values[name] for name in self._numeric], dtype=np.float64)
        categorical = np.array([values[name] for name in self._categorical], dtype=object)
        return Inputs(
            numeric=np.ascontiguousarray(numeric.reshape(len(self._numeric), rows).T),
            categorical=np.ascontiguousarray(categorical.reshape(len(self._categorical), rows).T),
            rows=rows,
            warnings=warnings,
        )


def _warn_ignored(reading: _Reading, where: str) -> None:
    if len(reading.warnings) < MAX_PROBLEMS:
        reading.warnings.append(Warned(where, "ignored", "the model does not use this field"))


def _conflict(where: str, spelling: str, other: str) -> Problem:
    return Problem(
        where, "duplicate_field", f"{shortened(spelling)!r} and {shortened(other)!r} name the same field; send one"
    )
