"""The ways in which columns with many categories reach a model, and the preprocessing where they learn the target.

One way is a column of zeros and ones for each category, as for all others. The others put numbers in the place of such
a column: the mean target of its category, or the mean rank of the target and how frequent the category is. Which is
best differs by table, so that the folds decide.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer

from functions.train.data.preprocessing import CATEGORICAL_STEP, MISSING_STEP, columns_of_categories, preprocessing
from functions.train.data.target_means import TargetMeans, TargetRanks
from shared.arrays import Matrix
from shared.tables.reading import Column

CATEGORIES = "categories"
"""The parameter of the search that says which way a candidate takes."""
ONE_HOT = "one-hot"
TARGET_MEANS = "target-means"
TARGET_RANKS = "target-ranks"
ENCODERS: Mapping[str, type[TargetMeans]] = {TARGET_MEANS: TargetMeans, TARGET_RANKS: TargetRanks}
"""What learns the target, by the name of the way."""
MANY = 20
"""A column with more categories than this may be given as numbers that learn the target."""


def many_valued(columns: Sequence[Column], features: pd.DataFrame) -> tuple[str, ...]:
    """The names of the categorical columns with many categories in `features` (n, c)."""
    return tuple(
        column.name for column in columns if column.kind == "categorical" and features[column.name].nunique() > MANY
    )


class MeansForMany(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The preprocessing with numbers that learn the target for the columns `many`, in the `way` of that name: the
    others' matrix `base`, then theirs."""

    def __init__(self, columns: Sequence[Column], many: Sequence[str], seed: int, way: str = TARGET_MEANS) -> None:
        self.columns = columns
        self.many = many
        self.seed = seed
        self.way = way

    def fit_transform(self, rows: pd.DataFrame, target: Matrix, weights: Matrix | None = None) -> Matrix:
        """Learn from `rows` (n, c), and give their matrix (n, w) with those numbers out of fold."""
        self.base = preprocessing([column for column in self.columns if column.name not in self.many]).fit(rows)
        self.means = ENCODERS[self.way](self.many, self.seed).fit(rows, target, weights)
        return np.hstack([self.base.transform(rows), self.means.out_of_fold(rows, target, weights)])

    def transform(self, rows: pd.DataFrame) -> Matrix:
        """The matrix (n, w) of rows that were not learnt from."""
        return np.hstack([self.base.transform(rows), self.means.transform(rows)])


def without_many(fitted: ColumnTransformer, many: Sequence[str], width: int) -> NDArray[np.intp]:
    """The places, of `width` in a preprocessed matrix, that are not of the columns `many`."""
    names = {step: list(columns) for step, _, columns in fitted.transformers_}
    known = columns_of_categories(fitted.named_transformers_[CATEGORICAL_STEP].named_steps["encode"])
    widths = [max(words.values()) + 1 for words in known]
    of_words = np.repeat([name not in many for name in names[CATEGORICAL_STEP]], widths)
    missing = [names[MISSING_STEP][place] not in many for place in fitted.named_transformers_[MISSING_STEP].places_]
    of_numbers = np.ones(width - len(of_words) - len(missing), dtype=bool)
    return np.flatnonzero(np.concatenate([of_numbers, of_words, np.array(missing, dtype=bool)]))
