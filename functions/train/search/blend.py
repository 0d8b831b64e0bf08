"""A weighted sum of fitted estimators as one estimator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from functions.train.search.target import StandardisedTarget
from shared.arrays import Matrix

BLEND = "Blend"
MEMBERS = 5
"""The best so many algorithms are blended; more make the graph larger and hardly better."""


class Blend(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The mean of `members`, by name, with `weights` that sum to one. Each member has the target in its own unit."""

    def __init__(self, members: Mapping[str, Any], weights: Mapping[str, float] | None = None) -> None:
        self.members = members
        self.weights = weights

    @property
    def criterion(self) -> str | None:
        """`poisson` where a member allows no negative target, so that the target is not centred."""
        return "poisson" if any(getattr(m, "criterion", None) == "poisson" for m in self.members.values()) else None

    def set_params(self, **weights: float) -> "Blend":
        """Its parameters are the weights, by member; they are brought to a sum of one."""
        total = sum(weights.values())
        self.weights = {name: weight / total for name, weight in weights.items()}
        return self

    def fit(self, rows: Any, target: Matrix, sample_weight: Matrix | None = None) -> "Blend":
        """Fit every member that has a weight, by `sample_weight` (n,) where it takes weights."""
        self.fitted_ = [
            (weight, StandardisedTarget(self.members[name]).fit(rows, target, sample_weight))
            for name, weight in (self.weights or {}).items()
        ]
        return self

    @classmethod
    def of_fitted(cls, members: Mapping[str, StandardisedTarget], weights: Mapping[str, float]) -> "Blend":
        """A fitted blend of `members` that are fitted already, on the same rows and matrix, by name."""
        blend = cls(members).set_params(**weights)
        blend.fitted_ = [(weight, members[name]) for name, weight in (blend.weights or {}).items()]
        return blend

    def predict(self, rows: Any) -> Matrix:
        """Predict `rows` (n, w)."""
        found: Matrix = np.sum([weight * member.predict(rows) for weight, member in self.fitted_], axis=0)
        return found
