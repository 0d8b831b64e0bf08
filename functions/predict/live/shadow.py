"""A shadow at work: the rows that the champion has answered, run through the challenger after the fact. Nobody waits.

Arrives: rows as the champion's graph read them, with what it predicted and how often. Leaves: counts.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from functions.predict.memory import Remembered
from shared.arrays import Vector
from shared.monitoring import DIFFERENCES, ShadowCounts
from shared.serving.columns import CategoricalColumn
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput

MOST_ROWS = 256
"""Rows of one run: callers whose core it takes wait for a fraction of a millisecond."""


def compared(
    champion: VerifiedRun, theirs: Vector, predictions: Sequence[float], times: Sequence[int] | None = None
) -> ShadowCounts:
    """How far the challenger's predictions, `theirs` (n,), are from the champion's, each row asked `times` (n,) often.

    A difference is told in half widths of the champion's interval. Rows on which it fails, NaN, are counted.
    """
    finite = np.isfinite(theirs)
    weights = np.ones(len(theirs), dtype=np.int64) if times is None else np.array(times, dtype=np.int64)
    interval = champion.manifest.interval
    half = max((interval.high_residual - interval.low_residual) / 2, 1e-300)
    apart = np.abs(theirs[finite] - np.asarray(predictions)[finite]) / half
    places = np.searchsorted(DIFFERENCES, apart)
    counts = np.bincount(places, weights=weights[finite], minlength=len(DIFFERENCES) + 1)
    return ShadowCounts(
        rows=int(weights.sum()),
        faults=int(weights[~finite].sum()),
        differences=tuple(int(count) for count in counts),
    )


def predicted_beside(
    champion: VerifiedRun, challenger: VerifiedRun, read: ModelInput, give_way: Callable[[], None]
) -> Vector:
    """The challenger's predictions (n,) for the champion's input, NaN where it fails.

    Callers come first: after every few rows it calls `give_way`.
    """
    found = [np.empty(0)]
    for start in range(0, read.rows, MOST_ROWS):
        part = _rows(read, slice(start, start + MOST_ROWS))
        found.append(_predicted(challenger, as_read_by(challenger, champion, part)))
        give_way()
    return np.concatenate(found)


def recalled_beside(
    champion: VerifiedRun,
    challenger: VerifiedRun,
    rows: Sequence[KnownRow],
    remembered: Sequence[Remembered],
    give_way: Callable[[], None],
) -> Vector:
    """The same for single rows. What the challenger has predicted is remembered beside the champion's own answer."""
    run_id = challenger.manifest.run_id
    new = [place for place, kept in enumerate(remembered) if not math.isfinite(_beside(kept, run_id))]
    if new:  # some failed: another time they may not
        read = ModelInput.of_rows([rows[place] for place in new])
        theirs = predicted_beside(champion, challenger, read, give_way)
        for place, prediction in zip(new, theirs.tolist(), strict=True):
            remembered[place].beside = run_id, prediction
    return np.array([_beside(kept, run_id) for kept in remembered])


def as_read_by(challenger: VerifiedRun, champion: VerifiedRun, read: ModelInput) -> ModelInput:
    """The champion's input with the columns in the challenger's order; it reads no other, its contract says so."""
    numeric, categorical = _columns(champion)
    wanted_numeric, wanted_categorical = _columns(challenger)
    return ModelInput(
        read.numeric[:, [numeric.index(name) for name in wanted_numeric]],
        read.categorical[:, [categorical.index(name) for name in wanted_categorical]],
        read.rows,
    )


def _predicted(run: VerifiedRun, read: ModelInput) -> Vector:
    """Predictions (n,), NaN where the run fails: one row must not fail for the others."""
    try:
        return run.assessor.assess_columns(run.model.run(read.numeric, read.categorical)).predictions
    except Exception:  # noqa: BLE001 - whatever the graph raises is what is counted
        if read.rows == 1:
            return np.array([np.nan])
    return np.concatenate([_predicted(run, _rows(read, slice(place, place + 1))) for place in range(read.rows)])


def _rows(read: ModelInput, places: slice) -> ModelInput:
    numeric = read.numeric[places]
    return ModelInput(numeric, read.categorical[places], len(numeric))


def _beside(kept: Remembered, run_id: str) -> float:
    return kept.beside[1] if kept.beside is not None and kept.beside[0] == run_id else math.nan


def _columns(run: VerifiedRun) -> tuple[list[str], list[str]]:
    words = [column.name for column in run.schema.columns if isinstance(column, CategoricalColumn)]
    return [column.name for column in run.schema.columns if column.name not in words], words
