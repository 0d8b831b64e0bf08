"""How sure a score is: scores over resampled rows, seeded, so that the same rows always give the same bound.

Pure. Rows count by `weights` (n,), all above 0; None where all count alike. A resample whose target is constant has no
R²; it counts as minus infinity, so that it can only lower a bound.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.metrics import mean

RESAMPLES = 2_000
CONFIDENCE = 0.95
SEED = 20_260_105
_CELLS_AT_ONCE = 1_000_000

Indices = NDArray[np.int32]


def r2_lower_bound(target: Vector, predicted: Vector, weights: Vector | None = None) -> float:
    """One-sided 95 % lower bound of the R² of `predicted` (n,) for `target` (n,), n ≥ 2."""
    return _lower_bound(1.0 - _ratios((target - predicted) ** 2, target, weights))


def difference_lower_bound(
    target: Vector, predicted: Vector, reference: Vector, scoring: str = "r2", weights: Vector | None = None
) -> float:
    """One-sided 95 % lower bound of how much better `predicted` (n,) scores than `reference` (n,), on the same
    resamples of the rows; in the units of `scoring`, of `shared.metrics`."""
    if scoring == "mae":
        return _lower_bound(resampled_means(np.abs(target - reference) - np.abs(target - predicted), weights))
    squared, squared_reference = (target - predicted) ** 2, (target - reference) ** 2
    if scoring == "rmse":

        def saving(rows: Indices) -> Vector:
            better: Vector = np.sqrt(_means(squared_reference, rows, weights)) - np.sqrt(_means(squared, rows, weights))
            return better

        return _lower_bound(_over_resamples(target.size, saving))
    return _lower_bound(0.0 - _ratios(squared - squared_reference, target, weights))


def resampled_means(values: Vector, weights: Vector | None = None) -> Vector:
    """The means of `values` (n,) over the resamples of the rows."""
    return _over_resamples(values.size, lambda rows: _means(values, rows, weights))


def chance_of_mean(differences: Vector) -> float:
    """How often the mean of `differences` (n,) is as large as it is where the sign of each is chance; one-sided.

    Of two models that are equally good, either could have made the smaller error of a row: so the chance is exact
    whatever the errors are (Fisher's paired permutation test).
    """
    observed = differences.sum()
    if observed <= 0:
        return 1.0
    same = observed - 1e-9 * np.abs(differences).sum()  # rounding must not tell a sum from itself
    as_large = sum(np.count_nonzero(signs @ differences >= same) for signs in _signs(differences.size))
    return float((1 + as_large) / (1 + RESAMPLES))


def _signs(rows: int) -> Iterator[Vector]:
    """Plus and minus ones (b, rows) in blocks that fit into memory, RESAMPLES in all."""
    generator = np.random.default_rng(SEED)
    block = max(1, min(RESAMPLES, _CELLS_AT_ONCE // rows))
    for start in range(0, RESAMPLES, block):
        drawn = generator.integers(0, 2, (min(block, RESAMPLES - start), rows), dtype=np.int8)
        yield 2 * drawn.astype(np.float64) - 1


def _means(values: Vector, rows: Indices, weights: Vector | None) -> Vector:
    """The mean (b,) of `values` (n,) in each resample."""
    means: Vector = _counted(values, weights)[rows].sum(axis=1) / _counts(rows, weights)
    return means


def _ratios(excess: Vector, target: Vector, weights: Vector | None) -> Vector:
    """The sum of `excess` (n,) over the total sum of squares of `target` (n,), of each resample; infinite where its
    target is constant."""
    centred = target - mean(target, weights)
    counted, counted_excess = _counted(centred, weights), _counted(excess, weights)

    def ratio(rows: Indices) -> Vector:
        differing = centred[rows]
        own = differing if weights is None else counted[rows]
        total = np.einsum("ij,ij->i", own, differing) - own.sum(axis=1) ** 2 / _counts(rows, weights)
        constant = np.ptp(differing, axis=1) == 0.0
        excesses = counted_excess[rows].sum(axis=1)
        found: Vector = np.divide(excesses, total, out=np.full_like(total, np.inf), where=~constant)
        return found

    return _over_resamples(target.size, ratio)


def _counted(values: Vector, weights: Vector | None) -> Vector:
    return values if weights is None else weights * values


def _counts(rows: Indices, weights: Vector | None) -> Vector:
    """How much the rows of each resample count together, (b,)."""
    counts: Vector = np.full(len(rows), float(rows.shape[1])) if weights is None else weights[rows].sum(axis=1)
    return counts


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
