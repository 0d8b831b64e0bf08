"""The two-stage search: random draws over each algorithm's space, then a grid around the best draw.

Preprocessing is fitted once per fold, on that fold's training rows only. Every (algorithm, candidate, fold) is one
task, candidates that differ only in their number of trees share one; the same seed gives the same result whatever the
number of processes.
"""

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler

from functions.train.ingestion import Column
from functions.train.preprocessing import preprocessing
from functions.train.progress import Progress, Silence
from functions.train.search_space import Params, grid_around
from functions.train.workers import Workers
from functions.train.zoo import Entry
from shared.dataset import TuningSpec

Matrix = NDArray[np.float64]
Stage = Literal["random", "grid"]

MAX_GRID_FITS = 27
"""Per fold: three parameters with three values each. A larger grid moves at most two of its parameters at a time."""

SCORES = {
    "r2": r2_score,
    "neg_root_mean_squared_error": lambda target, predicted: -root_mean_squared_error(target, predicted),
    "neg_mean_absolute_error": lambda target, predicted: -mean_absolute_error(target, predicted),
}


@dataclass(frozen=True)
class Fold:
    """One split of the training rows, preprocessed by a transformer that saw only its training part."""

    train_x: Matrix
    train_y: Matrix
    test_x: Matrix
    test_y: Matrix
    test_rows: NDArray[np.intp]


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

    @property
    def note(self) -> str | None:
        """What a reader of its scores must know: candidates that failed, or that there was no time for."""
        said = []
        if self.failed:
            said.append(f"{self.failed} of {len(self.candidates)} candidates failed: {self.error}")
        if self.cut:
            said.append(f"{self.cut} candidates were cut by the time budget")
        return "; ".join(said) or None

    @property
    def best(self) -> Candidate | None:
        finite = [candidate for candidate in self.candidates if np.isfinite(candidate.mean)]
        return max(finite, key=lambda candidate: candidate.mean) if finite else None


@dataclass(frozen=True)
class Task:
    """One fit and the scores of its prefixes: `params` with the most rounds, `rounds` what to score (None: all).

    `cost`: expected seconds. `deadline` is on the monotonic clock, which processes share.
    """

    entry: Entry
    params: Params
    rounds: tuple[int | None, ...]
    fold: Fold
    scoring: str
    seed: int
    cost: float
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """What one fit measured: score and R² of each prefix, seconds; or the error, or that there was no time for it."""

    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float
    error: str | None = None
    cut: bool = False


@dataclass(frozen=True)
class Search:
    """How to search: what the spec asks for, on which processes, until when, and who is told of each fit done.

    `told` takes the algorithm's name, how many candidates of it this fit scored, and on how many fits they depend.
    """

    tuning: TuningSpec
    seed: int
    workers: Workers = field(default_factory=Workers)
    deadline: float = float("inf")
    progress: Progress = field(default_factory=Silence)


def make_folds(features: pd.DataFrame, target: Matrix, columns: Sequence[Column], folds: int, seed: int) -> list[Fold]:
    """`folds` shuffled folds of the training rows, each preprocessed once."""
    made = []
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(features):
        transformer = preprocessing(columns).fit(features.iloc[train])
        made.append(
            Fold(
                train_x=np.ascontiguousarray(transformer.transform(features.iloc[train])),
                train_y=target[train],
                test_x=np.ascontiguousarray(transformer.transform(features.iloc[test])),
                test_y=target[test],
                test_rows=test,
            )
        )
    return made


def search(zoo: Sequence[Entry], folds: Sequence[Fold], how: Search) -> list[Searched]:
    """Both stages for every algorithm of `zoo`, in its order."""
    searched = [Searched(entry) for entry in zoo]
    _stage("random", searched, _draws(zoo, how.tuning.random_iterations, how.seed), folds, how)
    _stage("grid", searched, [_grid(one) for one in searched], folds, how)
    return searched


def out_of_fold(entry: Entry, params: Params, folds: Sequence[Fold], seed: int) -> Matrix:
    """Predictions (n,) of the training rows, each by the model that did not see it."""
    predictions = np.empty(sum(fold.test_rows.size for fold in folds))
    for fold in folds:
        estimator = entry.make(seed).set_params(**params).fit(fold.train_x, fold.train_y)
        predictions[fold.test_rows] = np.ravel(estimator.predict(fold.test_x))
    return predictions


def _draws(zoo: Sequence[Entry], iterations: int, seed: int) -> list[list[Params]]:
    drawn = []
    for entry in zoo:
        options = {name: list(space.options) for name, space in entry.space.items()}
        size = len(ParameterGrid(options))
        drawn.append(list(ParameterSampler(options, min(iterations, size), random_state=seed)))
    return drawn


