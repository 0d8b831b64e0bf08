"""The two-stage search: random draws over each algorithm's space, then a grid around the best draw.

Preprocessing is fitted once per fold, on that fold's training rows only. Every (algorithm, candidate, fold) is one
task; candidates that differ only in their number of trees, or in a depth that no tree reaches, share one. The same seed
gives the same result whatever the number of processes.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, vstack
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler

from functions.train.data.preprocessing import preprocessing
from functions.train.search.fits import (
    Features,
    Fold,
    Matrix,
    Outcome,
    Task,
    depth_limit,
    measure,
    predictions,
)
from functions.train.search.progress import Progress, Silence
from functions.train.search.space import Params, grid_around
from functions.train.search.workers import Pool, Workers
from functions.train.search.zoo import Entry
from shared.dataset import TuningSpec
from shared.tables.reading import Column

Stage = Literal["random", "grid"]

MAX_GRID_FITS = 27
"""Per fold: three parameters with three values each. A larger grid moves at most two of its parameters at a time.

On the sample that is XGBoost's alone: its whole grid is 81 fits a fold, with which the search takes a tenth longer than
with the 33 of pairs, for an R² of 0.1996 instead of 0.1990. What was left out is counted in the algorithm's note.
"""
SPARSE_WIDTH = 256
"""A fold of more columns is kept and sent to its process sparse, and filled in there for one fit at a time.

The 8,000 training rows of a fold with six columns of 200 categories are 0.6 MB instead of 77 MB; filling them in took
0.18 s where Ridge, the cheapest fit, took 0.36 s.
"""
USUAL_WIDTH = 16
"""Columns of the matrix on which the zoo's seconds were measured; most algorithms take longer in proportion."""
BLOCK_ROWS = 4_096
DEEP = 20
"""Forests with this limit of depth, a higher one or none are fitted once, as long as no tree reaches it."""
RANDOM_SHARE = 0.75
"""Of the search's time at most, so that something is left for the grid around each algorithm's best."""
HURRY_SHARE = 0.5
"""Work that is expected to take more of the time left than this shares it among the algorithms, cheapest fits first;
else the dearest come first, so that all processes end together. An estimate may be wrong by half.
"""


@dataclass(frozen=True)
class Candidate:
    """One setting of one algorithm with its score per fold; `r2` beside the score that the search maximises."""

    stage: Stage
    params: Params
    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))


@dataclass
class Searched:
    """An algorithm's search: its candidates, how many of them failed and with what, how many were cut by the time."""

    entry: Entry
    candidates: list[Candidate] = field(default_factory=list)
    error: str | None = None
    failed: int = 0
    cut: int = 0
    left_out: int = 0

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
        return "; ".join(said) or None

    @property
    def best(self) -> Candidate | None:
        finite = [candidate for candidate in self.candidates if np.isfinite(candidate.mean)]
        return max(finite, key=lambda candidate: candidate.mean) if finite else None


@dataclass(frozen=True)
class Search:
    """How to search: what the spec asks for, in which pool, until when, and who is told of each fit done."""

    tuning: TuningSpec
    seed: int
    pool: Pool = field(default_factory=lambda: Pool(Workers()))
    deadline: float = float("inf")
    progress: Progress = field(default_factory=Silence)


class Pace:
    """How much longer than expected an algorithm's fits take on this table; infinitely, where there was no time."""

    def __init__(self) -> None:
        self._expected: dict[str, float] = {}
        self._taken: dict[str, float] = {}

    def knows(self, task: Task) -> bool:
        """Whether a fit of the task's algorithm was measured."""
        return task.entry.name in self._expected

    def learn(self, task: Task, outcome: Outcome) -> None:
        """Add what a task took."""
        name = task.entry.name
        seconds = math.inf if outcome.cut and not self.knows(task) else outcome.seconds
        self._expected[name] = self._expected.get(name, 0.0) + (0.0 if outcome.cut else task.cost)
        self._taken[name] = self._taken.get(name, 0.0) + seconds

    def priced(self, task: Task) -> Task:
        """The task with its cost at the pace of its algorithm."""
        if not self.knows(task):
            return task
        name = task.entry.name
        expected, taken = self._expected[name], self._taken[name]
        return replace(task, cost=task.cost * taken / expected if expected else math.inf)


