"""A shadow at work: the rows that the champion has answered, run through the challenger after the fact. Nobody waits.

Pure. Arrives: rows as the champion's graph read them, with what it predicted and how often. Leaves: counts.
"""

import numpy as np
from numpy.typing import NDArray

from shared.monitoring import DIFFERENCES, ShadowCounts
from shared.serving.columns import CategoricalColumn
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import ModelInput

Vector = NDArray[np.float64]


def shadowed(
    champion: VerifiedRun, challenger: VerifiedRun, read: ModelInput, predictions: Vector, times: NDArray[np.int64]
) -> ShadowCounts:
    """How far the challenger is from the champion's `predictions` (n,) of `read`, each row asked `times` (n,) often.

    A difference is told in half widths of the champion's interval. Rows on which the challenger fails are counted.
    """
    theirs = _predicted(challenger, as_read_by(challenger, champion, read))
    finite = np.isfinite(theirs)
    interval = champion.manifest.interval
    half = max((interval.high_residual - interval.low_residual) / 2, 1e-300)
    apart = np.abs(theirs[finite] - predictions[finite]) / half
    places = np.searchsorted(DIFFERENCES, apart)
    counts = np.bincount(places, weights=times[finite], minlength=len(DIFFERENCES) + 1)
    return ShadowCounts(
        rows=int(times.sum()), faults=int(times[~finite].sum()), differences=tuple(int(count) for count in counts)
    )


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
    return np.concatenate([_predicted(run, _row(read, place)) for place in range(read.rows)])


def _row(read: ModelInput, place: int) -> ModelInput:
    return ModelInput(read.numeric[place : place + 1], read.categorical[place : place + 1], 1)


def _columns(run: VerifiedRun) -> tuple[list[str], list[str]]:
    words = [column.name for column in run.schema.columns if isinstance(column, CategoricalColumn)]
    return [column.name for column in run.schema.columns if column.name not in words], words
