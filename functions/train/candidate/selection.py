"""Finishes what was searched: refits, exports, proves and scores every algorithm, and selects the one to publish."""

import math
import pickle
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import call
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from functions.train.data.categories import ONE_HOT, MeansForMany, many_valued
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows, counted
from functions.train.graph.direction import require_directions
from functions.train.graph.export import columns_of, export, require_parity
from functions.train.graph.graph import NotExportable
from functions.train.search.blend import MEMBERS
from functions.train.search.moments import arriving, leaving
from functions.train.search.searched import Candidate, Searched
from functions.train.search.space import Params
from functions.train.search.target import StandardisedTarget
from functions.train.search.workers import HERE, Pool, Workers
from functions.train.search.zoo import Algorithm
from shared import metrics
from shared.arrays import Vector
from shared.documents import Feature, HoldoutScores
from shared.errors import IntegrityError, NoSelectableModel
from shared.model_runtime import Model
from shared.tables.reading import Column

NO_TIME = "not refitted: the time budget ran out, and a better one can be published"
FINISH_FITS = 2.0
"""Refit and proof: about so many times the refit."""


@dataclass(frozen=True)
class Result:
    """An algorithm after the search. `graph`, and `pipeline`, pickled, are there where it was exported and proved; else
    `error` says why not. `proof_seconds`: what export, proof and scores took."""

    searched: Searched
    best: Candidate | None
    pipeline: bytes | None
    graph: bytes | None
    holdout: HoldoutScores | None
    fit_seconds: float
    parity: float | None
    error: str | None
    proof_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The algorithm's name."""
        return self.searched.algorithm.name

    @property
    def selectable(self) -> bool:
        """Whether it may be published: its graph is proved, and it is no baseline."""
        return self.graph is not None and self.searched.algorithm.selectable


@dataclass(frozen=True)
class Selected:
    """The winner, complete."""

    result: Result
    best: Candidate
    pipeline: bytes
    graph: bytes
    holdout: HoldoutScores
    model: Model


@dataclass(frozen=True)
class Finish:
    """What every algorithm is finished with: the rows, how they are preprocessed, and the time that there is.

    `ends` is on the monotonic clock of the computer that this is on. `directions` (1 or −1 by feature) are those that a
    graph must keep.
    """

    columns: tuple[Column, ...]
    features: tuple[Feature, ...]
    training: Rows
    held_out: Rows
    seed: int
    ends: float = math.inf
    directions: Mapping[str, int] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return leaving(self.__dict__, "ends")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(arriving(state, "ends"))

    @cached_property
    def _many(self) -> tuple[str, ...]:
        return many_valued(self.columns, self.training.features)

    def fitted(self, algorithm: Algorithm, params: Params, kept: NDArray[np.intp] | None = None) -> Pipeline:
        """A candidate's pipeline fitted to all training rows, or to those at the places `kept`."""
        features, target, weights = self.training.features, self.training.target, self.training.weights
        if kept is not None:
            features, target, weights = features.iloc[kept], target[kept], counted(weights, kept)
        model = StandardisedTarget(algorithm.estimator(self.seed, params))
        way = algorithm.encoding(params)
        if not self._many or way == ONE_HOT:
            pipeline = Pipeline([("preprocess", preprocessing(self.columns)), ("model", model)])
            return pipeline.fit(features, target, model__sample_weight=weights)
        encoder = MeansForMany(self.columns, self._many, self.seed, way)
        model.fit(encoder.fit_transform(features, target, weights), target, weights)
        return Pipeline([("preprocess", encoder), ("model", model)])

    def in_time(self, searched: Searched, spared: float = 0.0) -> Result:
        """The algorithm finished, unless that would end later than `spared` seconds before the end."""
        expected = FINISH_FITS * searched.best.refit_seconds if searched.best else 0.0
        if searched.best is not None and time.monotonic() + expected > self.ends - spared:
            return Result(searched, searched.best, None, None, None, 0.0, None, NO_TIME)
        return self(searched)

    def __call__(self, searched: Searched) -> Result:
        """The best setting refitted on all training rows, exported, proved and scored. An error is a row."""
        best = searched.best
        if best is None:
            return _failed(searched, searched.error or searched.note or "no candidate has a finite score")
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                pipeline = self.fitted(searched.algorithm, best.params)
        except Exception as error:  # noqa: BLE001 (an estimator may raise anything; the report shows it)
            return _failed(searched, f"refitting failed: {type(error).__name__}: {error}")
        return self.proved(searched, pipeline, time.perf_counter() - began)

    def proved(self, searched: Searched, pipeline: Pipeline, fit_seconds: float) -> Result:
        """The fitted pipeline of the best setting exported, proved and scored."""
        began = time.perf_counter()
        graph, parity, reason = None, None, None
        if searched.algorithm.selectable:
            try:
                exported = export(pipeline)
                model = Model(exported, self.features)
                parity = require_parity(pipeline, model, self.features, self.training.features, self.seed)
                require_directions(model, self.training.features, self.directions)
                graph = exported
            except (NotExportable, IntegrityError) as error:
                reason = f"not selectable: {error}"
        rows = self.held_out.features
        predicted = model.predict(columns_of(rows)) if graph else np.ravel(pipeline.predict(rows))
        scores = score(self.held_out.target, predicted, self.held_out.weights)
        kept = pickle.dumps(pipeline) if graph else None
        proof_seconds = time.perf_counter() - began
        return Result(searched, searched.best, kept, graph, scores, fit_seconds, parity, reason, proof_seconds)


