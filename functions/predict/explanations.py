"""The way from a request to /explain to its answer, and effects beside the predictions of a batch.

An explanation takes thousands of rows of the graph, so it is computed off the event loop, and one at a time: however
many are asked for, predictions share the processor with one of them at most.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from functions.predict.arms import Answered
from functions.predict.wire.shape import JsonRows, batch_rows, single_row
from shared.problems import refuse
from shared.serving.explanation import Effect, Explainer, Explanation
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import ModelInput, Warned

MOST_ROWS = 100
"""Rows that one request to /explain may have."""

MOST_GRAPH_ROWS = 2_000_000
"""Rows of the graph that the effects of a batch may take: some seconds for 200 trees."""

T = TypeVar("T")
Sent = dict[str, Any] | JsonRows


class Explained(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of /explain to one row: `base` and the effects add up to the prediction."""

    prediction: float
    base: float
    contributions: tuple[Effect, ...]
    method: str
    background_rows: int
    model: msgspec.Struct
    warnings: tuple[Warned, ...] = ()


class ExplainedRows(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of /explain to several rows, in their order."""

    explanations: Sequence[Explanation]
    base: float
    method: str
    background_rows: int
    model: msgspec.Struct
    warnings: tuple[Warned, ...] = ()


class Explanations:
    """Explains requests, one at a time. For one event loop."""

    def __init__(self) -> None:
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def in_turn(self, work: Callable[[], T]) -> T:
        """The result of `work`, off the event loop, after what was asked before it."""
        return await anyio.to_thread.run_sync(work, limiter=self._one_at_a_time)


def sent_rows(value: Any) -> Sent:
    """One row, or up to 100: a bare array, or `instances` of an object. Raises Refusal: 422, or 413 for more."""
    wrapped = isinstance(value, dict) and isinstance(value.get("instances"), list)
    return batch_rows(value, MOST_ROWS) if isinstance(value, list) or wrapped else dict(single_row(value))


def required(loaded: VerifiedRun) -> Explainer:
    """The run's explainer. Raises Refusal (409) where the run is from before explanations."""
    if loaded.explainer is None:
        message = (
            f"run {loaded.manifest.run_id} has no background.json, which explanations are made with: it was trained "
            "before there were any; the next training makes one"
        )
        raise refuse(409, "no_background", message)
    return loaded.explainer


def read_sent(run: VerifiedRun, sent: Sent) -> ModelInput:
    """What was sent, as `run` reads it. Raises Refusal (422) for its fields."""
    if isinstance(sent, JsonRows):
        return run.schema.read_rows(sent.rows, prefix=sent.prefix)
    return run.schema.read_row(sent)


def explain(run: VerifiedRun, inputs: ModelInput) -> list[Explanation]:
    """The explanations of rows. Raises Refusal (409) where the run is from before explanations."""
    return required(run).explain(inputs)


def described(found: Answered[Explanation], sent: Sent, name: msgspec.Struct) -> Explained | ExplainedRows:
    """The answer of /explain. `name` tells which run explains."""
    explainer, warnings = required(found.run), found.read.warnings
    if isinstance(sent, JsonRows):
        return ExplainedRows(found.answers, explainer.base, explainer.method, explainer.rows, name, warnings)
    (answer,) = found.answers
    return Explained(
        answer.prediction, explainer.base, answer.contributions, explainer.method, explainer.rows, name, warnings
    )


def explain_batch(loaded: VerifiedRun, inputs: ModelInput) -> list[Explanation]:
    """The explanations of a batch's rows. Equal rows are explained once.

    Raises Refusal: 409 where the run has no background, 413 where it would take too long.
    """
    explainer = required(loaded)
    places: dict[tuple[object, ...], int] = {}
    chosen: list[int] = []
    rows = list(map(_key, inputs.numeric.tolist(), inputs.categorical.tolist()))
    for place, row in enumerate(rows):
        if row not in places:
            places[row] = len(chosen)
            chosen.append(place)
    _require_few(len(chosen), explainer)
    explained = explainer.explain(ModelInput(inputs.numeric[chosen], inputs.categorical[chosen], len(chosen)))
    return [explained[places[row]] for row in rows]


def _key(numbers: Sequence[float], words: Sequence[str]) -> tuple[object, ...]:
    return (*(None if math.isnan(number) else number for number in numbers), *words)


def _require_few(rows: int, explainer: Explainer) -> None:
    most = max(MOST_ROWS, MOST_GRAPH_ROWS // explainer.graph_rows)
    if rows > most:
        message = (
            f"{rows} different rows are too many to explain, at most {most} are; without explain= they are predicted"
        )
        raise refuse(413, "too_many_rows", message)
