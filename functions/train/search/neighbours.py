"""Nearest neighbours that do not depend on the order of the rows: all that are as near as the k-th one count.

On rows of categories hundreds of rows are equally near, and which k of them scikit-learn averages is an accident of how
it sorts them; the serving graph would meet another accident.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsRegressor

from shared.arrays import Matrix

TIE = 1e-9
"""Distances up to this share beyond the k-th one count as tied with it: they differ by rounding only."""
BLOCK_ROWS = 1_000
MORE = 8
"""So many more distinct rows are asked for at first; twice as many wherever the farthest of them ties."""


class TiedNeighbours(KNeighborsRegressor):  # type: ignore[misc]
    """The mean target of the `n_neighbors` nearest rows and of every row that ties with the last of them.

    Equal rows are kept once: `rows_` (u, w) are the distinct rows, `counts_` (u,) how often each was seen, `targets_`
    (u,) their mean target. An exact match outweighs all others where `weights` is "distance", as in scikit-learn.
    """

    tie = TIE

    def fit(self, rows: Matrix, target: Matrix) -> "TiedNeighbours":
        """Keep the distinct ones of `rows` (n, w) with their mean of `target` (n,)."""
        matrix = np.asarray(rows, dtype=np.float64)
        self.rows_, places, counts = np.unique(matrix, axis=0, return_inverse=True, return_counts=True)
        self.counts_ = counts.astype(np.float64)
        self.targets_ = np.bincount(places.reshape(-1), weights=target) / self.counts_
        super().fit(self.rows_, self.targets_)
        return self

    def predict(self, rows: Matrix) -> Matrix:
        """Predict `rows` (n, w)."""
        matrix = np.asarray(rows, dtype=np.float64)
        blocks = [matrix[start : start + BLOCK_ROWS] for start in range(0, len(matrix), BLOCK_ROWS)]
        return np.concatenate([self._block(block) for block in blocks])

    def _block(self, rows: Matrix) -> Matrix:
        predicted = np.empty(len(rows))
        waiting, asked = np.arange(len(rows)), min(self.n_neighbors + MORE, len(self.rows_))
        while waiting.size:
            distances, chosen = self.kneighbors(rows[waiting], n_neighbors=asked)
            farthest = self._farthest(distances, chosen)
            complete = (distances[:, -1] > farthest) | (asked == len(self.rows_))
            weights = self._weights(distances, chosen, farthest)
            averages = np.sum(weights * self.targets_[chosen], axis=1) / np.sum(weights, axis=1)
            predicted[waiting[complete]] = averages[complete]
            waiting, asked = waiting[~complete], min(2 * asked, len(self.rows_))
        return predicted

    def _farthest(self, distances: Matrix, chosen: NDArray[np.intp]) -> Matrix:
        """The distance (n,) up to which neighbours count: that of the k-th row, or of the last one."""
        enough = np.cumsum(self.counts_[chosen], axis=1) >= self.n_neighbors
        last = np.where(enough.any(axis=1), enough.argmax(axis=1), distances.shape[1] - 1)
        found: Matrix = distances[np.arange(len(distances)), last]
        return found + found * TIE

    def _weights(self, distances: Matrix, chosen: NDArray[np.intp], farthest: Matrix) -> Matrix:
        counted = np.where(distances <= farthest[:, None], self.counts_[chosen], 0.0)
        if self.weights == "uniform":
            return counted
        exact = distances == 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse: Any = np.where(exact.any(axis=1)[:, None], exact.astype(np.float64), 1.0 / distances)
        found: Matrix = counted * inverse
        return found
