"""One piece of a file becomes one part of the answer: the columns that pass through, then what was predicted."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from functions.batch.rows import ArrowRows, Piece
from shared.answer_columns import ANSWERED, ASSESSED
from shared.batches import BatchPlan, Format, RowError
from shared.problems import Problem
from shared.serving.arrow_rows import ArrowInput, read_arrow
from shared.serving.assessment import BANDS, TIERS, Assessed
from shared.serving.loaded_model import VerifiedRun
from shared.serving.table_answer import apart

ROW = "row"
MOST_ERRORS = 10_000
"""Problems of one part that are listed."""


@dataclass(frozen=True)
class AnsweredPiece:
    """A part as bytes, and what is noted of it."""

    data: bytes
    rows: int
    refused: int
    errors: tuple[RowError, ...]
    warned: Mapping[str, Mapping[str, int]]


def answer(run: VerifiedRun, plan: BatchPlan, piece: Piece) -> AnsweredPiece:
    """The part for `piece`: a row for each of its rows, in order, without numbers where it cannot be answered.

    Raises IntegrityError where the model's answer is no finite number.
    """
    tables: list[pa.Table] = []
    errors: list[RowError] = []
    warned: Counter[tuple[str, str]] = Counter()
    refused = 0
    for rows in piece.batches:
        read = _read(run, plan, rows)
        tables.append(_table(run, plan, rows, read))
        refused += len(read.refused)
        warned.update(read.warned)
        errors += islice(_errors(read.refused, rows), MOST_ERRORS - len(errors))
    table = pa.concat_tables(tables)
    return AnsweredPiece(_rendered(table, plan.format), len(table), refused, tuple(errors), _by_feature(warned))


def _read(run: VerifiedRun, plan: BatchPlan, rows: ArrowRows) -> ArrowInput:
    columns = {name: rows.columns[header] for name, header in plan.fields.items()}
    comma = plan.dialect is not None and plan.dialect.decimal_comma
    return read_arrow(run.schema, columns, len(rows), first=rows.first, refused=rows.refused, decimal_comma=comma)


def _table(run: VerifiedRun, plan: BatchPlan, rows: ArrowRows, read: ArrowInput) -> pa.Table:
    predicted = run.model.run(read.numeric, read.categorical) if len(read.answered) else np.empty(0)
    answered = _spread(run.assessor.assess_columns(predicted, read.categorical), read.answered, len(rows))
    kept = [rows.columns[name] for name in plan.keep]
    return pa.table([*kept, *answered, pa.array(rows.numbers)], names=_names(run, plan))


def _names(run: VerifiedRun, plan: BatchPlan) -> list[str]:
    answered = [*ANSWERED, *(ASSESSED if run.manifest.assessment is not None else ()), ROW]
    return [*plan.keep, *apart(answered, plan.keep)]


def _spread(found: Assessed, answered: NDArray[np.int64], rows: int) -> list[pa.Array]:
    """The answers in their rows' places, null in the others."""
    places = None
    if len(answered) < rows:
        spread = np.full(rows, -1, dtype=np.int64)
        spread[answered] = np.arange(len(answered))
        places = pa.array(spread, mask=spread < 0)
    columns = [pa.array(found.predictions), pa.array(found.lows), pa.array(found.highs)]
    if found.probabilities is not None and found.tiers is not None and found.bands is not None:
        columns.append(pa.array(found.probabilities))
        columns += [
            pa.DictionaryArray.from_arrays(pa.array(positions), pa.array(words))
            for positions, words in ((found.tiers, TIERS), (found.bands, BANDS))
        ]
    return columns if places is None else [column.take(places) for column in columns]


def _errors(refused: Mapping[int, Sequence[Problem]], rows: ArrowRows) -> Iterator[RowError]:
    for row, problems in refused.items():
        for problem in problems:
            yield RowError(row=int(rows.numbers[row]), pointer=problem.pointer, code=problem.code)


def _by_feature(warned: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (name, code), count in sorted(warned.items()):
        found.setdefault(name, {})[code] = count
    return found


def _rendered(table: pa.Table, kind: Format) -> bytes:
    target = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, target)
        return target.getvalue()
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.column_names)
    target.write(header.getvalue().encode())
    pacsv.write_csv(table, target, pacsv.WriteOptions(include_header=False))
    return target.getvalue()
