"""Makes what is enclosed with a model so that others can judge it: held-out and golden rows, profile, interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from functions.train.candidate.spread import LEVEL, RESIDUAL_QUANTILES, residual_bounds
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_as_sent, columns_of
from shared.arrays import Vector
from shared.documents import Cell, Feature, Interval, TargetRange
from shared.histogram import histogram
from shared.model_runtime import Model
from shared.profiles import CategoricalProfile, Golden, Holdout, NumericProfile, Profile, Spread

GOLDEN_ROWS = 50
GOLDEN_WITH_MISSING = 5
MAX_HOLDOUT_ROWS = 50_000
MAX_OTHER_CHARACTERS = 16 * 2**20
MAX_RESIDUALS = 5_000


def holdout_document(features: Sequence[Feature], rows: Rows, seed: int) -> Holdout:
    """The rows held out, with every column of the table; a seeded sample of them where there are more than 50,000.

    What this model does not use stands there as text, so that one that does can be scored on the same rows.
    """
    if len(rows.target) > MAX_HOLDOUT_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows.target), MAX_HOLDOUT_ROWS, replace=False))
        rows = rows.at(chosen)
    columns = {**columns_as_sent(rows.features, features), **_bounded(rows.others)}
    weights = None if rows.weights is None else rows.weights.tolist()
    return Holdout(columns=columns, target=rows.target.tolist(), weights=weights)


def _bounded(others: pd.DataFrame) -> dict[str, list[Cell]]:
    """The columns that fit, the shortest first: texts of any length must not make a document that nobody reads."""
    columns, left = columns_of(others), MAX_OTHER_CHARACTERS
    sizes = {name: sum(len(str(cell)) for cell in cells if cell is not None) for name, cells in columns.items()}
    kept = set()
    for name in sorted(sizes, key=lambda name: sizes[name]):
        left -= sizes[name]
        if left >= 0:
            kept.add(name)
    return {name: cells for name, cells in columns.items() if name in kept}


def golden_document(model: Model, features: Sequence[Feature], training: Rows) -> Golden:
    """Rows spread over the training rows, some with a value taken out, and what the runtime predicts for them."""
    chosen = np.unique(np.linspace(0, len(training.target) - 1, GOLDEN_ROWS).astype(int))
    columns = columns_as_sent(training.features.iloc[chosen], features)
    rows: list[dict[str, Cell]] = [
        dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
    ]
    for position, row in enumerate(rows[:GOLDEN_WITH_MISSING]):
        row[features[position % len(features)].name] = None
    return Golden(rows=tuple(rows), predictions=tuple(model.predict_rows(rows).tolist()))


def profile_document(
    features: Sequence[Feature],
    training: Rows,
    residuals: Vector,
    answered: Vector,
    seed: int,
    spread: Spread | None = None,
) -> Profile:
    """Distributions of the training rows, and the out-of-fold `residuals` (n,), target − predicted.

    `answered` (m,): what is answered for the rows held out. Live rows are compared with them, not with those trained
    on, whose predictions follow their own targets. `spread`: how the residuals differ from row to row, where they do.
    """
    frame = training.features
    kept = residuals
    if len(kept) > MAX_RESIDUALS:
        kept = np.random.default_rng(seed).choice(kept, MAX_RESIDUALS, replace=False)
    return Profile(
        rows=len(training.target),
        numeric={f.name: _numeric(frame[f.name]) for f in features if f.kind != "categorical"},
        categorical={f.name: _categorical(frame[f.name]) for f in features if f.kind == "categorical"},
        residual_quantiles=tuple(np.quantile(residuals, np.linspace(0, 1, RESIDUAL_QUANTILES)).tolist()),
        residuals=tuple(kept.tolist()),
        predictions=histogram(answered),
        spread=spread,
    )


def answered(model: Model, rows: Rows, bounds: TargetRange) -> Vector:
    """What serving answers for `rows`: the model's predictions (n,) within the target's bounds."""
    if bounds.min is None and bounds.max is None:
        return model.predict(columns_of(rows.features))
    return np.clip(model.predict(columns_of(rows.features)), bounds.min, bounds.max)


def conformal_interval(residuals: Vector, level: float = LEVEL) -> Interval:
    """The interval of one width for all rows, by the out-of-fold residuals (n,)."""
    low, high = residual_bounds(residuals, level)
    return Interval(level=level, low_residual=low, high_residual=high)


def _numeric(values: pd.Series) -> NumericProfile:
    present = values.dropna().to_numpy(dtype=np.float64)
    return NumericProfile(
        missing=int(values.isna().sum()),
        mean=float(present.mean()),
        std=float(present.std()),
        quantiles=tuple(np.quantile(present, np.linspace(0, 1, 21)).tolist()),
        histogram=histogram(present),
    )


def _categorical(values: pd.Series) -> CategoricalProfile:
    counts = values.value_counts()
    return CategoricalProfile(
        missing=int(values.isna().sum()), counts={str(name): int(count) for name, count in counts.items()}
    )
