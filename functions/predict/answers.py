"""What an answer to rows is: its documents, and how they are sent, as JSON, CSV or a workbook."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from functions.predict.arms import Answered
from functions.predict.challenger import Arm
from functions.predict.explanations import explain_batch
from functions.predict.wire import payload
from functions.predict.wire.json_answer import JsonAnswer
from functions.predict.wire.shape import JsonRows
from shared.problems import Problem
from shared.serving.assessment import Answer
from shared.serving.explanation import Effect
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import ModelInput, Warned
from shared.serving.sent_table import SentTable
from shared.serving.table_answer import as_csv, as_workbook, table_answer

_VARY = (b"vary", b"Accept")
Batch = SentTable | JsonRows
"""Rows as they were sent."""


class ModelName(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which model answered; `arm` only where callers are divided between two, or one was asked for by its name."""

    run_id: str
    arm: Arm | None = None


class Prediction(Answer, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /predict."""

    model: ModelName
    warnings: tuple[Warned, ...] = ()


class ExplainedAnswer(Answer, frozen=True, omit_defaults=True, kw_only=True):
    """An answer of /predict_batch with the row's largest effects, where `explain=` asked for them."""

    contributions: tuple[Effect, ...]

    @classmethod
    def of(cls, answer: Answer, effects: tuple[Effect, ...]) -> "ExplainedAnswer":
        """The answer with `effects`."""
        return cls(answer.prediction, answer.interval, answer.risk, answer.band, contributions=effects)


class RefusedRow(msgspec.Struct, frozen=True):
    """Why a row has no answer; it stands in the answer's place, where `errors=rows` asked for it."""

    errors: Sequence[Problem]


class Predictions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of /predict_batch; `predictions` in the order of the rows."""

    predictions: Sequence[Answer | RefusedRow]
    model: ModelName
    warnings: tuple[Warned, ...] = ()


def row_answer(run: VerifiedRun, answer: Answer, warnings: tuple[Warned, ...] = (), arm: Arm | None = None) -> ASGIApp:
    """The answer to one row."""
    named = ModelName(run.manifest.run_id, arm)
    return JsonAnswer(
        Prediction(answer.prediction, answer.interval, answer.risk, answer.band, model=named, warnings=warnings)
    )


def plain_answer(run: VerifiedRun, answers: Sequence[Answer]) -> ASGIApp:
    """The answers to rows of which nothing is to be said, as JSON."""
    return JsonAnswer(Predictions(answers, ModelName(run.manifest.run_id)), [_VARY])


def with_effects(run: VerifiedRun, read: ModelInput, effects: int) -> list[ExplainedAnswer]:
    """The answers to rows, each with so many of its largest effects."""
    explanations = explain_batch(run, read)
    return [
        ExplainedAnswer.of(answer, explanation.contributions[:effects])
        for answer, explanation in zip(run.answers(read), explanations, strict=True)
    ]


def batch_answer(
    answering: Answered[Answer], batch: Batch, wanted: str, effects: int = 0, *, each: bool, formulas: bool = False
) -> ASGIApp:
    """The answers to many rows as `wanted`, a media type. `each`: rows that have none stand there with the reasons."""
    read, answers, run = answering.read, answering.answers, answering.run.manifest.run_id
    if wanted == payload.JSON:
        return JsonAnswer(Predictions(_entries(answers, read), ModelName(run, answering.arm), read.warnings), [_VARY])
    risk = answering.run.manifest.assessment is not None
    rows = batch if isinstance(batch, SentTable) else batch.rows
    found = [answer.contributions for answer in answers if isinstance(answer, ExplainedAnswer)]
    table = table_answer(rows, answers, read, risk=risk, run=run, each=each, effects=found, most=effects)
    content = as_csv(table, formulas=formulas) if wanted == payload.CSV else as_workbook(table)
    return Response(content, headers={"Vary": "Accept"}, media_type=payload.MEDIA_TYPES[wanted])


def _entries(answers: Sequence[Answer], read: ModelInput) -> Sequence[Answer | RefusedRow]:
    """The answers with, in their places, the rows that have none."""
    if not read.refused:
        return answers
    given = iter(answers)
    rows = range(len(answers) + len(read.refused))
    return [RefusedRow(read.refused[row]) if row in read.refused else next(given) for row in rows]
