"""Regression metrics in plain numpy, so that validation scores without scikit-learn.

Undefined is NaN here, never a flattering number: scikit-learn's `r2_score` calls a constant target a perfect fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def has_r2(target: Vector) -> bool:
    """Whether R² is defined for `target` (n,): at least two rows that differ.

    Asked of the range: the mean's rounding would hide a constant from a sum of squares.
    """
    return target.size >= 2 and bool(np.ptp(target) > 0.0)


def r2(target: Vector, predicted: Vector) -> float:
    """R² of `predicted` (n,) for `target` (n,); NaN below two rows or for a constant target."""
    if not has_r2(target):
        return float("nan")
    total = float(np.sum((target - target.mean()) ** 2))
    return 1.0 - float(np.sum((target - predicted) ** 2)) / total


def mae(target: Vector, predicted: Vector) -> float:
    """Mean absolute error, in the target's units."""
    return float(np.mean(np.abs(target - predicted)))


def rmse(target: Vector, predicted: Vector) -> float:
    """Root mean squared error, in the target's units."""
    return float(np.sqrt(np.mean((target - predicted) ** 2)))


@dataclass(frozen=True)
class Scoring:
    """A score by which models are compared. `sign`: 1 where more is better, −1 where it is an error."""

    name: str
    label: str
    sign: int
    score: Callable[[Vector, Vector], float]

    def gain(self, target: Vector, predicted: Vector) -> float:
        """The score of `predicted` (n,) for `target` (n,), turned so that more is better."""
        return self.sign * self.score(target, predicted)

    def reaches(self, score: float, limit: float) -> bool:
        """Whether a score is as good as `limit`; NaN is not."""
        return self.sign * score >= self.sign * limit

    def spread(self, target: Vector) -> float:
        """The unit of a difference between two scores: 1 for R², else the error of the mean of `target` (n,)."""
        return 1.0 if self.sign > 0 else self.score(target, np.full_like(target, target.mean()))

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


def plain(value: float) -> str:
    """A value of a table as people write it: whole numbers whole, so that a year is `1890` and a price `32,859`."""
    if not np.isfinite(value) or value != round(value) or abs(value) >= _LARGEST_WRITTEN_OUT:
        return significant(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
