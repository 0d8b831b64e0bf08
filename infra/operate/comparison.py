"""Two runs side by side, on the same rows. Pure: manifests, graphs and held-out rows in, lines for people out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.validate.reading import as_read_by, readable_by
from shared.arrays import Vector
from shared.documents import Cell, Feature, Manifest
from shared.metrics import SCORINGS, Scoring, plain, significant
from shared.model_runtime import Model
from shared.profiles import Holdout

RESAMPLES = 1_000
SEED = 20_260_105
LEVEL = 0.95
MAX_ROWS = 5_000
MIN_GROUP = 10
SHOWN_GROUPS = 12
COLUMN = 26


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    manifest: Manifest
    graph: bytes


@dataclass(frozen=True)
class Scored:
    """What both predict for the same rows, (n,) each, with the columns that the rows were grouped by, and how much each
    row counts, None where all count alike."""

    target: Vector
    first: Vector
    second: Vector
    columns: Mapping[str, Sequence[Cell]]
    weights: Vector | None = None


def compare(first: Side, second: Side, holdout: Holdout | None) -> Iterator[str]:
    """Every section. Without `holdout` there are no rows to score both on, and a line says so."""
    yield _row("", first.manifest.run_id, second.manifest.run_id)
    yield from _section("Made of", _made_of(first.manifest), _made_of(second.manifest))
    yield from _section("Model", _model(first.manifest), _model(second.manifest))
    yield from _features(first.manifest, second.manifest)
    if holdout is None:
        yield from ("", "Scores: no rows held out are left of either run (they are kept for 90 days)")
        return
    if first.manifest.target != second.manifest.target:
        yield from ("", f"Scores: one predicts {first.manifest.target}, the other {second.manifest.target}")
        return
    missing = [f.name for side in (first, second) for f in _unreadable(side.manifest, holdout)]
    if missing:
        yield from ("", f"Scores: the rows held out do not have {', '.join(dict.fromkeys(missing))}")
        return
    found = scored(first, second, holdout)
    yield from _scores(found)
    yield from _slices(found, first.manifest.features)


def scored(first: Side, second: Side, holdout: Holdout) -> Scored:
    """Both graphs on the rows held out, or on 5,000 of them."""
    rows = np.arange(len(holdout.target))
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(len(rows), MAX_ROWS, replace=False))
    columns = {name: [cells[row] for row in rows] for name, cells in holdout.columns.items()}
    target = np.array(holdout.target, dtype=np.float64)[rows]
    weights = None if holdout.weights is None else np.array(holdout.weights, dtype=np.float64)[rows]
    return Scored(target, _predicted(first, columns), _predicted(second, columns), columns, weights)


def interval(found: Scored, scoring: Scoring) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """95 % intervals of the score of the first, of the second, and of their difference, on the same resamples."""
    generator = np.random.default_rng(SEED)
    scores = np.empty((RESAMPLES, 2))
    for number in range(RESAMPLES):
        rows = generator.integers(0, len(found.target), len(found.target))
        scores[number] = _pair(found, scoring, rows)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low_high = [np.nanquantile(values, tails) for values in (*scores.T, scores[:, 1] - scores[:, 0])]
    first, second, difference = ((float(low), float(high)) for low, high in low_high)
    return first, second, difference


def _pair(found: Scored, scoring: Scoring, rows: NDArray[np.int64]) -> list[float]:
    """The score of the first and of the second on some rows."""
    counts = None if found.weights is None else found.weights[rows]
    return [scoring.score(found.target[rows], side[rows], counts) for side in (found.first, found.second)]


def _predicted(side: Side, columns: Mapping[str, Sequence[Cell]]) -> Vector:
    features = side.manifest.features
    predicted = Model(side.graph, features).predict({f.name: as_read_by(f, columns[f.name]) for f in features})
    bounds = side.manifest.target_range
    clipped: Vector = (
        np.clip(predicted, bounds.min, bounds.max) if bounds.min is not None or bounds.max is not None else predicted
    )
    return clipped


def _unreadable(manifest: Manifest, holdout: Holdout) -> list[Feature]:
    return [feature for feature in manifest.features if not readable_by(feature, holdout.columns.get(feature.name))]


# ---- what they are made of -------------------------------------------------------------------------------------------


def _made_of(manifest: Manifest) -> dict[str, str]:
    data, made = manifest.dataset, manifest.training
    spec: Mapping[str, Any] = made.spec if made else {}
    return {
        "table": data.name,
        "target": manifest.target,
        "data": data.uri,
        "sha256": data.sha256[:12],
        "rows": f"{data.rows:,}",
        "held out": f"{data.holdout_rows:,}",
        "split": _said(spec.get("split")),
        "code": (manifest.code.digest or manifest.code.git_sha)[:12],
        "budget": f"{made.budget_seconds:g} s, {made.jobs} process(es)" if made else "",
        **manifest.libraries,
    }


def _model(manifest: Manifest) -> dict[str, str]:
    model = manifest.model
    return {
        "algorithm": model.algorithm,
        **{name: _said(value) for name, value in model.params.items()},
        "CV R²": f"{model.cv.r2_mean:.4f} ± {model.cv.r2_std:.4f}",
        "own holdout R²": f"{model.holdout.r2:.4f}",
        "interval": f"{significant(manifest.interval.low_residual)} to {significant(manifest.interval.high_residual)}",
    }


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={item}" for name, item in value.items() if item not in (None, "", [], ()))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _section(title: str, first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[str]:
    """The lines that differ are marked; what is the same on both sides stands once."""
    yield from ("", title)
    for name in dict.fromkeys((*first, *second)):
        mine, other = first.get(name, "–"), second.get(name, "–")
        yield _row(name, mine, "" if mine == other else other, "" if mine == other else "*")


def _features(first: Manifest, second: Manifest) -> Iterator[str]:
    before, after = ({f.name: f for f in manifest.features} for manifest in (first, second))
    yield from ("", "Features")
    same = [name for name in before if name in after and _domain(before[name]) == _domain(after[name])]
    yield f"  the same in both: {', '.join(same) or 'none'}"
    for name in dict.fromkeys((*before, *after)):
        if name not in same:
            mine, other = (_domain(side[name]) if name in side else "not used" for side in (before, after))
            yield _row(name, mine, other, "*")


def _domain(feature: Feature) -> str:
    if feature.categories is not None:
        return f"{len(feature.categories)}: {', '.join(feature.categories)}"
    low, high = ("" if end is None else plain(end) for end in (feature.min, feature.max))
    return f"{feature.kind}, {low} to {high}"


# ---- how they score --------------------------------------------------------------------------------------------------


def _scores(found: Scored) -> Iterator[str]:
    yield from ("", f"Scores of both on the same {len(found.target):,} rows held out, with 95 % intervals")
    for scoring in SCORINGS.values():
        first, second, difference = interval(found, scoring)
        scores = _pair(found, scoring, np.arange(len(found.target)))
        cells = [
            f"{scoring.shown(score)} ({scoring.shown(low)} to {scoring.shown(high)})"
            for score, (low, high) in zip(scores, (first, second), strict=True)
        ]
        yield _row(scoring.label, *cells)
        low, high = difference
        by, *span = (_signed(scoring, value) for value in (scores[1] - scores[0], low, high))
        yield f"    second − first: {by} ({' to '.join(span)}): {_better(low, high, scoring.sign)}"


def _better(low: float, high: float, sign: int) -> str:
    if not (low > 0.0 or high < 0.0):  # also where one is NaN
        return "no difference that these rows show"
    return "the second is better" if (low > 0) == (sign > 0) else "the first is better"


def _signed(scoring: Scoring, difference: float) -> str:
    return f"{'+' if difference > 0 else ''}{scoring.shown(difference)}"


def _slices(found: Scored, features: Sequence[Feature]) -> Iterator[str]:
    groups = [(name, label, rows) for name, label, rows in _groups(found, features) if rows.sum() >= MIN_GROUP]
    errors = [_pair(found, SCORINGS["mae"], np.flatnonzero(rows)) for _, _, rows in groups]
    yield from ("", f"Mean absolute error by group, the largest differences first (groups of {MIN_GROUP} rows or more)")
    order = sorted(range(len(groups)), key=lambda place: -abs(errors[place][1] - errors[place][0]))
    for place in order[:SHOWN_GROUPS]:
        name, label, rows = groups[place]
        first, second = (significant(error) for error in errors[place])
        yield f"  {_cut(f'{name} = {label}', 42):<42} {int(rows.sum()):>6,} rows  {first:>10} {second:>10}"


def _groups(found: Scored, features: Sequence[Feature]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Each category, and each quarter of a number."""
    for feature in features:
        cells = as_read_by(feature, found.columns[feature.name])
        if feature.categories is not None:
            for label in sorted({str(cell) for cell in cells if cell is not None}):
                yield feature.name, label, np.array([cell == label for cell in cells])
            continue
        values = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        if np.isnan(values).all():
            continue
        cuts = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
        for low, high in pairwise(cuts):
            inside = (values >= low) & ((values < high) | ((high == cuts[-1]) & (values == high)))
            yield feature.name, f"{plain(low)} to {plain(high)}", inside


def _row(name: str, first: str, second: str, mark: str = "") -> str:
    return f"{mark or ' '} {_cut(name, 24):<24} {_cut(first, COLUMN):<{COLUMN}} {_cut(second, COLUMN)}".rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
