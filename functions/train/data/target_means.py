"""Words as numbers: the mean target of the rows that have them, or the mean rank of it and the share of such rows.

Of a column with hundreds of values a tree finds more in such a number than in hundreds of columns of zeros and ones. A
few huge targets decide a mean, and no rank.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from shared.arrays import Vector

PARTS = 5
"""A training row is told the means of rows in the other parts: its own target must not be in its own feature."""


class TargetMeans:
    """The means of each column's words, in units of the target's spread around its mean: 0 is an unknown word's.

    A word on n rows gets n / (n + m) of its rows' mean, where m is the variance within words over that between them
    (Micci-Barreca, 2001; the variances by the analysis of variance of a one-way random model, Searle, Casella and
    McCulloch, 1992). Where words tell no more than chance does, all of them are 0.

    `known_`: by column, a word's number. A missing cell is treated as an unknown word.
    """

    def __init__(self, columns: Sequence[str], seed: int) -> None:
        self.columns = tuple(columns)
        self.seed = seed

    @property
    def names(self) -> tuple[str, ...]:
        """The column that each number (k) is of."""
        return self.columns

    def fit(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> "TargetMeans":
        """Learn from `rows` (n, …), `target` (n,) and `weights` (n,), where rows count differently."""
        units, weights = self._units(target, weights)
        self.known_ = [_shrunken(rows[name], units, weights) for name in self.columns]
        return self

    def transform(self, rows: pd.DataFrame) -> Vector:
        """The numbers (n, k) of `rows`, which were not learnt from."""
        return _looked_up(rows, self.names, self.known_)

    def out_of_fold(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> Vector:
        """The numbers (n, k) of rows that are learnt from: each row's are those of the other parts' rows."""
        units, weights = self._units(target, weights)
        found = np.zeros((len(rows), len(self.columns)))
        for others, part in KFold(min(PARTS, len(rows)), shuffle=True, random_state=self.seed).split(found):
            known = [_shrunken(rows[name].iloc[others], units[others], weights[others]) for name in self.columns]
            found[part] = _looked_up(rows.iloc[part], self.columns, known)
        return found

    def _units(self, target: Vector, weights: Vector | None) -> tuple[Vector, Vector]:
        """The target around its mean in units of its spread, and weights whose mean is 1 where they are not 0."""
        counts = np.ones(len(target)) if weights is None else weights / weights[weights > 0].mean()
        center = float(np.average(target, weights=counts))
        spread = float(np.average((target - center) ** 2, weights=counts)) ** 0.5
        return (target - center) / (spread or 1.0), counts


class TargetRanks(TargetMeans):
    """The same of the target's ranks, then for each column the share of rows that have the word, 0 of an unknown one.

    The share is no target's, so that it is that of all rows on both sides.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The column that each number (k) is of."""
        return (*self.columns, *self.columns)

    def fit(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> "TargetRanks":
        """Learn from `rows` (n, …), `target` (n,) and `weights` (n,), where rows count differently."""
        super().fit(rows, target, weights)
        self.known_ += self._shares(rows, weights)
        return self

    def out_of_fold(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> Vector:
        """The numbers (n, k) of rows that are learnt from: each row's ranks are those of the other parts' rows."""
        ranks = super().out_of_fold(rows, target, weights)
        return np.hstack([ranks, _looked_up(rows, self.columns, self._shares(rows, weights))])

    def _shares(self, rows: pd.DataFrame, weights: Vector | None) -> list[dict[str, float]]:
        counted = rows if weights is None else rows[weights > 0]
        shares = [counted[name].value_counts() / max(len(counted), 1) for name in self.columns]
        return [{str(word): float(share) for word, share in by_word.items()} for by_word in shares]

    def _units(self, target: Vector, weights: Vector | None) -> tuple[Vector, Vector]:
        """The target's ranks around their mean in units of their spread; equal targets share the mean of theirs."""
        counts = np.ones(len(target)) if weights is None else weights
        _, places = np.unique(target, return_inverse=True)
        at: Vector = np.bincount(places, counts).astype(np.float64)
        return super()._units((np.cumsum(at) - at / 2)[places] / max(float(at.sum()), 1e-300), weights)


def _looked_up(rows: pd.DataFrame, names: Sequence[str], known: Sequence[dict[str, float]]) -> Vector:
    columns = [rows[name].map(numbers).fillna(0.0) for name, numbers in zip(names, known, strict=True)]
    return np.column_stack(columns).astype(np.float64)


def _shrunken(words: "pd.Series[str]", target: Vector, weights: Vector) -> dict[str, float]:
    """The mean of `target` (n,) for each word, drawn towards 0."""
    codes, names = pd.factorize(words)
    known = (codes >= 0) & (weights > 0)
    codes, target, weights = codes[known], target[known], weights[known]
    counts: Vector = np.bincount(codes, weights, len(names)).astype(np.float64)
    sums: Vector = np.bincount(codes, weights * target, len(names)).astype(np.float64)
    rows_of_prior = _variance_ratio(codes, target, weights, counts, sums)
    means = np.divide(sums, counts + rows_of_prior, out=np.zeros(len(names)), where=counts > 0)
    return {str(name): float(mean) for name, mean in zip(names, means, strict=True)}


def _variance_ratio(codes: NDArray[np.intp], target: Vector, weights: Vector, counts: Vector, sums: Vector) -> float:
    """The variance within words over that between them, infinite where chance explains the latter."""
    present, total = int((counts > 0).sum()), float(counts.sum())
    if present < 2 or len(codes) <= present:
        return float("inf")
    means = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
    within = float(np.sum(weights * (target - means[codes]) ** 2)) / (len(codes) - present)
    between = float(np.sum(counts * (means - sums.sum() / total) ** 2)) / (present - 1)
    rows_of_a_word = (total - float(np.sum(counts**2)) / total) / (present - 1)
    excess = between - within
    return within * rows_of_a_word / excess if excess > 0.0 else float("inf")
