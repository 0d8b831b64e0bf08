"""What the winner leans on, by its own explanations of rows held out: how much, how surely, in which direction.

Arrives: an explainer of the serving graph, and rows. Leaves: plain values for the report.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from functions.train.candidate.selection import Finish, Selected
from functions.train.data.rows import Rows
from functions.train.graph.export import column, columns_of, export
from functions.train.search.folds import Fold
from functions.train.search.space import Params
from functions.train.search.workers import Pool
from functions.train.search.zoo import Algorithm
from shared.arrays import Vector
from shared.cells import number_of
from shared.documents import Cell, Feature, TargetRange
from shared.model_runtime import Model
from shared.profiles import Background
from shared.serving.explanation import Explainer
from shared.serving.reading import ModelInput

MOST_ROWS = 500
MOST_GRAPH_ROWS = 400_000
MOST_SECONDS = 8.0
"""Explanations of further rows are left out after so long: a figure of the report is not worth a minute."""
AT_ONCE = 10
SLOW_ROWS = 1_000
"""Rows that take so many graph rows are explained one by one, so that the clock is looked at between them."""
FOLD_ROWS = 50
MOST_REFIT_SECONDS = 60.0
DEPENDENCE_ROWS = 200
DEPENDENCE_FEATURES = 4
POINTS = 20
MOST_CATEGORIES = 12


@dataclass(frozen=True)
class HoldoutEffects:
    """The effects (n, d) of rows held out, in the order of the features' `names`, and how they were found."""

    names: tuple[str, ...]
    effects: Vector
    base: float
    method: str

    @property
    def mean_sizes(self) -> Vector:
        """The mean |effect| (d,)."""
        sizes: Vector = np.abs(self.effects).mean(axis=0)
        return sizes


