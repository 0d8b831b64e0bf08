"""The card of a candidate, from what was measured of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from functions.train.candidate.manifest import Origin
from functions.train.candidate.rule import width_rule
from functions.train.candidate.selection import Selected
from shared import metrics
from shared.arrays import Vector
from shared.card import Card, CardGroup, Estimate, Leading
from shared.clock import utc_now
from shared.dataset import DatasetSpec
from shared.documents import SCHEMA_VERSION, Feature
from shared.metrics import plain

RESAMPLES = 1_000
AT_ONCE = 100
MOST_LEADING = 5
MOST_GROUPS = 12
MOST_NAMES = 10


def build_card(
    origin: Origin,
    spec: DatasetSpec,
    selected: Selected,
    features: Sequence[Feature],
    report: Mapping[str, Any],
    dropped: Sequence[str],
) -> Card:
    """The card; `report` is the report's document."""
    held, effects = report["holdout"], report["effects"]
    return Card(
        schema_version=SCHEMA_VERSION,
        run_id=origin.run_id,
        name=spec.name,
        target=spec.target,
        created_at=utc_now(),
        algorithm=selected.result.name,
        params=selected.best.params,
        code=f"{origin.code.version} ({origin.code.git_sha[:12]})",
        dataset=origin.dataset,
        scores=_scores(held, spec.split.seed),
        level=held["coverage"]["level"],
        coverage=_share(held["coverage"]["within"]),
        width=width_rule(held["coverage"].get("rule")),
        leading=tuple(
            Leading(feature=entry["feature"], mean_size=entry["mean_size"])
            for entry in (effects["features"] if effects else ())[:MOST_LEADING]
        ),
        slices=tuple(_groups(held["groups"], spec.slices.by)),
        limits=(
            *_promises(spec),
            *_weighed(report["weight"]),
            *_limits(features, dropped, held["groups"], report["warnings"]),
        ),
        use=spec.card.use,
        not_for=spec.card.not_for,
        contact=spec.card.contact,
    )


def _scores(held: Mapping[str, Any], seed: int) -> dict[str, Estimate]:
    weights = None if held["weights"] is None else np.array(held["weights"])
    return scores(np.array(held["actual"]), np.array(held["predicted"]), seed, weights)


def scores(target: Vector, predicted: Vector, seed: int, weights: Vector | None = None) -> dict[str, Estimate]:
    """R², MAE and RMSE of rows held out (n,) that count by `weights` (n,), with the middle 95 % of what resampled rows
    give."""
    counts = np.ones(len(target)) if weights is None else weights
    resampled: dict[str, list[float]] = {"r2": [], "mae": [], "rmse": []}
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // AT_ONCE):
        rows = generator.integers(0, len(target), (AT_ONCE, len(target)))
        actual, misses, counted = target[rows], target[rows] - predicted[rows], counts[rows]
        count = counted.sum(axis=1)
        middle = (counted * actual).sum(axis=1) / count
        squares = (counted * np.square(misses)).sum(axis=1)
        total = (counted * np.square(actual - middle[:, np.newaxis])).sum(axis=1)
        varied = np.ptp(actual, axis=1) > 0
        resampled["r2"] += (1 - squares[varied] / total[varied]).tolist()
        resampled["mae"] += ((counted * np.abs(misses)).sum(axis=1) / count).tolist()
        resampled["rmse"] += np.sqrt(squares / count).tolist()
    found = {"r2": metrics.r2, "mae": metrics.mae, "rmse": metrics.rmse}
    values = {name: score(target, predicted, weights) for name, score in found.items()}
    return {
        name: Estimate(value=value, low=_quantile(resampled[name], 0.025), high=_quantile(resampled[name], 0.975))
        for name, value in values.items()
        if np.isfinite(value)
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


def _share(found: Mapping[str, Any]) -> Estimate:
    return Estimate(value=found["value"], low=found["low"], high=found["high"])


def _groups(groups: Sequence[Mapping[str, Any]], by: Sequence[str]) -> Iterator[CardGroup]:
    """The groups of the columns that the spec names; without any, the worst served ones, which come first."""
    chosen = [group for group in groups if group["feature"] in by] if by else groups[:MOST_GROUPS]
    for group in chosen:
        yield CardGroup(
            feature=group["feature"],
            group=group["group"],
            rows=group["rows"],
            mae=_estimate(group["mae"], group["mae_within"]),
            bias=_estimate(group["bias"], group["bias_within"]),
            covered=_share(group["covered"]) if group.get("covered") else None,
        )


def _estimate(value: float, within: Sequence[float] | None) -> Estimate:
    return Estimate(value=value, low=within[0], high=within[1]) if within else Estimate(value=value)


def _promises(spec: DatasetSpec) -> Iterator[str]:
    for name, feature in spec.features.items():
        if feature.monotone:
            way = "falls" if feature.monotone == "increasing" else "rises"
            yield f"Where {name} rises and nothing else changes, the prediction never {way}: the graph was checked."


def _weighed(weight: str | None) -> Iterator[str]:
    if weight is not None:
        yield f"Scores and the errors of groups count each row by its {weight}; intervals count all rows alike."


def _limits(
    features: Sequence[Feature], dropped: Sequence[str], groups: Sequence[Mapping[str, Any]], warnings: Sequence[str]
) -> Iterator[str]:
    yield "It has learnt what goes together in past data. It does not say what causes what."
    numbers = [
        f"{feature.name} {plain(feature.min)} to {plain(feature.max)}"
        for feature in features
        if feature.min is not None and feature.max is not None
    ]
    if numbers:
        yield f"Training saw {_named(numbers)}; a number outside is answered with a warning, or refused further out."
    refusing = [
        feature.name for feature in features if feature.kind == "categorical" and feature.on_unknown == "refuse"
    ]
    if refusing:
        yield f"A category that training has not seen is refused: {_named(refusing)}."
    warning = [feature.name for feature in features if feature.kind == "categorical" and feature.on_unknown == "warn"]
    if warning:
        yield f"A category that training has not seen is answered with a warning: {_named(warning)}."
    if dropped:
        yield f"It does not use {_named(dropped)}."
    few = [f"{group['feature']}: {group['group']}" for group in groups if group["mae_within"] is None]
    if few:
        yield f"Too few rows were held out to say how well it serves {_named(few)}."
    yield from warnings


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
