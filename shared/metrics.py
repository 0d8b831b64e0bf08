"""Regression metrics in plain numpy, so that validation scores without scikit-learn.

Undefined is NaN here, never a flattering number: scikit-learn's `r2_score` calls a constant target a perfect fit.
"""

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
