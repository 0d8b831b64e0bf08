"""Whether a blend of the algorithms is better than the best of them, judged by predictions out of fold.

The weights are those of non-negative least squares. Each fold is predicted with weights of the other folds, so that
the blend's score is as honest as the others'.
"""

import math
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import nnls
from sklearn.pipeline import Pipeline

from functions.train.candidate.selection import Finish, Result
from functions.train.data.rows import counted
from functions.train.search.blend import BLEND, MEMBERS, Blend
from functions.train.search.folds import Fold
from functions.train.search.search import SearchPlan, out_of_fold, put_together
from functions.train.search.searched import Candidate, Searched
from functions.train.search.zoo import Algorithm
from shared.arrays import Vector
from shared.dataset import AlgorithmsSpec
from shared.metrics import R2, SCORINGS, has_r2, mean

SMALLEST_WEIGHT = 0.02
LEAST_GAIN = 0.002
"""With 95 % confidence the blend must save this share of the mean's loss, or the best algorithm is the simpler one."""
RESAMPLES = 1_000
ALWAYS_SECONDS = 3.0
"""The winner is fitted for so long on the folds however late it is: its interval comes from them."""


@dataclass(frozen=True)
class Blending:
    """What a blend is made of: the folds that were scored, how they were searched, and how a result is finished."""

    folds: Sequence[Fold]
    plan: SearchPlan
    finish: Finish
    found: dict[str, Vector] = field(default_factory=dict)
    """The predictions out of fold, by algorithm, which are fitted once."""

    def out_of_fold(self, result: Result) -> Vector:
        """The predictions (n,) of the result's best setting for the rows that the folds leave out, in turn."""
        return self._fitted(result, len(self.folds))

    def in_time(self, result: Result) -> Vector:
        """The same, of as many folds as there is time for, of one at least; the result's remark says of how many."""
        best = result.best
        if self._at_hand(result):
            return self._fitted(result, len(self.folds))
        left = max(self.finish.ends - time.monotonic(), ALWAYS_SECONDS) * self.plan.pool.jobs
        fitting = left * len(self.folds) / best.seconds if best and best.seconds > 0.0 else math.inf
        count = int(max(1.0, min(len(self.folds), fitting)))
        if count < len(self.folds) and result.name not in self.found:
            result.searched.remark = (
                f"its interval is that of {count} of {len(self.folds)} folds, since the time budget is short"
            )
        return self._fitted(result, count)

    def _at_hand(self, result: Result) -> bool:
        """Whether the search has kept what its best setting predicts out of fold, for every fold."""
        return result.best is not None and len(result.best.outside) == len(self.folds)

    def seconds(self, result: Result) -> float:
        """About what the result, which is fitted on all rows, takes as a member of a blend: its part of the proof."""
        if result.best is None:
            return 0.0
        return result.proof_seconds + (0.0 if self._at_hand(result) else result.best.seconds)

    def _fitted(self, result: Result, count: int) -> Vector:
        if result.name not in self.found and result.best and self._at_hand(result):
            self.found[result.name] = put_together(self.folds, result.best.outside)
        if result.name not in self.found:
            params = result.best.params if result.best else {}
            algorithm = result.searched.algorithm
            self.found[result.name] = out_of_fold(algorithm, params, self.folds[:count], self.plan)
        return self.found[result.name]


def with_blend(results: Sequence[Result], blending: Blending, asked: AlgorithmsSpec) -> tuple[Result, ...]:
    """The results, and the blend of the best where the spec does not leave it out and there is one."""
    mixed = None if BLEND in asked.without else blended(results, blending)
    return (*results, mixed) if mixed else tuple(results)


def blended(results: Sequence[Result], blending: Blending) -> Result | None:
    """The blend as one more result, selectable where its gain is sure; None where there is nothing to blend.

    There is nothing to blend with one algorithm, or where the time does not reach.
    """
    able = sorted((r for r in results if r.selectable and r.best), key=lambda r: -r.best.mean if r.best else 0.0)
    members = [result for result in able if _encoding(result) == _encoding(able[0])][:MEMBERS]  # they share one matrix
    if len(members) < 2 or time.monotonic() + sum(map(blending.seconds, members)) > blending.finish.ends:
        return None
    began = time.perf_counter()
    predicted = np.column_stack([blending.out_of_fold(result) for result in members])
    tested = np.flatnonzero(np.isfinite(predicted).all(axis=1))
    training = blending.finish.training
    target, of_rows = training.target[: len(predicted)], counted(training.weights, np.arange(len(predicted)))
    candidate, mixed = _candidate([result.name for result in members], predicted, target, of_rows, blending)
    if candidate is None:
        return None
    searched = Searched(_algorithm(members, blending), [replace(candidate, seconds=time.perf_counter() - began)])
    blending.found[BLEND] = mixed
    result = blending.finish.proved(searched, _put_together(members, candidate.params), 0.0)
    scoring = blending.plan.tuning.scoring
    gain = sure_gain(target[tested], mixed[tested], predicted[tested, 0], scoring, counted(of_rows, tested))
    if gain >= LEAST_GAIN or result.graph is None:
        return result
    searched.remark = (
        f"with 95 % confidence it saves {gain:.4f} of the mean's loss beside {members[0].name}, "
        f"{LEAST_GAIN:g} is needed to be chosen"
    )
    return replace(result, graph=None, pipeline=None)


