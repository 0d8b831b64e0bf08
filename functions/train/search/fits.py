"""One fit of the search: what a process of the pool does. The candidates that share it in, their scores out.

Every estimator is fitted as its own `fit` would, to the last bit; only what a search has no use for is left out.
"""

import math
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._criterion import MSE
from sklearn.tree._splitter import BestSplitter
from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

from functions.train.search.space import Params
from functions.train.search.zoo import Entry
from shared import metrics

Matrix = NDArray[np.float64]
Features: TypeAlias = Any
"""A matrix (n, w), or a sparse one where it is wide."""

Score: TypeAlias = Callable[[Matrix, Matrix], float]


def r2(target: Matrix, predicted: Matrix) -> float:
    """As scikit-learn's `r2_score`, of which its checks are nine tenths; a constant target is left to it."""
    return metrics.r2(target, predicted) if np.ptp(target) else float(r2_score(target, predicted))


SCORES: Mapping[str, Score] = {
    "r2": r2,
    "neg_root_mean_squared_error": lambda target, predicted: -metrics.rmse(target, predicted),
    "neg_mean_absolute_error": lambda target, predicted: -metrics.mae(target, predicted),
}


QUICK: Mapping[str, Collection[str]] = {
    "RandomForestRegressor": (
        "n_estimators",
        "max_depth",
        "max_features",
        "min_samples_split",
        "random_state",
        "n_jobs",
    ),
    "AdaBoostRegressor": ("n_estimators", "learning_rate", "random_state"),
    "XGBRegressor": (
        "n_estimators",
        "learning_rate",
        "max_depth",
        "subsample",
        "colsample_bytree",
        "random_state",
        "n_jobs",
    ),
}
"""What there is a quicker fit for, and with which parameters; any other one set, and the library's own is taken."""


@dataclass(frozen=True)
class Fold:
    """One split of the training rows, preprocessed by a transformer that saw only its training part."""

    train_x: Features
    train_y: Matrix
    test_x: Features
    test_y: Matrix
    test_rows: NDArray[np.intp]


@dataclass(frozen=True)
class Task:
    """The candidates of one algorithm that share a fit on one fold.

    `cost`: expected seconds. `deadline` is on the monotonic clock, which processes share.
    """

    entry: Entry
    group: tuple[Params, ...]
    fold: Fold
    scoring: str
    seed: int
    cost: float
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """What one task measured: score and R² by candidate, seconds; or the error, or that there was no time for it."""

    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float
    error: str | None = None
    cut: bool = False


def load(zoo: Sequence[Entry]) -> None:
    """Import what the algorithms need."""
    for entry in zoo:
        entry.make(0)


def measure(task: Task) -> Outcome:
    """Fit and score; whatever an estimator raises is an outcome."""
    nothing = (float("nan"),) * len(task.group)
    began = time.perf_counter()
    if time.monotonic() + task.cost > task.deadline:
        return Outcome(nothing, nothing, 0.0, cut=True)
    try:
        predicted = predictions(task)
        scores, r2s = (
            tuple(score(task.fold.test_y, one) for one in predicted) for score in (SCORES[task.scoring], SCORES["r2"])
        )
    except Exception as error:  # noqa: BLE001 (an estimator may raise anything; the report shows it)
        return Outcome(nothing, nothing, time.perf_counter() - began, f"{type(error).__name__}: {_first_line(error)}")
    return Outcome(scores, r2s, time.perf_counter() - began)


@contextmanager
def quietly() -> Iterator[None]:
    """What is checked anew for every tree takes longer than the tree: the matrix is ours, and the spaces are legal."""
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)  # its score says what it is worth
        yield


def filled(features: Features) -> Matrix:
    """What every estimator takes, and the graph too: a zero is a zero, where a sparse matrix may mean a missing one."""
    matrix: Matrix = features.toarray() if isinstance(features, csr_array) else features
    return matrix


def depth_limit(entry: Entry, params: Params) -> float:
    """The limit of depth that `params` set, infinite for none."""
    limit = params.get(entry.depth or "")
    return math.inf if limit is None else float(limit)


@quietly()
def predictions(task: Task) -> list[Matrix]:
    """Of the fold's test rows, by candidate. The deepest limit is fitted first, a lower one only if a tree exceeds it.

    All grow the most rounds of any, of which each candidate takes its first.
    """
    entry, train_x, test_x = task.entry, filled(task.fold.train_x), filled(task.fold.test_x)
    limits = sorted({depth_limit(entry, params) for params in task.group}, reverse=True)
    most = {entry.rounds: max(params[entry.rounds] for params in task.group)} if entry.rounds else {}
    found: dict[int, Matrix] = {}
    estimator, reached = None, math.inf
    for limit in limits:
        of = [index for index, params in enumerate(task.group) if depth_limit(entry, params) == limit]
        if estimator is None or limit < reached:
            estimator = entry.make(task.seed).set_params(**{**task.group[of[0]], **most})
            estimator = fitted(estimator, train_x, task.fold.train_y)
            reached = max(tree.get_depth() for tree in estimator.estimators_) if len(limits) > 1 else math.inf
        rounds = [task.group[index].get(entry.rounds or "") for index in of]
        found.update(zip(of, prefix_predictions(estimator, test_x, rounds), strict=True))
    return [found[index] for index in range(len(task.group))]


