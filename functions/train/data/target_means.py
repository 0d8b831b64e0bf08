"""Words as the mean target of the rows that have them, drawn towards the mean of all rows as far as chance explains.

Of a column with hundreds of values a tree finds more in one such number than in hundreds of columns of zeros and ones.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

Vector = NDArray[np.float64]
PARTS = 5
"""A training row is told the means of rows in the other parts: its own target must not be in its own feature."""


class TargetMeans:
    """The means of each column's words, in units of the target's spread around its mean: 0 is an unknown word's.

    A word on n rows gets n / (n + m) of its rows' mean, where m is the variance within words over that between them
    (Micci-Barreca, 2001; the variances by the analysis of variance of a one-way random model, Searle, Casella and
    McCulloch, 1992). Where words tell no more than chance does, all of them are 0.

    `known_`: by column, a word's number. A missing cell is treated as an unknown word.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self.names = tuple(names)
        self.seed = seed

    def fit(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> "TargetMeans":
        """Learn from `rows` (n, …), `target` (n,) and `weights` (n,), where rows count differently."""
        units, weights = self._units(target, weights)
        self.known_ = [_shrunken(rows[name], units, weights) for name in self.names]
        return self

    def transform(self, rows: pd.DataFrame) -> Vector:
        """The numbers (n, k) of `rows`, which were not learnt from."""
        return _looked_up(rows, self.names, self.known_)

    def out_of_fold(self, rows: pd.DataFrame, target: Vector, weights: Vector | None = None) -> Vector:
        """The numbers (n, k) of rows that are learnt from: each row's are those of the other parts' rows."""
        units, weights = self._units(target, weights)
        found = np.zeros((len(rows), len(self.names)))
        for others, part in KFold(min(PARTS, len(rows)), shuffle=True, random_state=self.seed).split(found):
            known = [_shrunken(rows[name].iloc[others], units[others], weights[others]) for name in self.names]
            found[part] = _looked_up(rows.iloc[part], self.names, known)
        return found

    def _units(self, target: Vector, weights: Vector | None) -> tuple[Vector, Vector]:
        """The target around its mean in units of its spread, and weights whose mean is 1 where they are not 0."""
        counts = np.ones(len(target)) if weights is None else weights / weights[weights > 0].mean()
        center = float(np.average(target, weights=counts))
        spread = float(np.average((target - center) ** 2, weights=counts)) ** 0.5
        return (target - center) / (spread or 1.0), counts


def _looked_up(rows: pd.DataFrame, names: Sequence[str], known: Sequence[dict[str, float]]) -> Vector:
    columns = [rows[name].map(numbers).fillna(0.0) for name, numbers in zip(names, known, strict=True)]
    return np.column_stack(columns).astype(np.float64)


def _shrunken(words: "pd.Series[str]", target: Vector, weights: Vector) -> dict[str, float]:
    """By word, its mean of `target` (n,) drawn towards 0."""
    codes, names = pd.factorize(words)
    told = (codes >= 0) & (weights > 0)
    codes, target, weights = codes[told], target[told], weights[told]
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
