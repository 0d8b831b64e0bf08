"""One fit of the search, as a process of the pool makes it: candidates that share the fit in, their scores out.

Every estimator is fitted by its own `fit` and read through its public attributes only.
"""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

from functions.train.search.folds import Fold
from functions.train.search.moments import arriving, leaving
from functions.train.search.space import Params
from functions.train.search.target import StandardisedTarget
from functions.train.search.zoo import Algorithm
from shared.arrays import Matrix
from shared.metrics import R2, SCORINGS


@dataclass(frozen=True)
class Task:
    """The candidates of one algorithm that share a fit on one fold.

    `cost` is in expected seconds. `deadline` is on the monotonic clock, of whatever computer the task is on.
    """

    algorithm: Algorithm
    group: tuple[Params, ...]
    fold: Fold
    scoring: str
    seed: int
    cost: float
    deadline: float

    def __getstate__(self) -> dict[str, Any]:
        return leaving(self.__dict__, "deadline")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(arriving(state, "deadline"))


@dataclass(frozen=True)
class Measured:
    """What one task measured: score, where more is better, and R² by candidate, and seconds.

    `error` says what the estimator raised; `cut`, that there was no time for the fit; `ended`, that it was ended, since
    it took too long. `predicted`: of the fold's tested rows (n,), by candidate.
    """

    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float
    error: str | None = None
    cut: bool = False
    ended: bool = False
    predicted: tuple[Matrix, ...] = ()


def load(zoo: Sequence[Algorithm]) -> None:
    """Import what the algorithms need."""
    for algorithm in zoo:
        algorithm.make(0)


def measure(task: Task) -> Measured:
    """Fit and score the task's candidates. Whatever an estimator raises becomes the measurement's `error`."""
    nothing = (float("nan"),) * len(task.group)
    began = time.perf_counter()
    if time.monotonic() + task.cost > task.deadline:
        return Measured(nothing, nothing, 0.0, cut=True)
    try:
        predicted = predictions(task)
        scores, r2s = (
            tuple(score.gain(task.fold.test_y, values, task.fold.test_w) for values in predicted)
            for score in (SCORINGS[task.scoring], R2)
        )
    except Exception as error:  # noqa: BLE001 (an estimator may raise anything; the report shows it)
        return Measured(nothing, nothing, time.perf_counter() - began, f"{type(error).__name__}: {_first_line(error)}")
    return Measured(scores, r2s, time.perf_counter() - began, predicted=tuple(predicted))


@contextmanager
def quietly() -> Iterator[None]:
    """Fit without what scikit-learn checks anew for every tree, which takes longer than a small tree itself: the
    matrix is ours, and the spaces are legal."""
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that has not converged is judged by its score
        yield


def depth_limit(algorithm: Algorithm, params: Params) -> float:
    """The limit of depth that `params` set, infinite for none."""
    limit = params.get(algorithm.depth or "")
    return math.inf if limit is None else float(limit)


@quietly()
def predictions(task: Task) -> list[Matrix]:
    """Predict the fold's test rows by each candidate, (n,) each.

    The deepest limit is fitted first, a lower one only if a tree exceeds it. Every fit grows the most rounds of any
    candidate, of which each candidate takes its first.
    """
    algorithm = task.algorithm
    train_x, test_x = task.fold.matrices(algorithm.encoding(task.group[0]))
    limits = sorted({depth_limit(algorithm, params) for params in task.group}, reverse=True)
    rounds_name = algorithm.rounds
    most = {rounds_name: max(params[rounds_name] for params in task.group)} if rounds_name else {}
    found: dict[int, Matrix] = {}
    estimator, reached = None, math.inf
    for limit in limits:
        indices = [index for index, params in enumerate(task.group) if depth_limit(algorithm, params) == limit]
        if estimator is None or limit < reached:
            settings = {**task.group[indices[0]], **most}
            model = StandardisedTarget(algorithm.estimator(task.seed, settings))
            estimator = model.fit(train_x, task.fold.train_y, task.fold.train_w).estimator
            reached = max(tree.get_depth() for tree in estimator.estimators_) if len(limits) > 1 else math.inf
        rounds = [task.group[index].get(rounds_name or "") for index in indices]
        predicted = prefix_predictions(estimator, test_x, rounds)
        found.update(zip(indices, map(model.in_units, predicted), strict=True))
    return [found[index] for index in range(len(task.group))]


def prefix_predictions(estimator: Any, rows: Matrix, rounds: Sequence[int | None]) -> list[Matrix]:
    """Predict `rows` (n, w) by the first so many trees of a fitted estimator, for each of `rounds`; None is all."""
    kind = type(estimator).__name__
    if rounds[0] is None:
        return [np.ravel(estimator.predict(rows))] * len(rounds)
    counts = [count for count in rounds if count is not None]
    if kind == "XGBRegressor":
        return [estimator.predict(rows, iteration_range=(0, count)) for count in counts]
    if kind == "CatBoostRegressor":
        return [estimator.predict(rows, ntree_end=count) for count in counts]
    if kind == "RandomForestRegressor":
        summed = np.cumsum([tree.predict(rows) for tree in estimator.estimators_], axis=0)
        return [summed[count - 1] / count for count in counts]
    if kind == "AdaBoostRegressor":
        each = np.array([tree.predict(rows) for tree in estimator.estimators_])
        return [_weighted_median(each[:count], estimator.estimator_weights_[:count]) for count in counts]
    staged = list(estimator.staged_predict(rows))
    return [staged[min(count, len(staged)) - 1] for count in counts]


def _weighted_median(each: Matrix, weights: Matrix) -> Matrix:
    """The median (n,) of the trees' predictions (t, n) by weight, as AdaBoost.R2 predicts (Drucker, 1997).

    `staged_predict` would ask every tree again for every prefix.
    """
    order = np.argsort(each, axis=0)
    cumulated = np.cumsum(weights[: len(each)][order], axis=0)
    median = np.argmax(cumulated >= 0.5 * cumulated[-1], axis=0)
    columns = np.arange(each.shape[1])
    found: Matrix = each[order[median, columns], columns]
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]
