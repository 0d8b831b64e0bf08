"""Regression metrics in plain numpy, so that validation scores without scikit-learn.

`weights` (n,) say how much each row counts, as scikit-learn's `sample_weight` does; None where all count alike.
Undefined is NaN here, never a flattering number: scikit-learn's `r2_score` calls a constant target a perfect fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from shared.arrays import Vector

_SQUARED_SAFELY = (1e-140, 1e140)
"""Between these a number's square is a float, however many are summed up."""


def has_r2(target: Vector, weights: Vector | None = None) -> bool:
    """Whether R² is defined for `target` (n,): at least two rows that count and differ.

    Asked of the range: the mean's rounding would hide a constant from a sum of squares.
    """
    counted = target if weights is None else target[weights > 0.0]
    return counted.size >= 2 and bool(np.ptp(counted) > 0.0)


def mean(values: Vector, weights: Vector | None = None) -> float:
    """The mean of `values` (n,); NaN where no row counts."""
    if weights is not None and not weights.sum() > 0.0:
        return float("nan")
    return float(np.average(values, weights=weights))


def r2(target: Vector, predicted: Vector, weights: Vector | None = None) -> float:
    """R² of `predicted` (n,) for `target` (n,); NaN below two rows or for a constant target."""
    if not has_r2(target, weights):
        return float("nan")
    counts = np.ones(target.shape) if weights is None else weights
    away, missed = target - mean(target, weights), target - predicted
    largest = float(np.max(np.abs(away[counts > 0.0])))
    if not _SQUARED_SAFELY[0] < largest < _SQUARED_SAFELY[1]:  # R² is the same in every unit
        away, missed = away / largest, missed / largest
    return 1.0 - float(np.sum(counts * missed**2)) / float(np.sum(counts * away**2))


def mae(target: Vector, predicted: Vector, weights: Vector | None = None) -> float:
    """Mean absolute error, in the target's units."""
    return mean(np.abs(target - predicted), weights)


def rmse(target: Vector, predicted: Vector, weights: Vector | None = None) -> float:
    """Root mean squared error, in the target's units."""
    return float(np.sqrt(mean((target - predicted) ** 2, weights)))


class Score(Protocol):
    """One of the three above."""

    def __call__(self, target: Vector, predicted: Vector, weights: Vector | None = None, /) -> float: ...


@dataclass(frozen=True)
class Scoring:
    """A score by which models are compared. `sign`: 1 where more is better, −1 where it is an error."""

    name: str
    label: str
    sign: int
    score: Score

    def gain(self, target: Vector, predicted: Vector, weights: Vector | None = None) -> float:
        """The score of `predicted` (n,) for `target` (n,), turned so that more is better."""
        return self.sign * self.score(target, predicted, weights)

    def reaches(self, score: float, limit: float) -> bool:
        """Whether a score is as good as `limit`; NaN is not."""
        return self.sign * score >= self.sign * limit

    def spread(self, target: Vector, weights: Vector | None = None) -> float:
        """The unit of a difference between two scores: 1 for R², else the error of the mean of `target` (n,)."""
        usual = np.full_like(target, mean(target, weights))
        return 1.0 if self.sign > 0 else self.score(target, usual, weights)

    def shown(self, score: float) -> str:
        """The score for people: four decimals of R², four significant digits of an error."""
        return f"{score:.4f}" if self.sign > 0 else significant(score)


R2 = Scoring("r2", "R²", 1, r2)
SCORINGS: Mapping[str, Scoring] = {
    scoring.name: scoring for scoring in (R2, Scoring("mae", "MAE", -1, mae), Scoring("rmse", "RMSE", -1, rmse))
}
"""What `tuning.scoring` may name."""
SCIKIT_LEARN_NAMES: Mapping[str, str] = {"neg_mean_absolute_error": "mae", "neg_root_mean_squared_error": "rmse"}
"""The names of the same scores in scikit-learn, which a spec may use as well."""

_LARGEST_WRITTEN_OUT = 1e15


def significant(value: float, digits: int = 4) -> str:
    """A figure in significant digits: `10.60`, `1.224e-08`; from five digits before the point on, whole: `32,859`."""
    if not np.isfinite(value):
        return "–"
    if 10**digits - 0.5 <= abs(value) < _LARGEST_WRITTEN_OUT:
        return f"{value:,.0f}"
    return "0" if value == 0 else f"{value:#.{digits}g}".removesuffix(".")


def plain(value: float, digits: int = 4) -> str:
    """A value of a table as people write it: whole numbers whole, so that a year is `1890` and a price `32,859`; others
    in at most `digits` significant ones: `4.5`.
    """
    if not np.isfinite(value) or value != round(value) or abs(value) >= _LARGEST_WRITTEN_OUT:
        fraction = abs(value) < 10**digits - 0.5 or abs(value) >= _LARGEST_WRITTEN_OUT
        return f"{value:.{digits}g}" if np.isfinite(value) and fraction else significant(value, digits)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
