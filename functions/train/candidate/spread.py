"""Whether one width of the interval is fair to all rows, measured on the rows that the folds left out; else which is.

Arrives: out-of-fold predictions and residuals. Leaves: nothing where one width serves all alike; else a `Spread` with
residuals in units of their typical size at a prediction, of groups, or both. And what was measured, for the report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from shared.arrays import Vector
from shared.documents import Feature
from shared.profiles import Residuals, Spread

LEVEL = 0.9
TOLERATED = 0.04
"""Coverage may be so far from the level, or from group to group, before the width differs by row."""
SURE = 0.01
"""Chance that rows of equal coverage would look as different as they do, below which they are taken to differ."""
QUARTERS = 4
MIN_ROWS = 100
"""Rows of a group that has residuals of its own: fewer tell the ends of an interval too badly."""
MOST_GROUPS = 50
BIN_ROWS = 50
MOST_BINS = 10
LEAST_SCALE = 0.05
RESIDUAL_QUANTILES = 201


@dataclass(frozen=True)
class MeasuredSpread:
    """The spread that was chosen, None for one width, and the figures that chose it."""

    spread: Spread | None
    figures: dict[str, Any]


def residual_bounds(residuals: Vector, level: float = LEVEL) -> tuple[float, float]:
    """Split-conformal residual bounds: the (n + 1)-corrected order statistics of the out-of-fold residuals (n,).

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
    """
    ordered, n, tail = np.sort(residuals), len(residuals), (1 - level) / 2
    low = max(math.floor(round((n + 1) * tail, 9)), 1)  # (1 - 0.9) / 2 is a little less than 0.05
    return float(ordered[low - 1]), float(ordered[n - low])


def measure(predicted: Vector, residuals: Vector, frame: pd.DataFrame, features: Sequence[Feature]) -> MeasuredSpread:
    """The widths that the rows (n,) ask for, whose features are in `frame` (n, k)."""
    at, scale = (), ()
    scores = residuals
    quarters = quarter_of(predicted)
    worst, chance = _unevenness(_inside(scores), quarters, LEVEL)
    figures: dict[str, Any] = {"quarters": {"worst": worst, "chance": chance}, "width": "one", "column": None}
    if worst > TOLERATED and chance < SURE:
        knots, sizes = sizes_at(predicted, residuals)
        scaled = residuals / np.interp(predicted, knots, sizes)
        after, _ = _unevenness(_inside(scaled), quarters, LEVEL)
        figures["quarters"]["after"] = after
        if after < worst:
            at, scale, scores = tuple(knots.tolist()), tuple(sizes.tolist()), scaled
            figures["width"] = "by prediction"
    column, found = _uneven_column(scores, frame, features)
    figures["groups"] = found
    if column is None and not at:
        return MeasuredSpread(None, figures)
    groups = {} if column is None else _groups(scores, frame[column], features)
    if groups:
        figures |= {"column": column, "width": f"{figures['width']} and by group" if at else "by group"}
    return MeasuredSpread(Spread(rest=_held(scores), column=column, groups=groups, at=at, scale=scale), figures)


def quarter_of(predicted: Vector) -> NDArray[np.int64]:
    """Which quarter of all predictions each is in, (n,)."""
    return np.searchsorted(np.quantile(predicted, [0.25, 0.5, 0.75]), predicted, side="left")


def sizes_at(predicted: Vector, residuals: Vector) -> tuple[Vector, Vector]:
    """The typical size of residuals at rising predictions: means of equally many rows, smoothed over neighbours."""
    bins = int(np.clip(len(predicted) // BIN_ROWS, 2, MOST_BINS))
    parts = np.array_split(np.argsort(predicted, kind="stable"), bins)
    knots = np.array([predicted[part].mean() for part in parts])
    sizes = np.array([np.abs(residuals[part]).mean() for part in parts])
    padded = np.concatenate([sizes[:1], sizes, sizes[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    kept = np.concatenate([[True], np.diff(knots) > 0])  # of equal predictions one size
    least = max(LEAST_SCALE * float(smooth.mean()), float(np.finfo(float).tiny))
    return knots[kept], np.maximum(smooth, least)[kept]


def _uneven_column(
    scores: Vector, frame: pd.DataFrame, features: Sequence[Feature]
) -> tuple[str | None, dict[str, Any] | None]:
    """The categorical feature whose groups are covered most surely unalike, and by how much; None where none is."""
    inside = _inside(scores)
    best: tuple[float, str, float] | None = None
    able = [feature for feature in features if feature.kind == "categorical"]
    for feature in able:
        values = frame[feature.name].astype(object)
        large = _large(values, feature)
        if not 2 <= len(large) <= MOST_GROUPS:
            continue
        groups = np.select([(values == name).to_numpy() for name in large], range(len(large)), default=-1)
        shares = [float(inside[groups == place].mean()) for place in range(len(large))]
        apart = max(shares) - min(shares)
        chance = _chance(inside[groups >= 0], groups[groups >= 0]) * len(able)
        if best is None or chance < best[0]:
            best = (chance, feature.name, apart)
    if best is None:
        return None, None
    chance, name, apart = best
    figures = {"column": name, "apart": apart, "chance": min(1.0, chance)}
    return (name if apart > TOLERATED and chance < SURE else None), figures


def _groups(scores: Vector, values: pd.Series, features: Sequence[Feature]) -> dict[str, Residuals]:
    feature = next(feature for feature in features if feature.name == values.name)
    cells = values.astype(object)
    return {name: _held(scores[(cells == name).to_numpy()]) for name in _large(cells, feature)}


def _large(values: pd.Series, feature: Feature) -> list[str]:
    """The categories of enough rows; counted in one pass, since there may be thousands."""
    counts = values.value_counts()
    return [name for name in feature.categories or () if counts.get(name, 0) >= MIN_ROWS]


def _held(scores: Vector) -> Residuals:
    low, high = residual_bounds(scores)
    quantiles = np.quantile(scores, np.linspace(0, 1, RESIDUAL_QUANTILES))
    return Residuals(low=low, high=high, quantiles=tuple(quantiles.tolist()))


def _inside(scores: Vector) -> NDArray[np.bool_]:
    low, high = residual_bounds(scores)
    return (scores >= low) & (scores <= high)


def _unevenness(inside: NDArray[np.bool_], parts: NDArray[np.int64], level: float) -> tuple[float, float]:
    """How far the coverage of a part is from the level at most, and how likely that is by chance."""
    shares = [float(inside[parts == part].mean()) for part in np.unique(parts)]
    return max(abs(share - level) for share in shares), _chance(inside, parts)


def _chance(inside: NDArray[np.bool_], parts: NDArray[np.int64]) -> float:
    table = np.array([[np.sum(inside[parts == part]), np.sum(~inside[parts == part])] for part in np.unique(parts)])
    if len(table) < 2 or (table.sum(axis=0) == 0).any():
        return 1.0
    return float(chi2_contingency(table).pvalue)