def finish_all(searched: Sequence[Searched], finish: Finish, pool: Pool | None = None) -> tuple[Result, ...]:
    """Every algorithm finished, in their order. As long as one can be published, none is begun that would end too late.

    The best go first: what there is no time for is what would not have won. Those that no blend is made of leave it its
    time.
    """
    ranked = sorted(searched, key=_rank)
    blended = sum(entry.best.refit_seconds for entry in ranked[:MEMBERS] if entry.best)
    spared = [0.0] * MEMBERS + [blended] * len(ranked)
    later = [partial(finish.in_time, entry, left) for entry, left in zip(ranked[1:], spared[1:], strict=False)]
    tasks = [partial(finish, ranked[0]), *later]
    costs = [FINISH_FITS * entry.best.refit_seconds if entry.best else 0.0 for entry in ranked]
    found = (pool or Pool(Workers(backend=HERE))).run(call, tasks, costs)
    for place, result in enumerate(found):
        if any(other.selectable for other in found):
            break
        if result.error == NO_TIME:
            found[place] = finish(ranked[place])
    done = {result.name: result for result in found}
    return tuple(done[entry.algorithm.name] for entry in searched)


def _rank(searched: Searched) -> float:
    best = searched.best
    return -best.mean if best and searched.algorithm.selectable else math.inf


def select(results: Sequence[Result], features: Sequence[Feature]) -> Selected:
    """The selectable algorithm with the best mean score. Raises NoSelectableModel naming every algorithm's reason."""
    able = [(result.best.mean, result) for result in results if result.best and result.selectable]
    able = [(mean, result) for mean, result in able if np.isfinite(mean)]
    if not able:
        reasons = "; ".join(f"{result.name}: {result.error or 'the baseline'}" for result in results)
        raise NoSelectableModel(f"no algorithm can be published: {reasons}")
    _, winner = max(able, key=lambda pair: pair[0])
    if winner.best is None or winner.pipeline is None or winner.graph is None or winner.holdout is None:
        raise NoSelectableModel(f"{winner.name} is incomplete")
    model = Model(winner.graph, features)
    return Selected(winner, winner.best, winner.pipeline, winner.graph, winner.holdout, model)


def score(target: Vector, predicted: Vector, weights: Vector | None = None) -> HoldoutScores:
    """R², MAE and RMSE, the latter two in the target's units, of rows that count by `weights` (n,)."""
    return HoldoutScores(
        r2=metrics.r2(target, predicted, weights),
        mae=metrics.mae(target, predicted, weights),
        rmse=metrics.rmse(target, predicted, weights),
    )


def _failed(searched: Searched, error: str) -> Result:
    return Result(searched, None, None, None, None, 0.0, None, error)
