"""The answer of a batch as CSV: the rows as they were sent, with the prediction's columns appended.

No warnings stand in it: it holds the rows and nothing beside them.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from functions.predict.assessment import Outcome
from functions.predict.table import Table

OUTCOME = ("prediction", "interval_low", "interval_high")
ASSESSED = ("risk_probability", "risk_tier", "band")
RUN = "run_id"


def csv_answer(
    batch: "Table | Sequence[Mapping[str, Any]]", outcomes: Sequence[Outcome], *, risk: bool, run: str
) -> str:
    """The text; `risk` tells whether the model has such a notion, `run` which model answered."""
    table = batch if isinstance(batch, Table) else _table(batch)
    appended = [*OUTCOME, *(ASSESSED if risk else ()), RUN]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow([*table.header, *_apart(appended, table.header)])
    writer.writerows([*row, *_cells(outcome, run)] for row, outcome in zip(table.rows, outcomes, strict=True))
    return text.getvalue()


def _apart(names: Iterable[str], taken: Sequence[str]) -> Iterator[str]:
    """The names, changed where a column of the caller has one of them."""
    for name in names:
        free = name
        while free in taken:
            free = f"{free}_"
        yield free


def _cells(outcome: Outcome, run: str) -> list[object]:
    cells: list[object] = [outcome.prediction, outcome.interval.low, outcome.interval.high]
    if outcome.risk is not None:
        cells += [outcome.risk.probability, outcome.risk.tier, outcome.band]
    return [*cells, run]


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """JSON rows by column, in the order in which the fields first appear."""
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(header, [[_cell(row.get(name)) for name in header] for row in rows])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
