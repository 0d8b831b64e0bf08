"""The answer of a batch as a table: the rows as they were sent, with the prediction's columns appended.

Where rows are answered each for itself, the reason why one is not and what there is to know of the others stand in
columns too, with the row's number in the file that was sent; else the table holds the rows and nothing beside them.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from shared.answer_columns import ANSWERED, ASSESSED, RUN, TOLD
from shared.problems import Problem
from shared.serving.assessment import Answer
from shared.serving.explanation import Effect
from shared.serving.reading import ModelInput, Warned
from shared.serving.sent_table import SentTable

MOST_CHOICES = 20
FORMULA = frozenset("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""What a formula begins with; the last four are the wide forms of others, which programs of some languages take too."""
_SIGNED = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?%?", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class TableAnswer:
    """A table's header and lines of cells: text as it was sent, then what was predicted."""

    header: Sequence[str]
    lines: Sequence[Sequence[object]]


def table_answer(
    batch: SentTable | Sequence[Mapping[str, Any]],
    answers: Sequence[Answer],
    read: ModelInput,
    *,
    risk: bool,
    run: str,
    each: bool = False,
    effects: Sequence[Sequence[Effect]] = (),
    most: int = 0,
) -> TableAnswer:
    """The answer; `risk` tells whether the model has such a notion, `run` which model answered.

    `effects`: of each answer the largest ones, which get `most` pairs of columns.
    """
    table = batch if isinstance(batch, SentTable) else _table(batch)
    appended = [*ANSWERED, *(ASSESSED if risk else ()), *_reasons(most), *(TOLD if each else ()), RUN]
    header = [*table.header, *apart(appended, table.header)]
    given = zip(answers, effects or repeat(()), strict=False)
    lines: list[Sequence[object]] = []
    for position, row in enumerate(table.rows):
        refused = read.refused.get(position, ())
        width = len(ANSWERED) + (len(ASSESSED) if risk else 0) + 2 * most
        cells = [""] * width if refused else _cells(*next(given), most)
        if each:
            number = table.numbers[position] if table.numbers else position + 1
            cells += [_in_words(refused), _in_words(read.notes.get(position, ())), number]
        lines.append([*row, *cells, run])
    return TableAnswer(header, lines)


def as_csv(answer: TableAnswer, *, formulas: bool = False) -> str:
    """The answer as CSV (RFC 4180). Text that a spreadsheet would take for a formula begins with an apostrophe, unless
    `formulas` keeps it as it was sent; numbers stay numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for line in (answer.header, *answer.lines):
        writer.writerow(line if formulas else map(_harmless, line))
    return text.getvalue()


def _harmless(cell: object) -> object:
    """Source: https://owasp.org/www-community/attacks/CSV_Injection."""
    formula = isinstance(cell, str) and cell[:1] in FORMULA and not _SIGNED.fullmatch(cell)
    return f"'{cell}" if formula else cell


def as_workbook(answer: TableAnswer) -> bytes:
    """The answer as .xlsx. Text that is a plain number becomes a number; no text is taken for a formula or a link."""
    import xlsxwriter  # costs 0.1 s, and only those who ask for a workbook pay it

    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "constant_memory": False})
    sheet = book.add_worksheet("Predictions")
    sheet.write_row(0, 0, answer.header, book.add_format({"bold": True}))
    sheet.freeze_panes(1, 0)
    for place, line in enumerate(answer.lines, 1):
        for column, cell in enumerate(line):
            if isinstance(cell, str):
                if _NUMBER.fullmatch(cell):
                    sheet.write_number(place, column, _Exact(cell))
                elif cell:
                    sheet.write_string(place, column, cell)
            else:
                sheet.write(place, column, _Exact(cell) if isinstance(cell, float) else cell)
    book.close()
    return file.getvalue()


class _Exact(float):
    """A number that is written as Excel does, with all its digits: xlsxwriter writes sixteen, some have seventeen."""

    def __format__(self, _: str) -> str:
        return repr(float(self))


def _in_words(findings: Sequence[Problem | Warned]) -> str:
    """What is to be said of a row, each by the field that it is about."""
    sentences = []
    for entry in findings:
        field = entry.pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
        words = _for_people(entry)
        sentences.append(f"{field}: {words}" if field and not field.isdigit() else words)
    return "; ".join(sentences)


def _for_people(finding: Problem | Warned) -> str:
    """The message as somebody who fills in a list would say it: a table is read by people."""
    if isinstance(finding, Warned):
        return finding.message
    if finding.code == "null":
        return "empty, and a value is needed"
    if isinstance(finding.allowed, tuple) and finding.allowed:
        more = len(finding.allowed) - MOST_CHOICES
        return f"expected one of {', '.join(finding.allowed[:MOST_CHOICES])}{f' and {more} more' if more > 0 else ''}"
    return finding.message


def apart(names: Iterable[str], taken: Sequence[str]) -> Iterator[str]:
    """The names, changed where a column of the caller has one of them."""
    for name in names:
        free = name
        while free in taken:
            free = f"{free}_"
        yield free


def _reasons(most: int) -> Iterator[str]:
    """The names of the columns of so many effects."""
    for place in range(1, most + 1):
        yield from (f"feature_{place}", f"effect_{place}")


def _cells(answer: Answer, effects: Sequence[Effect], most: int) -> list[object]:
    cells: list[object] = [answer.prediction, answer.interval.low, answer.interval.high]
    if answer.risk is not None:
        cells += [answer.risk.probability, answer.risk.tier, answer.band]
    for entry in effects:
        cells += [entry.feature, entry.effect]
    return cells + [""] * (2 * (most - len(effects)))


def _table(rows: Sequence[Any]) -> SentTable:
    """JSON rows by column, in the order in which the fields first appear; what is no row is an empty line."""
    objects = [row if isinstance(row, Mapping) else {} for row in rows]
    header = tuple(dict.fromkeys(name for row in objects for name in row))
    return SentTable(header, [[_cell(row.get(name)) for name in header] for row in objects])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