def fitted(estimator: Any, rows: Matrix, target: Matrix) -> Any:
    """What predicts as `estimator` does once it is fitted: itself, or for XGBoost its Booster."""
    kind = type(estimator).__name__
    if kind not in QUICK or _asks_more(estimator, QUICK[kind]):
        return estimator.fit(rows, target)
    if kind == "XGBRegressor":
        return _booster(estimator, rows, target)
    if kind == "RandomForestRegressor":
        estimator.estimator = _QuickTree()
    if kind == "AdaBoostRegressor":
        estimator.set_params(estimator=_QuickTree(max_depth=3))  # as its default
    return estimator.fit(rows, target)


def _asks_more(estimator: Any, known: Collection[str]) -> bool:
    usual = type(estimator)().get_params()
    asked = {name: value for name, value in estimator.get_params().items() if name not in known}
    return any(value is not usual[name] and value != usual[name] for name, value in asked.items())


def prefix_predictions(estimator: Any, rows: Matrix, rounds: Sequence[int | None]) -> list[Matrix]:
    """Predictions (n,) of the first so many trees of what is `fitted`, for each of `rounds`; None is the whole."""
    kind = type(estimator).__name__
    if rounds[0] is None:
        return [np.ravel(estimator.predict(rows))] * len(rounds)
    if kind == "XGBRegressor":
        return [estimator.predict(rows, iteration_range=(0, count)) for count in rounds]
    if kind == "QuickBooster":
        return [estimator.inplace_predict(rows, iteration_range=(0, count)) for count in rounds]
    if kind == "CatBoostRegressor":
        return [estimator.predict(rows, ntree_end=count) for count in rounds]
    if kind == "RandomForestRegressor":
        single = rows.astype(np.float32)
        summed = np.cumsum([np.ravel(tree.tree_.predict(single)) for tree in estimator.estimators_], axis=0)
        return [summed[count - 1] / count for count in rounds if count]
    if kind == "AdaBoostRegressor":  # its staged predictions sort all trees anew for every tree
        return [estimator._get_median_predict(rows, count) for count in rounds]
    staged = list(estimator.staged_predict(rows))
    return [staged[min(count, len(staged)) - 1] for count in rounds if count]


class _QuickTree(DecisionTreeRegressor):  # type: ignore[misc]
    """The tree of an ensemble: half of the time that scikit-learn takes for a small one is spent around growing it.

    An ensemble clones its tree for every tree and reads the signature of its class four times for that; AdaBoost checks
    the matrix anew for every tree, and again for its predictions; `_fit` allows for much that an ensemble never asks.
    """

    @classmethod
    @cache
    def _get_param_names(cls) -> Any:
        return super()._get_param_names()

    def fit(self, rows: Matrix, target: Matrix, sample_weight: Matrix | None = None) -> Any:
        return self._fit(np.ascontiguousarray(rows, np.float32), target, sample_weight)

    def _fit(self, rows: Any, target: Matrix, sample_weight: Any = None, **_checks: Any) -> Any:
        count, self.n_features_in_ = rows.shape
        self.n_outputs_ = 1
        asked = {None: self.n_features_in_, "sqrt": int(self.n_features_in_**0.5)}
        drawn = asked.get(self.max_features) or int(self.max_features * self.n_features_in_)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        splitter = BestSplitter(MSE(1, count), max(drawn, 1), 1, 0.0, np.random.RandomState(self.random_state), None)
        depth = np.iinfo(np.int32).max if self.max_depth is None else self.max_depth
        self.tree_ = Tree(self.n_features_in_, np.array([1], np.intp), self.n_outputs_)
        builder = DepthFirstTreeBuilder(splitter, self.min_samples_split, 1, 0.0, depth, 0.0)
        builder.build(self.tree_, rows, np.ascontiguousarray(target, np.float64).reshape(-1, 1), weights, None)
        return self

    def predict(self, rows: Matrix) -> Any:
        return self.tree_.predict(np.ascontiguousarray(rows, np.float32))[:, 0]


@cache
def _booster_class() -> Any:
    from xgboost import Booster

    class QuickBooster(Booster):  # type: ignore[misc]
        """There is one matrix, without names of its columns: nothing to look up and set in every round."""

        def _assign_dmatrix_features(self, data: Any) -> None:
            pass

    return QuickBooster


def _booster(estimator: Any, rows: Matrix, target: Matrix) -> Any:
    """What XGBRegressor's fit trains, without its callbacks between rounds and its copy of the model at the end."""
    from xgboost import QuantileDMatrix

    matrix = QuantileDMatrix(rows, target, nthread=estimator.n_jobs)
    booster = _booster_class()(estimator.get_xgb_params(), [matrix])
    for iteration in range(estimator.get_num_boosting_rounds()):
        booster.update(matrix, iteration)
    return booster


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]
