"""What the rows held out say of the winner: which features it leans on, whom it serves worse, what its interval covers.

Pure: a model, rows and an interval in, plain values out. Everything is in the target's units or an R².
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from functions.train.candidate.selection import Rows
from functions.train.graph.export import columns_of
from shared import metrics
from shared.cells import day_text
from shared.documents import (
    Cell,
    Feature,
    Interval,
    TargetRange,
)
from shared.metrics import plain
from shared.model_runtime import Model

MAX_ROWS = 5_000
REPEATS = 10
MIN_GROUP = 10
"""Fewer rows have no R² worth printing."""
QUARTERS = 4
MISSING = "(missing)"
Vector = NDArray[np.float64]


def diagnose(
    model: Model, features: Sequence[Feature], rows: Rows, interval: Interval, bounds: TargetRange, seed: int
) -> dict[str, Any]:
    """The findings on `rows`, or on 5,000 of them."""
    if len(rows.target) > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows.target), MAX_ROWS, replace=False))
        rows = Rows(rows.features.iloc[chosen].reset_index(drop=True), rows.target[chosen])
    columns = columns_of(rows.features)
    predicted = model.predict(columns)
    return {
        "rows": len(rows.target),
        "actual": rows.target.tolist(),
        "predicted": predicted.tolist(),
        "coverage": coverage(rows.target, predicted, interval, bounds),
        "importance": importance(model, features, columns, rows.target, seed),
        "groups": groups(features, rows, predicted),
    }


def coverage(target: Vector, predicted: Vector, interval: Interval, bounds: TargetRange) -> dict[str, Any]:
    """Share of rows inside their interval, over all and by quarter of the prediction."""
    low = np.clip(predicted + interval.low_residual, bounds.min, bounds.max)
    high = np.clip(predicted + interval.high_residual, bounds.min, bounds.max)
    inside = (target >= low) & (target <= high)
    quarter = np.searchsorted(np.quantile(predicted, [0.25, 0.5, 0.75]), predicted, side="left")
    parts = [
        {
            "from": float(predicted[quarter == part].min()),
            "to": float(predicted[quarter == part].max()),
            "rows": int((quarter == part).sum()),
            "share": float(inside[quarter == part].mean()),
        }
        for part in range(QUARTERS)
        if (quarter == part).any()
    ]
    return {"level": interval.level, "share": float(inside.mean()), "by_prediction": parts}


def importance(
    model: Model, features: Sequence[Feature], columns: Mapping[str, list[Cell]], target: Vector, seed: int
) -> list[dict[str, Any]]:
    """R² lost when a feature's column is shuffled, mean and standard deviation of ten shuffles; the largest first."""
    whole = metrics.r2(target, model.predict(columns))
    found = []
    for position, feature in enumerate(features):
        generator = np.random.default_rng([seed, position])
        losses = [
            whole - metrics.r2(target, model.predict({**columns, feature.name: _shuffled(columns, feature, generator)}))
            for _ in range(REPEATS)
        ]
        found.append({"feature": feature.name, "mean": float(np.mean(losses)), "std": float(np.std(losses))})
    return sorted(found, key=lambda feature: -float(feature["mean"]))


def groups(features: Sequence[Feature], rows: Rows, predicted: Vector) -> list[dict[str, Any]]:
    """R², mean absolute and mean error (target − predicted) of each category, or of each quarter of a number.

    Who is served worst comes first, but for groups of so few rows that chance decides; of one feature those are joined.
    """
    found = []
    for feature in features:
        labels = _joined(_labels(feature, rows.features[feature.name]))
        for label in dict.fromkeys(sorted(labels.unique(), key=str)):
            of = (labels == label).to_numpy()
            found.append(_group(feature.name, str(label), rows.target[of], predicted[of]))
    return sorted(found, key=lambda group: (group["rows"] < MIN_GROUP, -float(group["mae"])))


def _group(feature: str, label: str, target: Vector, predicted: Vector) -> dict[str, Any]:
    told = len(target) >= MIN_GROUP and len(set(target.tolist())) > 1
    return {
        "feature": feature,
        "group": label,
        "rows": len(target),
        "r2": metrics.r2(target, predicted) if told else None,
        "mae": float(np.abs(target - predicted).mean()),
        "bias": float((target - predicted).mean()),
    }


def _joined(labels: pd.Series) -> pd.Series:
    """Groups of fewer than MIN_GROUP rows under one label, where there are several."""
    counts = labels.value_counts()
    small = counts.index[counts < MIN_GROUP]
    if len(small) < 2:
        return labels
    return labels.where(~labels.isin(small), f"({len(small)} groups of fewer than {MIN_GROUP} rows)")


def _shuffled(columns: Mapping[str, list[Cell]], feature: Feature, generator: np.random.Generator) -> list[Cell]:
    cells = columns[feature.name]
    return [cells[place] for place in generator.permutation(len(cells))]


def _labels(feature: Feature, values: pd.Series) -> pd.Series:
    if feature.kind == "boolean":
        return values.map({0.0: "false", 1.0: "true"}).astype(object).where(values.notna(), MISSING)
    if feature.kind == "categorical":
        return values.astype(object).where(values.notna(), MISSING)
    text = (lambda days: day_text(np.floor(days))) if feature.kind == "date" else plain
    cuts = np.unique(np.quantile(values.dropna(), [0, 0.25, 0.5, 0.75, 1])) if values.notna().any() else np.array([])
    if len(cuts) < 3:
        return values.map(lambda value: MISSING if pd.isna(value) else text(value)).astype(object)
    place = np.clip(np.searchsorted(cuts, values, side="right") - 1, 0, len(cuts) - 2)
    names = [f"{part + 1}: {text(cuts[part])} to {text(cuts[part + 1])}" for part in range(len(cuts) - 1)]
    return pd.Series([MISSING if pd.isna(v) else names[p] for v, p in zip(values, place, strict=True)], dtype=object)
