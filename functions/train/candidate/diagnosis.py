"""What the rows held out say of the winner: which features it leans on, whom it serves worse, what its interval covers.

A model, rows and an interval in, plain values out. Everything is in the target's units or an R². The clock decides only
where a graph is so slow that not all of it can be asked.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from functions.train.candidate.groups import groups, share
from functions.train.data.rows import Rows
from functions.train.graph.export import column, columns_of
from shared import metrics
from shared.arrays import Mask, Vector
from shared.documents import Assessment, Cell, Feature, Interval, TargetRange
from shared.model_runtime import Model
from shared.profiles import Profile
from shared.serving.widths import Widths

MAX_ROWS = 5_000
REPEATS = 10
MOST_CELLS = 200_000_000
"""Cells that all shuffles together may give the graph: ten of each feature for 5,000 rows of 60 features. There are
fewer shuffles for more features, at least one of each …"""
MOST_SECONDS = 10.0
"""… and after so long no more, for a graph that takes its time."""
MOST_GROUPED = 60
"""The features that the model leans on most are those whose groups are reported."""
QUARTERS = 4


@dataclass(frozen=True)
class AnswerRules:
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
        chances = widths.shares_below(limit, self._clipped(predicted), self._groups(widths, columns))
        return target < limit, chances >= self.assessment.tiers.medium

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
    model: Model,
    features: Sequence[Feature],
    rows: Rows,
    served: AnswerRules,
    seed: int,
    *,
    slices: Sequence[str] = (),
    most_seconds: float = math.inf,
) -> dict[str, Any]:
    """The findings on `rows`, or on 5,000 of them. `slices` are further columns to group by; shuffles take
    `most_seconds` at most."""
    if len(rows.target) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows.target), MAX_ROWS, replace=False))
        rows = rows.at(chosen)
    columns = columns_of(rows.features)
    predicted = model.predict(columns)
    low, high = served.ends(predicted, columns)
    inside = (rows.target >= low) & (rows.target <= high)
    risk = served.risk(rows.target, predicted, columns)
    importances = importance(model, features, columns, rows.target, seed, rows.weights, most_seconds)
    leading = {entry["feature"] for entry in importances[:MOST_GROUPED]}
    grouped = [feature for feature in features if feature.name in leading or feature.name in slices]
    return {
        "rows": len(rows.target),
        "actual": rows.target.tolist(),
        "predicted": predicted.tolist(),
        "weights": None if rows.weights is None else rows.weights.tolist(),
        "coverage": coverage(predicted, inside, served.interval.level),
        "importance": importances,
        "features": len(features),
        "grouped": len(grouped),
        "groups": groups(grouped, rows, predicted, inside=inside, risk=risk, slices=slices),
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
    model: Model,
    features: Sequence[Feature],
    columns: Mapping[str, list[Cell]],
    target: Vector,
    seed: int,
    weights: Vector | None = None,
    most_seconds: float = math.inf,
) -> list[dict[str, Any]]:
    """R² lost when a feature's column is shuffled, mean and standard deviation; the largest first. Rows count by
    `weights` (n,).

    Of ten shuffles or, for many features and in `most_seconds`, of as few as `shuffles` says. A feature without time
    for one is left out.
    """
    numeric, categorical = model.arrays(columns)
    whole = metrics.r2(target, model.run(numeric, categorical), weights)
    generators = [np.random.default_rng([seed, position]) for position in range(len(features))]
    losses: dict[str, list[float]] = {feature.name: [] for feature in features}
    rounds = max(1, min(REPEATS, MOST_CELLS // (len(features) ** 2 * len(target))))
    ends = time.monotonic() + min(MOST_SECONDS, most_seconds)
    for feature, generator in list(zip(features, generators, strict=True)) * rounds:
        cells = column(model, numeric, categorical, feature.name)
        kept = cells.copy()
        cells[:] = kept[generator.permutation(len(kept))]
        losses[feature.name].append(whole - metrics.r2(target, model.run(numeric, categorical), weights))
        cells[:] = kept
        if time.monotonic() > ends:
            break
    found = [
        {"feature": name, "mean": float(np.mean(lost)), "std": float(np.std(lost)), "shuffles": len(lost)}
        for name, lost in losses.items()
        if lost
    ]
    return sorted(found, key=lambda entry: -float(str(entry["mean"])))
