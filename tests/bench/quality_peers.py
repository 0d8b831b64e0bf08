"""The other systems of `make bench-quality`, each as its users tune it: features and targets in, predictions out.

A random search over the library's own settings, its defaults first, each scored by three folds, until the seconds are
nearly used; then the best is fitted on all training rows. Categories reach every library in the way of its own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler

from functions.train.data.rows import Rows

Vector = NDArray[np.float64]
Settings = dict[str, Any]
SEED = 42
FOLDS = 3
DRAWS = 200
SEARCH_SHARE = 0.8
"""The share of the seconds after which no further setting is tried; the last fit on all rows comes then."""
BAGS = 14
MISSING = "missing"
MOST_WORDS = 250
"""HistGradientBoosting takes 255 categories a column at most."""


@dataclass(frozen=True)
class Peer:
    """A library: an unfitted estimator of some settings, how it wants the features, and what may be set."""

    make: Callable[[Settings, Sequence[str]], Any]
    features: Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]
    space: Mapping[str, Sequence[Any]]


def settings(space: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """The library's defaults, then random settings, none twice; fewer where the space has fewer."""
    options = {name: list(values) for name, values in space.items()}
    count = min(DRAWS, len(ParameterGrid(options)))
    return [{}, *ParameterSampler(options, count, random_state=SEED)]


def tuned(peer: Peer, training: Rows, asked: pd.DataFrame, seconds: float) -> Vector:
    """Predict the rows `asked` (n, c) by the best setting that was found in time."""
    began = time.monotonic()
    words = word_columns(training.features)
    together = peer.features(pd.concat([training.features, asked], ignore_index=True), words)
    known, unknown = together.iloc[: len(training.features)], together.iloc[len(training.features) :]
    best: Settings = {}
    error, longest = np.inf, 0.0
    for setting in settings(peer.space):
        if time.monotonic() - began + longest > SEARCH_SHARE * seconds:
            break
        since = time.monotonic()
        found = fold_error(partial(peer.make, setting, words), known, training.target)
        longest = max(longest, time.monotonic() - since)
        if found < error:
            best, error = setting, found
    model = peer.make(best, words).fit(known, training.target)
    return np.asarray(model.predict(unknown), dtype=np.float64)


def fold_error(make: Callable[[], Any], features: pd.DataFrame, target: Vector) -> float:
    """The mean squared error over the folds."""
    errors = []
    for train, test in KFold(FOLDS, shuffle=True, random_state=SEED).split(features):
        model = make().fit(features.iloc[train], target[train])
        errors.append(float(np.mean((model.predict(features.iloc[test]) - target[test]) ** 2)))
    return float(np.mean(errors))


def boosted_additive(training: Rows, asked: pd.DataFrame, seconds: float) -> Vector:
    """InterpretML's EBM by its defaults, with as many of its outer bags as there is time for."""
    from interpret.glassbox import ExplainableBoostingRegressor

    words = word_columns(training.features)
    known = _numbers_and_texts(training.features, words)
    began = time.monotonic()
    model = ExplainableBoostingRegressor(n_jobs=1, outer_bags=1).fit(known, training.target)
    taken = time.monotonic() - began
    bags = min(BAGS, int((seconds - taken) / max(taken, 1e-3)))
    if bags > 1:
        model = ExplainableBoostingRegressor(n_jobs=1, outer_bags=bags).fit(known, training.target)
    return np.asarray(model.predict(_numbers_and_texts(asked, words)), dtype=np.float64)


def word_columns(features: pd.DataFrame) -> list[str]:
    """The names of the columns that hold neither numbers nor truth values."""
    return list(features.select_dtypes(exclude=["number", "bool"]).columns)


def _numbers_and_texts(features: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    numbers = [name for name in features if name not in words]
    texts = {name: features[name].astype(object).where(features[name].notna(), MISSING).astype(str) for name in words}
    return features.astype(dict.fromkeys(numbers, np.float64)).assign(**texts)


def _categories(features: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    return _numbers_and_texts(features, words).astype(dict.fromkeys(words, "category"))


def _frequent_categories(features: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    made = _numbers_and_texts(features, words)
    for name in words:
        frequent = made[name].value_counts().index[:MOST_WORDS]
        made[name] = made[name].where(made[name].isin(frequent), "another")
    return made.astype(dict.fromkeys(words, "category"))


def _lightgbm(setting: Settings, _words: Sequence[str]) -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(random_state=SEED, n_jobs=1, verbose=-1, subsample_freq=1, **setting)


def _histogram(setting: Settings, _words: Sequence[str]) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(random_state=SEED, categorical_features="from_dtype", **setting)


def _catboost(setting: Settings, words: Sequence[str]) -> Any:
    from catboost import CatBoostRegressor

    return CatBoostRegressor(
        random_seed=SEED, thread_count=1, verbose=False, allow_writing_files=False, cat_features=list(words), **setting
    )


PEERS: Mapping[str, Peer] = {
    "LightGBM": Peer(
        _lightgbm,
        _categories,
        {
            "n_estimators": (100, 300, 600, 1000),
            "learning_rate": (0.02, 0.05, 0.1),
            "num_leaves": (15, 31, 63, 127),
            "min_child_samples": (5, 20, 60),
            "subsample": (0.7, 1.0),
            "colsample_bytree": (0.6, 0.8, 1.0),
            "reg_lambda": (0.0, 1.0, 10.0),
        },
    ),
    "HistGradientBoosting": Peer(
        _histogram,
        _frequent_categories,
        {
            "max_iter": (100, 300, 600, 1000),
            "learning_rate": (0.02, 0.05, 0.1),
            "max_leaf_nodes": (15, 31, 63, 127),
            "min_samples_leaf": (5, 20, 60),
            "l2_regularization": (0.0, 1.0, 10.0),
        },
    ),
    "CatBoost": Peer(
        _catboost,
        _numbers_and_texts,
        {
            "iterations": (300, 600, 1000),
            "learning_rate": (0.03, 0.06, 0.1),
            "depth": (4, 6, 8),
            "l2_leaf_reg": (1.0, 3.0, 9.0, 30.0),
        },
    ),
}


def predicted(name: str, training: Rows, asked: pd.DataFrame, seconds: float) -> Vector:
    """Predict the rows `asked` by the system of that name, taught the training rows."""
    if name == "EBM":
        return boosted_additive(training, asked, seconds)
    return tuned(PEERS[name], training, asked, seconds)


NAMES = (*PEERS, "EBM")