def _grid(searched: Searched) -> list[Params]:
    """The candidates around the best, without those that the first stage has tried."""
    if searched.best is None or not searched.entry.space:
        return []
    tried = [candidate.params for candidate in searched.candidates]
    grid = list(ParameterGrid(grid_around(searched.entry.space, searched.best.params)))
    if len(_prefixes(searched, grid)) > MAX_GRID_FITS:
        grid = [params for params in grid if _moved(searched, params) <= 2]
    return [params for params in grid if params not in tried]


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
) -> None:
    groups = [
        (one, group) for one, chosen in zip(searched, candidates, strict=True) for group in _prefixes(one, chosen)
    ]
    tasks = [_task(one.entry, group, fold, how) for one, group in groups for fold in folds]
    if not tasks:
        return
    how.progress.begin(stage, Counter(task.entry.name for task in tasks))
    seconds = sum(task.cost for task in tasks)
    order = _order(tasks, len(folds), hurried=time.monotonic() + seconds / how.workers.jobs > how.deadline)
    outcomes = how.workers.run(_measure, tasks, order, seconds, lambda task, _: how.progress.advance(task.entry.name))
    for position, (one, group) in enumerate(groups):
        _record(stage, one, group, outcomes[position * len(folds) : (position + 1) * len(folds)])
    for one, chosen in zip(searched, candidates, strict=True):
        one.candidates.sort(key=lambda candidate: _place(candidate, stage, chosen))


def _prefixes(searched: Searched, candidates: Sequence[Params]) -> list[list[Params]]:
    """Candidates that differ in their rounds only are one fit; all others are one each."""
    rounds = searched.entry.rounds
    groups: dict[str, list[Params]] = {}
    for position, params in enumerate(candidates):
        others = sorted((name, repr(value)) for name, value in params.items() if name != rounds)
        groups.setdefault(repr(others) if rounds else str(position), []).append(params)
    return list(groups.values())


def _task(entry: Entry, group: Sequence[Params], fold: Fold, how: Search) -> Task:
    largest = max(group, key=lambda params: params.get(entry.rounds or "", 0))
    rounds = tuple(params.get(entry.rounds or "") for params in group)
    cost = entry.cost(largest) * len(fold.train_y) / 1000
    return Task(entry, largest, rounds, fold, how.tuning.scoring, how.seed, cost, how.deadline)


def _order(tasks: Sequence[Task], folds: int, *, hurried: bool) -> list[int]:
    """First one candidate of every algorithm, cheapest first, so that none is without; then the dearest first.

    Where the time will not do for all (`hurried`) the cheap ones go first, so that as many as possible are tried.
    """
    first: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        if len(begun := first.setdefault(task.entry.name, [])) < folds:
            begun.append(index)
    pilots = sorted((index for begun in first.values() for index in begun), key=lambda index: tasks[index].cost)
    rest = sorted(set(range(len(tasks))) - set(pilots))
    return pilots + sorted(rest, key=lambda index: tasks[index].cost if hurried else -tasks[index].cost)


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


def _measure(task: Task) -> Outcome:
    nothing = (float("nan"),) * len(task.rounds)
    began = time.perf_counter()
    if time.monotonic() + task.cost > task.deadline:
        return Outcome(nothing, nothing, 0.0, cut=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its score says what it is worth
            estimator = task.entry.make(task.seed).set_params(**task.params).fit(task.fold.train_x, task.fold.train_y)
            predicted = prefix_predictions(estimator, task.fold.test_x, task.rounds)
        target = task.fold.test_y
        scores = tuple(float(SCORES[task.scoring](target, one)) for one in predicted)
        r2 = tuple(float(r2_score(target, one)) for one in predicted)
    except Exception as error:  # noqa: BLE001 (an estimator may raise anything; the report shows it)
        return Outcome(nothing, nothing, time.perf_counter() - began, f"{type(error).__name__}: {_first_line(error)}")
    return Outcome(scores, r2, time.perf_counter() - began)


def prefix_predictions(estimator: Any, rows: Matrix, rounds: Sequence[int | None]) -> list[Matrix]:
    """Predictions (n,) of the first so many trees of a fitted ensemble, for each of `rounds`; None is the whole."""
    if len(set(rounds)) == 1:
        return [np.ravel(estimator.predict(rows))] * len(rounds)
    kind = type(estimator).__name__
    if kind == "XGBRegressor":
        return [estimator.predict(rows, iteration_range=(0, count)) for count in rounds]
    if kind == "CatBoostRegressor":
        return [estimator.predict(rows, ntree_end=count) for count in rounds]
    if kind == "RandomForestRegressor":
        single = rows.astype(np.float32)
        summed = np.cumsum([tree.predict(single) for tree in estimator.estimators_], axis=0)
        return [summed[count - 1] / count for count in rounds if count]
    if kind == "AdaBoostRegressor":  # its staged predictions sort all trees anew for every tree
        return [estimator._get_median_predict(rows, count) for count in rounds]
    staged = list(estimator.staged_predict(rows))
    return [staged[min(count, len(staged)) - 1] for count in rounds if count]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]
