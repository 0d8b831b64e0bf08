"""The two-stage search: random draws over each algorithm's space, then a grid around the best draw.

Candidates that differ only in their number of trees, or in a depth that no tree reaches, share their fits: a trial. The
same seed gives the same result whatever the number of processes.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler

from functions.train.search.fits import Task, depth_limit, predictions
from functions.train.search.folds import Fold, Matrix
from functions.train.search.progress import Progress, Silence
from functions.train.search.schedule import Pace, Trial, run_trials
from functions.train.search.space import Params, grid_around
from functions.train.search.workers import Pool, Workers
from functions.train.search.zoo import Algorithm
from shared.dataset import TuningSpec
from shared.metrics import R2, has_r2

SearchStage = Literal["random", "grid"]

MAX_GRID_FITS = 27
"""Per fold: three parameters with three values each. A larger grid moves at most two of its parameters at a time.

On the sample that is XGBoost's alone: its whole grid is 81 fits a fold, with which the search takes a tenth longer than
with the 33 of pairs, for an R² of 0.1996 instead of 0.1990. What was left out is counted in the algorithm's note.
"""
USUAL_WIDTH = 16
"""Columns of the matrix on which the zoo's seconds were measured; most algorithms take longer in proportion."""
DEEP = 20
"""Forests with this limit of depth, a higher one or none are fitted once, as long as no tree reaches it."""
RANDOM_SHARE = 0.75
"""The most that the random stage takes of the search's time, so that something is left for the grid."""


@dataclass(frozen=True)
class Candidate:
    """One setting of one algorithm with its score per fold, where more is better: an error is negative. `r2` beside it,
    NaN in a fold whose target is constant."""

    stage: SearchStage
    params: Params
    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """The mean score over the folds."""
        return float(np.mean(self.scores))

    @property
    def r2_mean(self) -> float:
        """The mean R² over the folds that have one; NaN where none has."""
        return float(np.nanmean(self.r2)) if np.isfinite(self.r2).any() else float("nan")

    @property
    def r2_std(self) -> float:
        """The standard deviation of R² over the folds that have one; NaN where none has."""
        return float(np.nanstd(self.r2)) if np.isfinite(self.r2).any() else float("nan")


@dataclass
class Searched:
    """An algorithm's search: its candidates, how many of them failed and with what, how many were cut by the time.

    `without_r2` counts the folds that score nothing, since all of their tested rows have the same target.
    """

    algorithm: Algorithm
    candidates: list[Candidate] = field(default_factory=list)
    error: str | None = None
    failed: int = 0
    cut: int = 0
    left_out: int = 0
    without_r2: int = 0

    @property
    def note(self) -> str | None:
        """What a reader of its scores must know: candidates that failed, or that there was no time for."""
        said = []
        if self.failed:
            said.append(f"{self.failed} of {len(self.candidates)} candidates failed: {self.error}")
        if self.cut:
            said.append(f"candidates cut by the time budget: {self.cut}")
        if self.left_out:
            said.append(f"its grid moves at most two parameters at a time: {self.left_out} candidates were left out")
        if self.without_r2:
            said.append(f"folds without a score, since their target is constant: {self.without_r2}")
        return "; ".join(said) or None

    @property
    def best(self) -> Candidate | None:
        """The candidate with the highest mean score; None where no candidate has a finite one."""
        finite = [candidate for candidate in self.candidates if np.isfinite(candidate.mean)]
        return max(finite, key=lambda candidate: candidate.mean) if finite else None


@dataclass(frozen=True)
class SearchPlan:
    """How to search: what the spec asks for, in which pool, until when, and who is told of each fit done."""

    tuning: TuningSpec
    seed: int
    pool: Pool = field(default_factory=lambda: Pool(Workers()))
    deadline: float = float("inf")
    progress: Progress = field(default_factory=Silence)


def search(zoo: Sequence[Algorithm], folds: Sequence[Fold], plan: SearchPlan) -> list[Searched]:
    """Run both stages for every algorithm of `zoo`, in its order.

    A fold whose tested rows all have the same target has no R²; where that is the score, no candidate is scored on it.
    """
    scored = [fold for fold in folds if plan.tuning.scoring != R2.name or has_r2(fold.test_y)]
    searched = [Searched(algorithm, without_r2=len(folds) - len(scored)) for algorithm in zoo]
    if not scored:
        return searched
    now = time.monotonic()
    first = replace(plan, deadline=now + RANDOM_SHARE * (plan.deadline - now))
    pace = Pace()
    _run_stage("random", searched, draws(zoo, plan.tuning.random_iterations, plan.seed), scored, first, pace)
    _run_stage("grid", searched, [refinement(result) for result in searched], scored, plan, pace)
    return searched


