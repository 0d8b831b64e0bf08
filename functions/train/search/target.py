"""A target in units of its own spread, in which every estimator is fitted, and back.

Trees of scikit-learn stop splitting below a variance of 2e-16, XGBoost keeps its leaves in single precision, and a
penalty means something else in every unit: a target in billionths or in epoch seconds must train like any other.
"""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import has_fit_parameter

from shared.arrays import Matrix
from shared.metrics import mean


class StandardisedTarget(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator fitted to (target − `center_`) / `scale_`, which predicts in the target's own unit.

    The estimator itself is fitted, not a copy. A Poisson criterion allows no negative target, so that its target is
    scaled and not centred.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, rows: Any, target: Matrix, sample_weight: Matrix | None = None) -> "StandardisedTarget":
        """Fit to `rows` (n, w) and `target` (n,), by `sample_weight` (n,) where the estimator takes weights."""
        values = np.asarray(target, dtype=np.float64)
        middle = mean(values, sample_weight)
        self.center_ = 0.0 if getattr(self.estimator, "criterion", None) == "poisson" else middle
        self.scale_ = float(np.sqrt(mean((values - middle) ** 2, sample_weight))) or 1.0
        weighs = sample_weight is not None and has_fit_parameter(self.estimator, "sample_weight")
        weights = {"sample_weight": sample_weight} if weighs else {}
        self.estimator.fit(rows, (values - self.center_) / self.scale_, **weights)
        return self

    def predict(self, rows: Any) -> Matrix:
        """Predict `rows` (n, w) in the target's unit."""
        return self.in_units(np.ravel(self.estimator.predict(rows)))

    def in_units(self, standardised: Matrix) -> Matrix:
        """The estimator's own predictions (n,) in the target's unit, in double precision."""
        found: Matrix = np.asarray(standardised, dtype=np.float64) * self.scale_ + self.center_
        return found