def make_folds(features: pd.DataFrame, target: Matrix, columns: Sequence[Column], folds: int, seed: int) -> list[Fold]:
    """`folds` shuffled folds of the training rows, each preprocessed once."""
    made = []
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(features):
        transformer = preprocessing(columns).fit(features.iloc[train])
        made.append(
            Fold(
                train_x=_transformed(transformer, features.iloc[train]),
                train_y=target[train],
                test_x=_transformed(transformer, features.iloc[test]),
                test_y=target[test],
                test_rows=test,
            )
        )
    return made


def _transformed(transformer: ColumnTransformer, rows: pd.DataFrame) -> Features:
    if transformer.transform(rows.iloc[:1]).shape[1] <= SPARSE_WIDTH:
        return np.ascontiguousarray(transformer.transform(rows))
    blocks = [rows.iloc[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
    return csr_array(vstack([csr_array(transformer.transform(block)) for block in blocks]))


def search(zoo: Sequence[Entry], folds: Sequence[Fold], how: Search) -> list[Searched]:
    """Both stages for every algorithm of `zoo`, in its order."""
    searched = [Searched(entry) for entry in zoo]
    now = time.monotonic()
    first = replace(how, deadline=now + RANDOM_SHARE * (how.deadline - now))
    pace = Pace()
    _stage("random", searched, draws(zoo, how.tuning.random_iterations, how.seed), folds, first, pace)
    _stage("grid", searched, [refinement(one) for one in searched], folds, how, pace)
    return searched


def out_of_fold(entry: Entry, params: Params, folds: Sequence[Fold], how: Search) -> Matrix:
    """Predictions (n,) of the training rows, each by the model that did not see it."""
    found = np.empty(sum(fold.test_rows.size for fold in folds))
    tasks = [_task(entry, [params], fold, how) for fold in folds]
    told = how.pool.run(predictions, tasks, range(len(tasks)), sum(task.cost for task in tasks))
    for fold, (predicted,) in zip(folds, told, strict=True):
        found[fold.test_rows] = predicted
    return found


def draws(zoo: Sequence[Entry], iterations: int, seed: int) -> list[list[Params]]:
    drawn = []
    for entry in zoo:
        options = {name: list(space.options) for name, space in entry.space.items()}
        size = len(ParameterGrid(options))
        drawn.append(list(ParameterSampler(options, min(iterations, size), random_state=seed)))
    return drawn


def refinement(searched: Searched) -> list[Params]:
    """The candidates around the best, without those that the first stage has tried."""
    if searched.best is None or not searched.entry.space:
        return []
    tried = [candidate.params for candidate in searched.candidates]
    whole = list(ParameterGrid(grid_around(searched.entry.space, searched.best.params)))
    grid = [params for params in whole if params not in tried]
    if len(_groups(searched.entry, whole)) > MAX_GRID_FITS:
        near = [params for params in grid if _moved(searched, params) <= 2]
        searched.left_out = len(grid) - len(near)
        return near
    return grid


def _moved(searched: Searched, params: Params) -> int:
    """How many parameters differ from the best, the number of trees aside."""
    best = searched.best.params if searched.best else {}
    return sum(value != best[name] for name, value in params.items() if name != searched.entry.rounds)


def _stage(
    stage: Stage,
    searched: Sequence[Searched],
    candidates: Sequence[Sequence[Params]],
    folds: Sequence[Fold],
    how: Search,
    pace: Pace,
) -> None:
    groups = [
        (one, group) for one, chosen in zip(searched, candidates, strict=True) for group in _groups(one.entry, chosen)
    ]
    tasks = [_task(one.entry, group, fold, how) for one, group in groups for fold in folds]
    if not tasks:
        return
    how.progress.begin(stage, Counter(task.entry.name for task in tasks))
    outcomes = _outcomes(tasks, len(folds), how, pace)
    for position, (one, group) in enumerate(groups):
        _record(stage, one, group, outcomes[position * len(folds) : (position + 1) * len(folds)])
    for one, chosen in zip(searched, candidates, strict=True):
        one.candidates.sort(key=lambda candidate: _place(candidate, stage, chosen))


def _outcomes(tasks: Sequence[Task], folds: int, how: Search, pace: Pace) -> list[Outcome]:
    """Of every task. One fit of every algorithm, the cheapest first, tells how long its others will take."""
    found: dict[int, Outcome] = {}
    seconds = sum(task.cost for task in tasks)

    def run(order: Sequence[int], priced: Sequence[Task]) -> None:
        told = how.pool.run(
            measure, priced, order, seconds, lambda task, _: how.progress.advance(task.entry.name, task.cost)
        )
        found.update(zip(sorted(order), told, strict=True))
        for index in order:
            pace.learn(tasks[index], found[index])

    run([index for index in _pilots(tasks, folds) if not pace.knows(tasks[index])], tasks)
    priced = [pace.priced(task) for task in tasks]
    rest = [index for index in range(len(tasks)) if index not in found]
    expected = sum(priced[index].cost for index in rest)
    left = (how.deadline - time.monotonic()) * how.pool.jobs
    how.progress.expect(min(expected, left))
    hurried = expected > HURRY_SHARE * left
    run(_fair(rest, priced, folds) if hurried else sorted(rest, key=lambda index: -priced[index].cost), priced)
    return [found[index] for index in range(len(tasks))]


def _fair(order: Sequence[int], tasks: Sequence[Task], folds: int) -> list[int]:
    """An order in which every algorithm has had about as much time at any moment, its cheapest candidates first.

    The folds of a candidate stay together: one without all of its folds has no score.
    """
    together: dict[int, list[int]] = {}
    for index in order:
        together.setdefault(index // folds, []).append(index)
    costs = {place: sum(tasks[index].cost for index in of) for place, of in together.items()}
    spent: dict[str, float] = {}
    turns = {}
    for place in sorted(together, key=lambda place: costs[place]):
        name = tasks[together[place][0]].entry.name
        turns[place] = spent[name] = spent.get(name, 0.0) + costs[place]
    return [index for place in sorted(together, key=lambda place: turns[place]) for index in together[place]]


def _pilots(tasks: Sequence[Task], folds: int) -> list[int]:
    """The first fold of every algorithm's cheapest candidate, cheapest first."""
    cheapest: dict[str, int] = {}
    for index in range(0, len(tasks), folds):
        name = tasks[index].entry.name
        if name not in cheapest or tasks[index].cost < tasks[cheapest[name]].cost:
            cheapest[name] = index
    return sorted(cheapest.values(), key=lambda index: tasks[index].cost)


def _groups(entry: Entry, candidates: Sequence[Params]) -> list[list[Params]]:
    """Candidates that may share a fit: they differ in their rounds only, or in limits of depth that may not matter."""
    groups: dict[str, list[Params]] = {}
    for position, params in enumerate(candidates):
        same = {name: value for name, value in params.items() if name != entry.rounds}
        if entry.depth and depth_limit(entry, params) >= DEEP:
            same[entry.depth] = None
        key = repr(sorted((name, repr(value)) for name, value in same.items())) if entry.rounds else str(position)
        groups.setdefault(key, []).append(params)
    return list(groups.values())


def _task(entry: Entry, group: Sequence[Params], fold: Fold, how: Search) -> Task:
    rows, width = fold.train_x.shape
    cost = max(entry.cost(params) for params in group) * rows / 1000 * max(width / USUAL_WIDTH, 1.0)
    return Task(entry, tuple(group), fold, how.tuning.scoring, how.seed, cost, how.deadline)


def _record(stage: Stage, one: Searched, group: Sequence[Params], outcomes: Sequence[Outcome]) -> None:
    if any(outcome.cut for outcome in outcomes):
        one.cut += len(group)
        return
    error = next((outcome.error for outcome in outcomes if outcome.error), None)
    if error:
        one.failed += len(group)
        one.error = one.error or error
    for position, params in enumerate(group):
        one.candidates.append(
            Candidate(
                stage=stage,
                params=params,
                scores=tuple(outcome.scores[position] for outcome in outcomes),
                r2=tuple(outcome.r2[position] for outcome in outcomes),
                seconds=sum(outcome.seconds for outcome in outcomes) / len(group),
            )
        )


def _place(candidate: Candidate, stage: Stage, chosen: Sequence[Params]) -> int:
    return chosen.index(candidate.params) if candidate.stage == stage else -1
