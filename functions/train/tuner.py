"""The two-stage search: random draws over each algorithm's space, then a grid around the best draw.

Preprocessing is fitted once per fold, on that fold's training rows only. Every (algorithm, candidate, fold) is one
task, and the same seed gives the same result whatever the number of processes.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler

from functions.train.ingestion import Column
from functions.train.preprocessing import preprocessing
from functions.train.search_space import Params, grid_around
from functions.train.workers import run_all
from functions.train.zoo import Entry
from shared.dataset import TuningSpec

Matrix = NDArray[np.float64]
Stage = Literal["random", "grid"]

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
    """An algorithm's search: every candidate, or the error that ended it."""

    entry: Entry
    candidates: list[Candidate] = field(default_factory=list)
    error: str | None = None

    @property
    def best(self) -> Candidate | None:
        finite = [candidate for candidate in self.candidates if np.isfinite(candidate.mean)]
        return max(finite, key=lambda candidate: candidate.mean) if finite else None


@dataclass(frozen=True)
class Task:
    """One fit and its score."""

    entry: Entry
    params: Params
    fold: Fold
    scoring: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What one task measured: score, R², seconds; or the error."""

    score: float
    r2: float
    seconds: float
    error: str | None = None


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


def search(zoo: Sequence[Entry], folds: Sequence[Fold], tuning: TuningSpec, seed: int, jobs: int) -> list[Searched]:
    """Both stages for every algorithm of `zoo`, in its order."""
    searched = [Searched(entry) for entry in zoo]
    _stage("random", searched, _draws(zoo, tuning.random_iterations, seed), folds, tuning.scoring, seed, jobs)
    _stage("grid", searched, [_grid(one) for one in searched], folds, tuning.scoring, seed, jobs)
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
    if searched.best is None or searched.error or not searched.entry.space:
        return []
    tried = [candidate.params for candidate in searched.candidates]
    grid = ParameterGrid(grid_around(searched.entry.space, searched.best.params))
    return [params for params in grid if params not in tried]


def _stage(
    stage: Stage,
    searched: Sequence[Searched],
    candidates: Sequence[Sequence[Params]],
    folds: Sequence[Fold],
    scoring: str,
    seed: int,
    jobs: int,
) -> None:
    tasks = [
        Task(one.entry, params, fold, scoring, seed)
        for one, chosen in zip(searched, candidates, strict=True)
        for params in chosen
        for fold in folds
    ]
    costs = [task.entry.fit_seconds * len(task.fold.train_y) / 1000 for task in tasks]
    outcomes = iter(run_all(_measure, tasks, costs, jobs))
    for one, chosen in zip(searched, candidates, strict=True):
        for params in chosen:
            measured = [next(outcomes) for _ in folds]
            one.error = one.error or next((outcome.error for outcome in measured if outcome.error), None)
            one.candidates.append(
                Candidate(
                    stage=stage,
                    params=params,
                    scores=tuple(outcome.score for outcome in measured),
                    r2=tuple(outcome.r2 for outcome in measured),
                    seconds=sum(outcome.seconds for outcome in measured),
                )
            )


def _measure(task: Task) -> Outcome:
    began = time.perf_counter()
    fold = task.fold
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its score says what it is worth
            estimator = task.entry.make(task.seed).set_params(**task.params).fit(fold.train_x, fold.train_y)
            predicted = np.ravel(estimator.predict(fold.test_x))
        score = float(SCORES[task.scoring](fold.test_y, predicted))
        r2 = float(r2_score(fold.test_y, predicted))
    except (ValueError, ArithmeticError, MemoryError) as error:
        return Outcome(float("nan"), float("nan"), time.perf_counter() - began, f"{type(error).__name__}: {error}")
    return Outcome(score, r2, time.perf_counter() - began)