def explained(
    explainer: Explainer, model: Model, rows: Rows, most: int = MOST_ROWS, seconds: float | None = None
) -> HoldoutEffects:
    """At most `most` of the rows, as many as can be explained in `seconds`, but one at least."""
    step = 1 if explainer.graph_rows > SLOW_ROWS else AT_ONCE
    most = max(AT_ONCE, min(most, MOST_GRAPH_ROWS // explainer.graph_rows, len(rows.target)))
    chosen = rows.features.iloc[np.unique(np.linspace(0, len(rows.target) - 1, most).astype(int))]
    numeric, categorical = model.arrays(columns_of(chosen))
    ends, parts = time.monotonic() + (MOST_SECONDS if seconds is None else seconds), []
    for start in range(0, len(chosen), step):
        numbers, words = numeric[start : start + step], categorical[start : start + step]
        parts.append(explainer.effects(ModelInput(numbers, words, len(numbers))))
        if time.monotonic() > ends:
            break
    return HoldoutEffects(explainer.names, np.concatenate(parts), explainer.base, explainer.method)


@dataclass(frozen=True)
class FoldFit:
    """The winner's setting fitted anew without one fold's rows, and what that model leans on."""

    finish: Finish
    algorithm: Algorithm
    params: Params
    background: Background
    bounds: TargetRange
    seconds: float = MOST_SECONDS

    def __call__(self, test_rows: NDArray[np.intp]) -> Vector:
        """The mean |effect| (d,) over some rows held out, of a model that never saw `test_rows`."""
        training = self.finish.training
        kept = np.setdiff1d(np.arange(len(training.target)), test_rows)
        model = Model(export(self.finish.fitted(self.algorithm, self.params, kept)), self.finish.features)
        explainer = Explainer(self.bounds, model, self.background)
        return explained(explainer, model, self.finish.held_out, FOLD_ROWS, self.seconds).mean_sizes


def winners_effects(
    selected: Selected,
    finish: Finish,
    background: Background,
    bounds: TargetRange,
    folds: Sequence[Fold],
    pool: Pool,
    most_seconds: float = math.inf,
) -> dict[str, Any]:
    """What the report says of the winner's effects, of as many rows as can be explained in `most_seconds`. The folds'
    models are left out where fitting them takes long."""
    patience = min(MOST_SECONDS, most_seconds)
    explainer = Explainer(bounds, selected.model, background)
    found = explained(explainer, selected.model, finish.held_out, seconds=patience)
    fit_seconds = selected.result.fit_seconds
    seconds = fit_seconds * len(folds)
    stable = None
    if seconds <= MOST_REFIT_SECONDS and time.monotonic() + seconds < finish.ends:
        algorithm = selected.result.searched.algorithm
        fit = FoldFit(finish, algorithm, selected.best.params, background, bounds, patience / len(folds))
        sizes = pool.run(fit, [fold.test_rows for fold in folds], [fit_seconds + 1.0] * len(folds))
        stable = stability(sizes, found.names)
    leading = [found.names[place] for place in np.argsort(-found.mean_sizes, kind="stable")]
    return effects_document(found, stable, dependence(selected.model, finish.features, finish.held_out, leading))


def stability(sizes: Sequence[Vector], names: Sequence[str]) -> dict[str, Any]:
    """How alike the models of the folds rank the features: the mean rank correlation of two, and each one's ranks."""
    ranks = np.array([np.argsort(np.argsort(-fold, kind="stable"), kind="stable") + 1 for fold in sizes])
    alike = [
        float(spearmanr(ranks[fold], ranks[other]).statistic)
        for fold in range(len(ranks))
        for other in range(fold)
        if len(names) > 1
    ]
    return {
        "folds": len(sizes),
        "rank_correlation": float(np.mean(alike)) if alike else None,
        "ranks": {
            name: {"best": int(ranks[:, place].min()), "worst": int(ranks[:, place].max())}
            for place, name in enumerate(names)
        },
    }


def dependence(model: Model, features: Sequence[Feature], rows: Rows, leading: Sequence[str]) -> list[dict[str, Any]]:
    """The mean prediction where one feature of all rows has the same value, for each value of the leading features."""
    chosen = rows.features.iloc[np.unique(np.linspace(0, len(rows.target) - 1, DEPENDENCE_ROWS).astype(int))]
    numeric, categorical = model.arrays(columns_of(chosen))
    known = {feature.name: feature for feature in features}
    found = []
    for name in leading[:DEPENDENCE_FEATURES]:
        cells = column(model, numeric, categorical, name)
        kept = cells.copy()
        values = _values(known[name], kept)
        predicted = []
        for value in values:
            cells[:] = number_of(value) if known[name].kind != "categorical" else value
            predicted.append(model.run(numeric, categorical))
        cells[:] = kept
        found.append(
            {
                "feature": name,
                "kind": known[name].kind,
                "values": values,
                "mean": [float(answers.mean()) for answers in predicted],
                "low": [float(np.quantile(answers, 0.1)) for answers in predicted],
                "high": [float(np.quantile(answers, 0.9)) for answers in predicted],
            }
        )
    return found


def effects_document(
    found: HoldoutEffects, stable: Mapping[str, Any] | None, curves: list[dict[str, Any]]
) -> dict[str, Any]:
    """The findings as plain values, the feature with the largest mean |effect| first."""
    order = np.argsort(-found.mean_sizes, kind="stable")
    return {
        "rows": len(found.effects),
        "method": found.method,
        "base": found.base,
        "features": [
            {
                "feature": found.names[place],
                "mean_size": float(found.mean_sizes[place]),
                "spread": float(found.effects[:, place].std()),
            }
            for place in order
        ],
        "stability": None if stable is None else dict(stable),
        "dependence": curves,
    }


def _values(feature: Feature, cells: NDArray[Any]) -> list[Cell]:
    """The values to try: the usual categories, or evenly spread quantiles of the numbers."""
    if feature.kind == "categorical":
        counts = Counter(cells.tolist())
        usual = sorted(feature.categories or (), key=lambda name: -counts[name])
        return [name for name in (feature.categories or ()) if name in usual[:MOST_CATEGORIES]]
    present = cells[~np.isnan(cells)]
    if not present.size:
        return [feature.imputed]
    points = np.unique(np.quantile(present, np.linspace(0.02, 0.98, POINTS)))
    return [float(point) for point in points]
