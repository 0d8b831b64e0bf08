"""The fields of one model, and JSON rows of them: the rows become the graph's input, or every problem with them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from shared.documents import Manifest
from shared.problems import Problem, shortened
from shared.serving.columns import CategoricalColumn, Column, column
from shared.serving.findings import ABSENT, SKIPPED, has_findings
from shared.serving.plain_rows import PlainRows
from shared.serving.reading import KnownRow, Locate, ModelInput, Reading, duplicate_field, model_input
from shared.spelling import nearest

Row = Mapping[str, Any]


class RequestSchema:
    """The fields of one model. Immutable once built, so that threads may share it."""

    def __init__(self, manifest: Manifest) -> None:
        self._features = manifest.features
        self.columns: tuple[Column, ...] = tuple(column(feature) for feature in manifest.features)
        self._numeric = [entry for entry in self.columns if not isinstance(entry, CategoricalColumn)]
        self._categorical = [entry for entry in self.columns if isinstance(entry, CategoricalColumn)]
        features = {entry.name: entry.name for entry in self.columns}
        self.ignored = frozenset({manifest.target, *manifest.dropped, *manifest.aliases.values()} - features.keys())
        self.names: Mapping[str, str] = manifest.aliases | features | {name: name for name in self.ignored}
        """Every spelling of a field that is accepted, with the field's own name."""

    @cached_property
    def plain(self) -> PlainRows:
        """What reads batches of which nothing is to be said. Made for the first one."""
        return PlainRows(self._features, self.columns)

    def known(self, row: Row) -> KnownRow | None:
        """The row of /predict where it has exactly the features and nothing is to be said of it; None for any other."""
        if len(row) != len(self.columns):
            return None
        try:
            numbers: list[Any] = [entry.accepts(row[entry.name]) for entry in self._numeric]
            words: list[Any] = [entry.accepts(row[entry.name]) for entry in self._categorical]
        except KeyError:
            return None
        if has_findings(numbers) or has_findings(words):
            return None
        return tuple(numbers), tuple(words)

    def read_row(self, row: Row) -> ModelInput:
        """The one row of /predict, whatever it is. Raises Refusal (422) with every problem."""
        known = self.known(row)
        if known is not None:
            return ModelInput.of(known)
        return self._read_closely([row], Reading(rows=1, single=True))

    def read_rows(
        self, rows: Sequence[Any], *, each: bool = False, prefix: str = "", locate: Locate | None = None
    ) -> ModelInput:
        """The rows of /predict_batch. Raises Refusal (422) with every problem, pointing to `<prefix>/<row>/<field>`
        or to where `locate` says.

        With `each`, rows that cannot be answered are told in the result's `refused` instead.
        """
        cells = self._accepted_at_once(rows)
        if cells is not None:
            return model_input(self.columns, cells, len(rows))
        return self._read_closely(rows, Reading(len(rows), each=each, prefix=prefix, locate=locate))

    def unknown(self, where: str, spelling: str) -> Problem:
        """The problem with a field that the model does not have, with the nearest one that it has."""
        near = nearest(shortened(spelling), [entry.name for entry in self.columns])
        advice = f"did you mean {near!r}?" if near else "see /schema for the fields"
        return Problem(where, "unknown_field", f"the model has no such field; {advice}")

    def _read_closely(self, rows: Sequence[Any], reading: Reading) -> ModelInput:
        self._gather(rows, reading)
        return reading.finish(self.columns)

    def _accepted_at_once(self, rows: Sequence[Any]) -> dict[str, Sequence[object]] | None:
        """The cells of rows that have exactly the features, all plainly good; None for any others."""
        accepted: dict[str, Sequence[object]] = {}
        try:
            if not set(map(len, rows)) <= {len(self.columns)}:
                return None
            for entry in self.columns:
                name = entry.name
                cells = entry.accepts_all([row[name] for row in rows])
                if cells is None:
                    return None
                accepted[name] = cells
        except (KeyError, TypeError, IndexError):  # a field that is absent, or a row that is no object
            return None
        return accepted

    def _gather(self, rows: Sequence[Any], reading: Reading) -> None:
        gathered: dict[str, list[object]] = {entry.name: [ABSENT] * len(rows) for entry in self.columns}
        for position, row in enumerate(rows):
            if isinstance(row, dict):
                self._gather_row(position, row, gathered, reading)
            else:
                message = "expected an object with the model's fields"
                reading.refuse(position, Problem(reading.pointer(position), "not_an_object", message))
                for cells in gathered.values():
                    cells[position] = SKIPPED
            if reading.full():
                break
        reading.cells.update(gathered)

    def _gather_row(self, position: int, row: Row, gathered: dict[str, list[object]], reading: Reading) -> None:
        sources: dict[str, str] = {}
        for spelling, cell in row.items():
            name = self.names.get(spelling)
            if name in gathered and name not in sources:
                sources[name] = spelling
                gathered[name][position] = cell
                continue
            if reading.full_row(position):
                continue
            where = reading.pointer(position, spelling)
            if name is None:
                reading.refuse(position, self.unknown(where, spelling))
            elif name in sources:
                reading.refuse(position, duplicate_field(where, spelling, sources[name]))
            else:
                reading.ignore(position, where)
            if reading.full():
                return
