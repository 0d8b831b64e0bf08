"""How sure a score is: scores over resampled rows, seeded, so that the same rows always give the same bound.

Pure. A resample whose target is constant has no R²; it counts as minus infinity, so that it can only lower a bound.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shared.metrics import Vector

RESAMPLES = 2_000
CONFIDENCE = 0.95
SEED = 20_260_105
_CELLS_AT_ONCE = 1_000_000

Indices = NDArray[np.int32]


def r2_lower_bound(target: Vector, predicted: Vector) -> float:
    """One-sided 95 % lower bound of the R² of `predicted` (n,) for `target` (n,), n ≥ 2."""
    centred, error = target - target.mean(), (target - predicted) ** 2

    def score(rows: Indices) -> Vector:
        return _ratio(error[rows].sum(axis=1), centred[rows], undefined=np.inf)

    return _lower_bound(1.0 - _over_resamples(target.size, score))


def difference_lower_bound(target: Vector, predicted: Vector, reference: Vector, scoring: str = "r2") -> float:
    """One-sided 95 % lower bound of how much better `predicted` (n,) scores than `reference` (n,), on the same
    resamples of the rows; in the units of `scoring`, of `shared.metrics`."""
    if scoring == "mae":
        saved = np.abs(target - reference) - np.abs(target - predicted)
        return _lower_bound(_over_resamples(target.size, lambda rows: saved[rows].mean(axis=1)))
    if scoring == "rmse":
        squared, squared_reference = (target - predicted) ** 2, (target - reference) ** 2

        def saving(rows: Indices) -> Vector:
            better: Vector = np.sqrt(squared_reference[rows].mean(axis=1)) - np.sqrt(squared[rows].mean(axis=1))
            return better

        return _lower_bound(_over_resamples(target.size, saving))
    return _r2_difference_lower_bound(target, predicted, reference)


def _r2_difference_lower_bound(target: Vector, predicted: Vector, reference: Vector) -> float:
    centred = target - target.mean()
    excess = (target - predicted) ** 2 - (target - reference) ** 2

    def score(rows: Indices) -> Vector:
        return _ratio(excess[rows].sum(axis=1), centred[rows], undefined=np.inf)

    return _lower_bound(0.0 - _over_resamples(target.size, score))


def resampled_means(values: Vector) -> Vector:
    """The means of `values` (n,) over the resamples of the rows."""
    return _over_resamples(values.size, lambda rows: values[rows].mean(axis=1))


def _ratio(numerator: Vector, centred: Vector, *, undefined: float) -> Vector:
    """`numerator` over the resample's own total sum of squares, (b,) from (b,) and (b, n)."""
    total = np.einsum("ij,ij->i", centred, centred) - centred.sum(axis=1) ** 2 / centred.shape[1]
    constant = np.ptp(centred, axis=1) == 0.0
    ratio: Vector = np.divide(numerator, total, out=np.full_like(total, undefined), where=~constant)
    return ratio


def _over_resamples(rows: int, score: Callable[[Indices], Vector]) -> Vector:
    return np.concatenate([score(block) for block in _resamples(rows)])


def _resamples(rows: int) -> Iterator[Indices]:
    """Row numbers (b, rows) in blocks that fit into memory, RESAMPLES in all."""
    generator = np.random.default_rng(SEED)
    block = max(1, min(RESAMPLES, _CELLS_AT_ONCE // rows))
    for start in range(0, RESAMPLES, block):
        yield generator.integers(0, rows, (min(block, RESAMPLES - start), rows), dtype=np.int32)


def _lower_bound(scores: Vector) -> float:
    return float(np.quantile(scores, 1.0 - CONFIDENCE, method="lower"))  # "lower" never mixes with an infinity
