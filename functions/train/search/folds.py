"""The folds of the training rows, each preprocessed once by a transformer that saw only its own training part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold

from functions.train.data.categories import ENCODERS, ONE_HOT, many_valued, without_many
from functions.train.data.preprocessing import preprocessing
from functions.train.data.split import Parts
from shared.arrays import Matrix
from shared.tables.reading import Column

Features: TypeAlias = Any
"""A matrix (n, w), or a sparse one where it is wide."""

SPARSE_WIDTH = 256
"""A fold of more columns is kept and sent to its process sparse, and filled in there for one fit at a time.

The 8,000 training rows of a fold with six columns of 200 categories are 0.6 MB instead of 77 MB; filling them in took
0.18 s where Ridge, the cheapest fit, took 0.36 s.
"""
BLOCK_ROWS = 4_096


@dataclass(frozen=True)
class Means:
    """Another way for the columns with many categories: numbers (n, k) of both parts that learn the target, out of fold
    within the training part, and the `others` of the matrix, which are not of those columns."""

    train: Matrix
    test: Matrix
    others: NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """One split of the training rows: features (n, w) and targets (n,) of both parts, and which rows are tested on.

    `train_w` and `test_w` (n,): how much each row counts in a fit and in its score; None where all count alike.
    `means`: by the name of the way, where there are columns with many categories.
    """

    train_x: Features
    train_y: Matrix
    test_x: Features
    test_y: Matrix
    test_rows: NDArray[np.intp]
    train_w: Matrix | None = None
    test_w: Matrix | None = None
    means: Mapping[str, Means] = field(default_factory=dict)

    def width(self, encoding: str) -> int:
        """Columns of the matrices with that encoding."""
        if encoding == ONE_HOT or not self.means:
            return int(self.train_x.shape[1])
        return len(self.means[encoding].others) + int(self.means[encoding].train.shape[1])

    def matrices(self, encoding: str) -> tuple[Matrix, Matrix]:
        """The dense matrices of both parts with that encoding."""
        if encoding == ONE_HOT or not self.means:
            return filled(self.train_x), filled(self.test_x)
        means = self.means[encoding]
        return (
            np.hstack([filled(self.train_x[:, means.others]), means.train]),
            np.hstack([filled(self.test_x[:, means.others]), means.test]),
        )


def make_folds(
    features: pd.DataFrame,
    target: Matrix,
    columns: Sequence[Column],
    folds: int,
    seed: int,
    parts: Parts | None = None,
    weights: Matrix | None = None,
) -> list[Fold]:
    """The folds of `features` (n, c), `target` (n,), `weights` (n,): those of `parts`, else `folds` shuffled ones."""
    made, many = [], many_valued(columns, features)
    for train, test in parts or KFold(folds, shuffle=True, random_state=seed).split(features):
        transformer = preprocessing(columns).fit(features.iloc[train])
        train_x = _transformed(transformer, features.iloc[train])
        train_w = None if weights is None else weights[train]
        means = {}
        if many:
            others = without_many(transformer, many, train_x.shape[1])
            learnt = (features.iloc[train], target[train], train_w)
            for way, encoder in ENCODERS.items():
                learner = encoder(many, seed)
                means[way] = Means(
                    train=learner.out_of_fold(*learnt),
                    test=learner.fit(*learnt).transform(features.iloc[test]),
                    others=others,
                )
        made.append(
            Fold(
                train_x=train_x,
                train_y=target[train],
                test_x=_transformed(transformer, features.iloc[test]),
                test_y=target[test],
                test_rows=test,
                train_w=train_w,
                test_w=None if weights is None else weights[test],
                means=means,
            )
        )
    return made


def filled(features: Features) -> Matrix:
    """The dense matrix (n, w) that every estimator is given.

    The serving graph reads a dense matrix too: there a zero is a zero, where a sparse one may mean a missing value.
    """
    matrix: Matrix = features.toarray() if isinstance(features, csr_array) else features
    return matrix


def _transformed(transformer: ColumnTransformer, rows: pd.DataFrame) -> Features:
    if transformer.transform(rows.iloc[:1]).shape[1] <= SPARSE_WIDTH:
        return np.ascontiguousarray(transformer.transform(rows))
    blocks = [rows.iloc[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
    return csr_array(vstack([csr_array(transformer.transform(block)) for block in blocks]))
