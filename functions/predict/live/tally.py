"""Counts answered rows of one run by the bins and categories of the run's own profile.

Pure. Arrives: rows as the graph read them, with what was predicted. Leaves: the feature part of a block.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.documents import Feature, Histogram, NumericProfile
from shared.histogram import counted
from shared.model_runtime import MISSING_TEXT
from shared.monitoring import OTHER_BELOW, FeatureCounts
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput

Vector = NDArray[np.float64]


class Tally:
    """The counts of one run in one process since its last block.

    Categories that are rarer than OTHER_BELOW wait for the next block, so that few rows a block do not hide them; what
    still waits when the process ends is told as `other`.
    """

    def __init__(self, run: VerifiedRun) -> None:
        features, profile = run.manifest.features, run.profile
        self._numeric = [_Number(f.name, _bins(profile.numeric.get(f.name))) for f in features if f.kind == "numeric"]
        self._categorical = [_Category(feature) for feature in features if feature.kind == "categorical"]
        self._prediction = _Number("", profile.predictions)
        self.rows = 0

    def add_rows(self, rows: Sequence[KnownRow], predictions: Sequence[float], times: Sequence[int]) -> None:
        """Count single rows, each so many times."""
        if not rows:
            return
        numbers, words = zip(*rows, strict=True)
        weights = np.array(times, dtype=np.int64)
        numeric = np.array(numbers, dtype=np.float64).reshape(len(rows), -1)
        for place, number in enumerate(self._numeric):
            number.add(numeric[:, place], weights)
        for category, cells in zip(self._categorical, zip(*words, strict=True), strict=True):
            category.add(cells, times)
        self._prediction.add(np.array(predictions, dtype=np.float64), weights)
        self.rows += int(weights.sum())

    def add_input(self, read: ModelInput, predictions: Sequence[float]) -> None:
        """Count the rows of a batch that were answered."""
        if not len(predictions):
            return
        for place, number in enumerate(self._numeric):
            number.add(read.numeric[:, place])
        for category, cells in zip(self._categorical, read.categorical.T, strict=True):
            category.add(cells)
        self._prediction.add(np.array(predictions, dtype=np.float64))
        self.rows += len(predictions)

    def take(self, *, last: bool) -> tuple[int, dict[str, FeatureCounts], FeatureCounts]:
        """Rows, features and predictions since the last block; of the `last` one, everything that waited."""
        rows, self.rows = self.rows, 0
        features = {entry.name: entry.take() for entry in self._numeric}
        features |= {entry.name: entry.take(last=last) for entry in self._categorical}
        return rows, features, self._prediction.take()

    def waits(self) -> bool:
        """Whether rare categories wait for a block."""
        return self.rows > 0 or any(entry.waits() for entry in self._categorical)


class _Number:
    def __init__(self, name: str, bins: Histogram | None) -> None:
        self.name = name
        self._uppers = np.array(bins.uppers if bins else (), dtype=np.float64)
        self._clear()

    def _clear(self) -> None:
        self._missing = self._below = self._above = 0
        self._bins = np.zeros(len(self._uppers), dtype=np.int64)

    def add(self, values: Vector, times: NDArray[np.int64] | None = None) -> None:
        absent = np.isnan(values)
        if absent.any():
            self._missing += int(absent.sum() if times is None else times[absent].sum())
            values, times = values[~absent], None if times is None else times[~absent]
        below, bins, above = counted(values, self._uppers, times)
        self._below += below
        self._above += above
        self._bins += bins

    def take(self) -> FeatureCounts:
        taken = FeatureCounts(
            missing=self._missing, below=self._below, above=self._above, bins=tuple(self._bins.tolist())
        )
        self._clear()
        return taken


class _Category:
    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self._places: Mapping[str, int] = {name: place for place, name in enumerate(feature.categories or ())}
        self._counts = np.zeros(len(self._places), dtype=np.int64)
        self._missing = self._unknown = 0

    def add(self, cells: Sequence[str], times: Sequence[int] | None = None) -> None:
        for cell, count in _tallied(cells, times).items():
            place = self._places.get(cell)
            if place is not None:
                self._counts[place] += count
            elif cell == MISSING_TEXT:
                self._missing += count
            else:
                self._unknown += count

    def waits(self) -> bool:
        return bool(self._counts.any())

    def take(self, *, last: bool) -> FeatureCounts:
        told = np.where(self._counts >= OTHER_BELOW, self._counts, 0)
        rare = self._counts - told
        other = int(rare.sum()) if last else 0
        taken = FeatureCounts(missing=self._missing, unknown=self._unknown, other=other, counts=tuple(told.tolist()))
        self._counts = np.zeros_like(rare) if last else rare
        self._missing = self._unknown = 0
        return taken


def _bins(known: NumericProfile | None) -> Histogram | None:
    return known.histogram if known else None


def _tallied(cells: Sequence[str], times: Sequence[int] | None) -> Mapping[str, int]:
    if times is None or max(times) == 1:
        return Counter(cells)
    found: dict[str, int] = {}
    for cell, count in zip(cells, times, strict=True):
        found[cell] = found.get(cell, 0) + count
    return found
