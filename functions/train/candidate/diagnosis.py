"""What the rows held out say of the winner: which features it leans on, whom it serves worse, what its interval covers.

Pure: a model, rows and an interval in, plain values out. Everything is in the target's units or an R².
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.train.candidate.groups import groups, share
from functions.train.candidate.selection import Rows
from functions.train.graph.export import columns_of
from shared import metrics
from shared.documents import (
    Assessment,
    Cell,
    Feature,
    Interval,
    Profile,
    TargetRange,
)
from shared.model_runtime import Model
from shared.serving.widths import Widths

MAX_ROWS = 5_000
REPEATS = 10
MAX_SHUFFLES = 500
"""With 1,500 features, ten shuffles of each took minutes: there are fewer of each then, at least one."""
QUARTERS = 4
Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Served:
    """How predictions are answered: the interval around them, their bounds, and who is told to be at risk."""

    interval: Interval
    bounds: TargetRange
    assessment: Assessment | None = None
    profile: Profile | None = None

    def ends(self, predicted: Vector, columns: Mapping[str, Sequence[Cell]]) -> tuple[Vector, Vector]:
        """Both ends (n,) of the intervals of `predicted` (n,), as they are answered."""
        numbers, widths = self._clipped(predicted), self._widths
        low, high = widths.bounds(numbers, self._groups(widths, columns))
        return self._clipped(numbers + low), self._clipped(numbers + high)

    def risk(
        self, target: Vector, predicted: Vector, columns: Mapping[str, Sequence[Cell]]
    ) -> tuple[Mask, Mask] | None:
        """Who is at risk, and who is told so, from the medium tier on; None where there is no such notion."""
        if self.assessment is None or self.profile is None:
            return None
        limit, widths = self.assessment.at_risk_below, self._widths
        told = widths.shares_below(limit, self._clipped(predicted), self._groups(widths, columns))
        return target < limit, told >= self.assessment.tiers.medium

    @property
    def _widths(self) -> Widths:
        if self.profile is None:
            return Widths(self.interval, (), None)
        return Widths(self.interval, self.profile.residual_quantiles, self.profile.spread)

    def _groups(self, widths: Widths, columns: Mapping[str, Sequence[Cell]]) -> list[str] | None:
        return None if widths.column is None else [str(cell) for cell in columns[widths.column]]

    def _clipped(self, numbers: Vector) -> Vector:
        clipped: Vector = np.clip(numbers, self.bounds.min, self.bounds.max)
        return clipped


def diagnose(
    model: Model, features: Sequence[Feature], rows: Rows, served: Served, seed: int, *, slices: Sequence[str] = ()
) -> dict[str, Any]:
    """The findings on `rows`, or on 5,000 of them; `slices` are further columns to group by."""
    if len(rows.target) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows.target), MAX_ROWS, replace=False))
        rows = Rows(
            rows.features.iloc[chosen].reset_index(drop=True),
            rows.target[chosen],
            rows.others.iloc[chosen].reset_index(drop=True) if len(rows.others) else rows.others,
        )
    columns = columns_of(rows.features)
    predicted = model.predict(columns)
    low, high = served.ends(predicted, columns)
    inside = (rows.target >= low) & (rows.target <= high)
    risk = served.risk(rows.target, predicted, columns)
    return {
        "rows": len(rows.target),
        "actual": rows.target.tolist(),
        "predicted": predicted.tolist(),
        "coverage": coverage(predicted, inside, served.interval.level),
        "importance": importance(model, features, columns, rows.target, seed),
        "groups": groups(features, rows, predicted, inside=inside, risk=risk, slices=slices),
    }


def coverage(predicted: Vector, inside: Mask, level: float) -> dict[str, Any]:
    """Share of rows inside their interval, over all and by quarter of the prediction."""
    quarter = np.searchsorted(np.quantile(predicted, [0.25, 0.5, 0.75]), predicted, side="left")
    parts = [
        {
            "from": float(predicted[quarter == part].min()),
            "to": float(predicted[quarter == part].max()),
            "rows": int((quarter == part).sum()),
            "share": float(inside[quarter == part].mean()),
            "within": share(inside[quarter == part]),
        }
        for part in range(QUARTERS)
        if (quarter == part).any()
    ]
    return {"level": level, "share": float(inside.mean()), "within": share(inside), "by_prediction": parts}


def importance(
    model: Model, features: Sequence[Feature], columns: Mapping[str, list[Cell]], target: Vector, seed: int
) -> list[dict[str, Any]]:
    """R² lost when a feature's column is shuffled, mean and standard deviation of ten shuffles; the largest first."""
    whole = metrics.r2(target, model.predict(columns))
    repeats = max(1, min(REPEATS, MAX_SHUFFLES // len(features)))
    found = []
    for position, feature in enumerate(features):
        generator = np.random.default_rng([seed, position])
        losses = [
            whole - metrics.r2(target, model.predict({**columns, feature.name: _shuffled(columns, feature, generator)}))
            for _ in range(repeats)
        ]
        found.append({"feature": feature.name, "mean": float(np.mean(losses)), "std": float(np.std(losses))})
    return sorted(found, key=lambda feature: -float(feature["mean"]))


def _shuffled(columns: Mapping[str, list[Cell]], feature: Feature, generator: np.random.Generator) -> list[Cell]:
    cells = columns[feature.name]
    return [cells[place] for place in generator.permutation(len(cells))]
