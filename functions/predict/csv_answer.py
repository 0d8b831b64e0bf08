"""The answer of a batch as CSV: the rows as they were sent, with the prediction's columns appended.

No warnings stand in it: it holds the rows and nothing beside them.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from functions.predict.assessment import Answer
from functions.predict.csv_table import CsvTable

ANSWERED = ("prediction", "interval_low", "interval_high")
ASSESSED = ("risk_probability", "risk_tier", "band")
RUN = "run_id"


def csv_answer(
    batch: "CsvTable | Sequence[Mapping[str, Any]]", answers: Sequence[Answer], *, risk: bool, run: str
) -> str:
    """The text; `risk` tells whether the model has such a notion, `run` which model answered."""
    table = batch if isinstance(batch, CsvTable) else _table(batch)
    appended = [*ANSWERED, *(ASSESSED if risk else ()), RUN]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow([*table.header, *_apart(appended, table.header)])
    writer.writerows([*row, *_cells(answer, run)] for row, answer in zip(table.rows, answers, strict=True))
    return text.getvalue()


def _apart(names: Iterable[str], taken: Sequence[str]) -> Iterator[str]:
    """The names, changed where a column of the caller has one of them."""
    for name in names:
        free = name
        while free in taken:
            free = f"{free}_"
        yield free


def _cells(answer: Answer, run: str) -> list[object]:
    cells: list[object] = [answer.prediction, answer.interval.low, answer.interval.high]
    if answer.risk is not None:
        cells += [answer.risk.probability, answer.risk.tier, answer.band]
    return [*cells, run]


def _table(rows: Sequence[Mapping[str, Any]]) -> CsvTable:
    """JSON rows by column, in the order in which the fields first appear."""
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return CsvTable(header, [[_cell(row.get(name)) for name in header] for row in rows])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