def weights(predicted: Vector, target: Vector, of_rows: Vector | None = None) -> Vector:
    """Weights (m,) that sum to one of the columns of `predicted` (n, m) for `target` (n,); small ones are zero.

    A row's square counts by `of_rows` (n,).
    """
    middle, counts = mean(target, of_rows), np.sqrt(np.ones(len(target)) if of_rows is None else of_rows)
    found, _ = nnls((predicted - middle) * counts[:, np.newaxis], (target - middle) * counts)
    if not found.sum() > 0.0:
        found = np.eye(predicted.shape[1])[0]
    kept = np.where(found / found.sum() < SMALLEST_WEIGHT, 0.0, found)
    normalised: Vector = kept / kept.sum()
    return normalised


def sure_gain(target: Vector, mixed: Vector, best: Vector, scoring: str, of_rows: Vector | None = None) -> float:
    """The one-sided 95 % lower bound of what `mixed` (n,) saves beside `best` (n,), as a share of the mean's loss.

    Rows count by `of_rows` (n,).
    """
    power = 1 if scoring == "mae" else 2
    saved = np.abs(target - best) ** power - np.abs(target - mixed) ** power
    usual = mean(np.abs(target - mean(target, of_rows)) ** power, of_rows)
    generator = np.random.default_rng(len(target))
    resamples = (generator.integers(0, len(saved), len(saved)) for _ in range(RESAMPLES))
    means = [mean(saved[rows], counted(of_rows, rows)) for rows in resamples]
    return float(np.quantile(means, 0.05)) / usual if usual > 0.0 else 0.0


def _encoding(result: Result) -> str:
    return result.searched.algorithm.encoding(result.best.params if result.best else {})


def _candidate(
    names: Sequence[str], predicted: Vector, target: Vector, of_rows: Vector | None, blending: Blending
) -> tuple[Candidate | None, Vector]:
    """The blend with its score on every fold, and its predictions (n,) out of fold."""
    scoring = SCORINGS[blending.plan.tuning.scoring]
    mixed = np.full(len(target), np.nan)
    scores, r2s = [], []
    for fold in blending.folds:
        others = np.concatenate([other.test_rows for other in blending.folds if other is not fold])
        found = weights(predicted[others], target[others], counted(of_rows, others))
        mixed[fold.test_rows] = predicted[fold.test_rows] @ found
        if scoring is R2 and not has_r2(fold.test_y, fold.test_w):
            continue
        scores.append(scoring.gain(fold.test_y, mixed[fold.test_rows], fold.test_w))
        r2s.append(R2.gain(fold.test_y, mixed[fold.test_rows], fold.test_w))
    tested = np.concatenate([fold.test_rows for fold in blending.folds])
    final = weights(predicted[tested], target[tested], counted(of_rows, tested))
    params = {name: round(float(weight), 4) for name, weight in zip(names, final, strict=True) if weight > 0.0}
    if len(params) < 2:
        return None, mixed
    return Candidate("blend", params, tuple(scores), tuple(r2s), 0.0), mixed


def _put_together(members: Sequence[Result], shares: Mapping[str, float]) -> Pipeline:
    """The blend's pipeline, of the members' own, as they were fitted to the same rows and proved a moment ago."""
    pipelines = {
        member.name: pickle.loads(member.pipeline)  # noqa: S301 (made by this run, a moment ago)
        for member in members
        if member.pipeline is not None and member.name in shares
    }
    fitted = {name: pipeline.named_steps["model"] for name, pipeline in pipelines.items()}
    preprocess = next(iter(pipelines.values())).named_steps["preprocess"]
    return Pipeline([("preprocess", preprocess), ("model", Blend.of_fitted(fitted, shares))])


def _algorithm(members: Sequence[Result], blending: Blending) -> Algorithm:
    settings: Mapping[str, tuple[Algorithm, dict[str, object]]] = {
        result.name: (result.searched.algorithm, result.best.params) for result in members if result.best
    }

    def make(seed: int) -> Blend:
        return Blend({name: entry.estimator(seed, params) for name, (entry, params) in settings.items()})

    rows = sum(fold.train_y.size for fold in blending.folds) / len(blending.folds)
    seconds = sum(result.best.seconds for result in members if result.best) / len(blending.folds)
    return Algorithm(BLEND, make, fit_seconds=seconds * 1000 / rows, categories=_encoding(members[0]))
