"""How each group of rows held out is served: its errors with their intervals, what its interval covers, who is missed.

A mean absolute error and a bias are means, so their intervals are Student's; a share's is Wilson's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from functions.train.data.rows import Rows, counted
from shared import metrics
from shared.arrays import Mask, Vector
from shared.cells import day_text
from shared.documents import Feature
from shared.metrics import plain
from shared.slices import labels as slice_labels

CONFIDENCE = 0.95
MIN_GROUP = 10
"""Fewer rows have no R² and no interval worth printing."""
MISSING = "(missing)"


def groups(
    features: Sequence[Feature],
    rows: Rows,
    predicted: Vector,
    *,
    inside: Mask | None = None,
    risk: tuple[Mask, Mask] | None = None,
    slices: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The figures of each category, or of each quarter of a number, of the features and of the columns in `slices`.

    Who is served worst comes first, but for groups of so few rows that chance decides; of one column those are joined.
    A feature whose rows are all in one group says nothing that the whole does not.
    `inside` (n,): whether the interval covers the row. `risk`: who is at risk, and who is told to be, both (n,).
    """
    found = []
    for name, all_labels in _groupings(features, rows, slices):
        labels = _joined(all_labels)
        if labels.nunique() < 2 and name not in slices:
            continue
        for label in dict.fromkeys(sorted(labels.unique(), key=str)):
            inside_group = (labels == label).to_numpy()
            figures = _figures(rows.target[inside_group], predicted[inside_group], counted(rows.weights, inside_group))
            found.append({"feature": name, "group": str(label), **figures})
            if inside is not None:
                found[-1]["covered"] = share(inside[inside_group])
            if risk is not None:
                at_risk, warned = risk[0][inside_group], risk[1][inside_group]
                found[-1] |= {"missed": share(~warned[at_risk]), "alarmed": share(warned[~at_risk])}
    return sorted(found, key=lambda group: (group["rows"] < MIN_GROUP, -float(group["mae"])))


def _joined(labels: pd.Series) -> pd.Series:
    """Groups of fewer than MIN_GROUP rows under one label, where there are several."""
    counts = labels.value_counts()
    small = counts.index[counts < MIN_GROUP]
    if len(small) < 2:
        return labels
    return labels.where(~labels.isin(small), f"({len(small)} groups of fewer than {MIN_GROUP} rows)")


def share(hits: Mask) -> dict[str, Any] | None:
    """A share of rows with Wilson's interval; None of no rows, and no interval of a few."""
    if not hits.size:
        return None
    n, p, z = hits.size, float(hits.mean()), float(norm.ppf((1 + CONFIDENCE) / 2))
    if n < MIN_GROUP:
        return {"value": p, "low": None, "high": None, "rows": n}
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return {
        "value": p,
        "low": max(0.0, float((middle - half) / (1 + z * z / n))),
        "high": min(1.0, float((middle + half) / (1 + z * z / n))),
        "rows": n,
    }


def _groupings(features: Sequence[Feature], rows: Rows, slices: Sequence[str]) -> list[tuple[str, pd.Series]]:
    found = [(feature.name, _labels(feature, rows.features[feature.name])) for feature in features]
    for name in slices:
        if name in rows.others.columns:
            cells = [None if pd.isna(cell) else cell for cell in rows.others[name].tolist()]
            found.append((name, pd.Series(slice_labels(cells), dtype=object)))
    return found


def _figures(target: Vector, guess: Vector, weights: Vector | None) -> dict[str, Any]:
    enough = len(target) >= MIN_GROUP
    varies = enough and len(set(target.tolist())) > 1
    sizes, misses = np.abs(target - guess), target - guess
    return {
        "rows": len(target),
        "r2": metrics.r2(target, guess, weights) if varies else None,
        "mae": metrics.mean(sizes, weights),
        "mae_within": _within(sizes, weights) if enough else None,
        "bias": metrics.mean(misses, weights),
        "bias_within": _within(misses, weights) if enough else None,
    }


def _within(values: Vector, weights: Vector | None) -> list[float]:
    """Student's interval of a mean. Of a weighted one the standard error is that of a ratio, and its rows are as many
    as would be as sure if they counted alike (Kish, Survey Sampling, 1965)."""
    counts = np.ones(len(values)) if weights is None else weights
    n, middle, total = len(values), metrics.mean(values, weights), float(counts.sum())
    error = float(np.sqrt(n / (n - 1) * np.sum(counts**2 * (values - middle) ** 2))) / total
    alike = total**2 / float(np.sum(counts**2))
    half = float(t.ppf((1 + CONFIDENCE) / 2, max(alike - 1.0, 1.0))) * error
    return [middle - half, middle + half]


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
