"""From searched algorithms to the one that is published: refitted, exported, proved, scored on the rows held out."""

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from functions.train.export import columns_of, export, require_parity
from functions.train.graph import NotExportable
from functions.train.ingestion import Column
from functions.train.preprocessing import CATEGORICAL_STEP, NUMERIC_STEP, preprocessing
from functions.train.tuner import Candidate, Searched
from shared import metrics
from shared.dataset import DatasetSpec
from shared.errors import IntegrityError, NoSelectableModel
from shared.manifest import Feature, HoldoutScores
from shared.model_runtime import Model

NO_TIME = "not refitted: the time budget ran out, and a better one can be published"
FINISH_FITS = 2.0
"""Refit, proof, and once more every fold for its residuals: about so many times what its search took over the folds."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """One side of the split."""

    features: pd.DataFrame
    target: Vector


@dataclass(frozen=True)
class Result:
    """An algorithm after the search. `graph` is there where it was exported and proved; else `error` says why not."""

    searched: Searched
    best: Candidate | None
    pipeline: Pipeline | None
    graph: bytes | None
    holdout: HoldoutScores | None
    fit_seconds: float
    parity: float | None
    error: str | None

    @property
    def name(self) -> str:
        return self.searched.entry.name

    @property
    def selectable(self) -> bool:
        return self.graph is not None and self.searched.entry.selectable


@dataclass(frozen=True)
class Selected:
    """The winner, complete."""

    result: Result
    best: Candidate
    graph: bytes
    holdout: HoldoutScores
    model: Model


def describe_features(columns: Sequence[Column], training: Rows, spec: DatasetSpec) -> tuple[Feature, ...]:
    """The features as the preprocessing of all training rows has learnt them."""
    fitted = preprocessing(columns).fit(training.features).named_transformers_
    described: dict[str, Feature] = {}
    if NUMERIC_STEP in fitted:
        names = [column for column in columns if column.kind == "numeric"]
        for column, median in zip(names, fitted[NUMERIC_STEP].named_steps["impute"].statistics_, strict=True):
            values, limits = training.features[column.name], spec.features.get(column.name)
            low = values.min() if limits is None or limits.min is None else limits.min
            high = values.max() if limits is None or limits.max is None else limits.max
            described[column.name] = Feature(
                name=column.name,
                kind="numeric",
                nullable=column.nullable,
                imputed=float(median),
                min=float(low),
                max=float(high),
            )
    if CATEGORICAL_STEP in fitted:
        steps = fitted[CATEGORICAL_STEP].named_steps
        names = [column for column in columns if column.kind == "categorical"]
        for column, usual, known in zip(names, steps["impute"].statistics_, steps["encode"].categories_, strict=True):
            described[column.name] = Feature(
                name=column.name,
                kind="categorical",
                nullable=column.nullable,
                imputed=str(usual),
                categories=tuple(str(value) for value in known),
            )
    return tuple(described[column.name] for column in columns)


def finish(
    searched: Searched,
    columns: Sequence[Column],
    features: Sequence[Feature],
    training: Rows,
    held_out: Rows,
    seed: int,
) -> Result:
    """Refit the best setting on all training rows, export it, prove it, score it. An error is a row, never silence."""
    best = searched.best
    if best is None:
        return _failed(searched, searched.error or searched.note or "no candidate has a finite score")
    began = time.perf_counter()
    estimator = searched.entry.make(seed).set_params(**best.params)
    pipeline = Pipeline([("preprocess", preprocessing(columns)), ("model", estimator)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(training.features, training.target)
    except Exception as error:  # noqa: BLE001 (an estimator may raise anything; the report shows it)
        return _failed(searched, f"refitting failed: {type(error).__name__}: {error}")
    seconds = time.perf_counter() - began
    if not searched.entry.selectable:
        scores = score(held_out.target, np.ravel(pipeline.predict(held_out.features)))
        return Result(searched, best, pipeline, None, scores, seconds, None, None)
    try:
        graph = export(pipeline)
        model = Model(graph, features)
        parity = require_parity(pipeline, model, features, training.features, seed)
    except (NotExportable, IntegrityError) as error:
        scores = score(held_out.target, np.ravel(pipeline.predict(held_out.features)))
        return Result(searched, best, pipeline, None, scores, seconds, None, f"not selectable: {error}")
    scores = score(held_out.target, model.predict(columns_of(held_out.features)))
    return Result(searched, best, pipeline, graph, scores, seconds, parity, None)


def finish_all(
    searched: Sequence[Searched],
    columns: Sequence[Column],
    features: Sequence[Feature],
    training: Rows,
    held_out: Rows,
    seed: int,
    ends: float = math.inf,
) -> tuple[Result, ...]:
    """Every algorithm finished, in their order. As long as one can be published, none is begun that would end too late.

    `ends` is on the monotonic clock. The best go first: what there is no time for is what would not have won.
    """
    done: dict[str, Result] = {}
    for one in sorted(searched, key=_rank):
        late = one.best is not None and time.monotonic() + FINISH_FITS * one.best.seconds > ends
        if late and any(result.selectable for result in done.values()):
            done[one.entry.name] = Result(one, one.best, None, None, None, 0.0, None, NO_TIME)
        else:
            done[one.entry.name] = finish(one, columns, features, training, held_out, seed)
    return tuple(done[one.entry.name] for one in searched)


def _rank(searched: Searched) -> float:
    best = searched.best
    return -float(np.mean(best.r2)) if best and searched.entry.selectable else math.inf


def select(results: Sequence[Result], features: Sequence[Feature]) -> Selected:
    """The selectable algorithm with the best mean CV R². Raises NoSelectableModel naming every algorithm's reason."""
    able = [(float(np.mean(result.best.r2)), result) for result in results if result.best and result.selectable]
    able = [(r2, result) for r2, result in able if np.isfinite(r2)]
    if not able:
        reasons = "; ".join(f"{result.name}: {result.error or 'the baseline'}" for result in results)
        raise NoSelectableModel(f"no algorithm can be published: {reasons}")
    _, winner = max(able, key=lambda pair: pair[0])
    if winner.best is None or winner.graph is None or winner.holdout is None:
        raise NoSelectableModel(f"{winner.name} is incomplete")
    return Selected(winner, winner.best, winner.graph, winner.holdout, Model(winner.graph, features))


def score(target: Vector, predicted: Vector) -> HoldoutScores:
    """R², MAE and RMSE, the latter two in the target's units."""
    return HoldoutScores(
        r2=metrics.r2(target, predicted), mae=metrics.mae(target, predicted), rmse=metrics.rmse(target, predicted)
    )


def _failed(searched: Searched, error: str) -> Result:
    return Result(searched, None, None, None, None, 0.0, None, error)