def out_of_fold(algorithm: Algorithm, params: Params, folds: Sequence[Fold], plan: SearchPlan) -> Matrix:
    """Predict the training rows (n,), each by the model of the fold that did not train on it."""
    found = np.empty(sum(fold.test_rows.size for fold in folds))
    tasks = [_task(algorithm, [params], fold, plan) for fold in folds]
    predicted = plan.pool.run(predictions, tasks, sum(task.cost for task in tasks))
    for fold, (values,) in zip(folds, predicted, strict=True):
        found[fold.test_rows] = values
    return found


def draws(zoo: Sequence[Algorithm], iterations: int, seed: int) -> list[list[Params]]:
    """The candidates of the random stage by algorithm: at most `iterations`, none twice."""
    drawn = []
    for algorithm in zoo:
        options = {name: list(space.options) for name, space in algorithm.space.items()}
        size = len(ParameterGrid(options))
        drawn.append(list(ParameterSampler(options, min(iterations, size), random_state=seed)))
    return drawn


def refinement(searched: Searched) -> list[Params]:
    """The candidates around the best, without those that the first stage has tried."""
    if searched.best is None or not searched.algorithm.space:
        return []
    tried = [candidate.params for candidate in searched.candidates]
    whole = list(ParameterGrid(grid_around(searched.algorithm.space, searched.best.params)))
    grid = [params for params in whole if params not in tried]
    if len(_shared_fits(searched.algorithm, whole)) > MAX_GRID_FITS:
        near = [params for params in grid if _moved(searched, params) <= 2]
        searched.left_out = len(grid) - len(near)
        return near
    return grid


def _moved(searched: Searched, params: Params) -> int:
    """How many parameters differ from the best, the number of trees aside."""
    best = searched.best.params if searched.best else {}
    return sum(value != best[name] for name, value in params.items() if name != searched.algorithm.rounds)


def _run_stage(
    stage: SearchStage,
    searched: Sequence[Searched],
    candidates: Sequence[Sequence[Params]],
    folds: Sequence[Fold],
    plan: SearchPlan,
    pace: Pace,
) -> None:
    trials = [
        list(_trials(result.algorithm, chosen, folds, plan))
        for result, chosen in zip(searched, candidates, strict=True)
    ]
    everything = [trial for own in trials for trial in own]
    if not everything:
        return
    plan.progress.begin(stage, Counter(fit.trial.algorithm.name for trial in everything for fit in trial.fits()))
    run_trials(everything, plan.pool, plan.deadline, plan.progress, pace)
    for result, own in zip(searched, trials, strict=True):
        _record(stage, result, own)


def _trials(
    algorithm: Algorithm, candidates: Sequence[Params], folds: Sequence[Fold], plan: SearchPlan
) -> Iterator[Trial]:
    for numbers in _shared_fits(algorithm, candidates):
        group = [candidates[number] for number in numbers]
        yield Trial(algorithm, numbers, tuple(_task(algorithm, group, fold, plan) for fold in folds))


def _shared_fits(algorithm: Algorithm, candidates: Sequence[Params]) -> list[tuple[int, ...]]:
    """Group candidates that may share a fit: they differ in their rounds only, or in limits of depth that may not
    matter. Gives their places in `candidates`."""
    groups: dict[str, list[int]] = {}
    for number, params in enumerate(candidates):
        same = {name: value for name, value in params.items() if name != algorithm.rounds}
        if algorithm.depth and depth_limit(algorithm, params) >= DEEP:
            same[algorithm.depth] = None
        settings = repr(sorted((name, repr(value)) for name, value in same.items()))
        groups.setdefault(settings if algorithm.rounds else str(number), []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


def _task(algorithm: Algorithm, group: Sequence[Params], fold: Fold, plan: SearchPlan) -> Task:
    rows, width = fold.train_x.shape
    cost = max(algorithm.cost(params) for params in group) * rows / 1000 * max(width / USUAL_WIDTH, 1.0)
    return Task(algorithm, tuple(group), fold, plan.tuning.scoring, plan.seed, cost, plan.deadline)


def _record(stage: SearchStage, searched: Searched, trials: Iterable[Trial]) -> None:
    """Add the candidates of a stage in the order in which they were chosen."""
    scored: dict[int, Candidate] = {}
    for trial in trials:
        measured = [trial.measured[fold] for fold in range(len(trial.tasks))]
        if any(fold.cut for fold in measured):
            searched.cut += len(trial.numbers)
            continue
        error = next((fold.error for fold in measured if fold.error), None)
        if error:
            searched.failed += len(trial.numbers)
            searched.error = searched.error or error
        for place, number in enumerate(trial.numbers):
            scored[number] = Candidate(
                stage=stage,
                params=trial.tasks[0].group[place],
                scores=tuple(fold.scores[place] for fold in measured),
                r2=tuple(fold.r2[place] for fold in measured),
                seconds=sum(fold.seconds for fold in measured) / len(trial.numbers),
            )
    searched.candidates += [scored[number] for number in sorted(scored)]
