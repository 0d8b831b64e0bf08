"""Counts answered rows of one run by the bins and categories of the run's own profile.

Pure. Arrives: rows as the graph read them, with what was predicted, and why others were refused. Leaves: a block.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import add

import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.documents import SCHEMA_VERSION, Feature
from shared.histogram import counted
from shared.model_runtime import MISSING_TEXT
from shared.monitoring import LATENCY_US, OTHER_BELOW, FeatureCounts, LiveBlock, ShadowCounts
from shared.problems import Problem
from shared.profiles import Histogram, NumericProfile
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput


class Tally:
    """The counts of one run in one process since its last block.

    Categories that are rarer than OTHER_BELOW wait for the next block, so that few rows a block do not hide them; what
    still waits when the process ends is told as `other`.
    """

    def __init__(self, run: VerifiedRun, since: datetime) -> None:
        self._run_id, self._names = run.manifest.run_id, run.schema.names
        features, profile = run.manifest.features, run.profile
        self._numeric = [
            _Number(f.name, _bins(profile.numeric.get(f.name))) for f in features if f.kind != "categorical"
        ]
        self._categorical = [_Category(feature) for feature in features if feature.kind == "categorical"]
        self._prediction = _Number("", profile.predictions)
        self._clear(since)

    def _clear(self, since: datetime) -> None:
        self._since = since
        self._rows = 0
        self._answers: Counter[str] = Counter()
        self._refused: dict[str, Counter[str]] = {}
        self._latency = np.zeros(len(LATENCY_US) + 1, dtype=np.int64)
        self._shadow: ShadowCounts | None = None

    def add_faults(self, count: int) -> None:
        """Count requests that this run owed an answer, and another one gave it."""
        if count:
            self._answers["fault"] += count

    def add_shadow(self, counts: ShadowCounts) -> None:
        """Count rows of another run's requests that this one was run on after the fact."""
        known = self._shadow or ShadowCounts(differences=(0,) * len(counts.differences))
        self._shadow = ShadowCounts(
            rows=known.rows + counts.rows,
            faults=known.faults + counts.faults,
            differences=tuple(map(add, known.differences, counts.differences)),
        )

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
        self._rows += int(weights.sum())

    def add_input(self, read: ModelInput, predictions: Sequence[float]) -> None:
        """Count the rows of a batch that were answered."""
        if not len(predictions):
            return
        for place, number in enumerate(self._numeric):
            number.add(read.numeric[:, place])
        for category, cells in zip(self._categorical, read.categorical.T, strict=True):
            category.add(cells)
        self._prediction.add(np.array(predictions, dtype=np.float64))
        self._rows += len(predictions)

    def add_problems(self, problems: Sequence[Problem]) -> None:
        """Count why rows were refused. A pointer may hold what a caller made up: only the model's names are kept."""
        for problem in problems:
            name = problem.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
            self._refused.setdefault(problem.code, Counter())[self._names.get(name, "")] += 1

    def add_requests(self, answer: str, seconds: Sequence[float]) -> None:
        """Count requests that were answered so, as 2xx, with the seconds that each took."""
        places = np.searchsorted(LATENCY_US, np.array(seconds) * 1e6)
        self._latency += np.bincount(places, minlength=len(self._latency))
        self._answers[answer] += len(seconds)

    def take(self, until: datetime, *, last: bool) -> LiveBlock:
        """The block since the last one; in the `last` one, everything that waited is told."""
        features = {entry.name: entry.take() for entry in self._numeric}
        features |= {entry.name: entry.take(last=last) for entry in self._categorical}
        block = LiveBlock(
            schema_version=SCHEMA_VERSION,
            run_id=self._run_id,
            since=min(self._since, until),
            until=until,
            requests=int(self._latency.sum()),
            rows=self._rows,
            features=features,
            prediction=self._prediction.take(),
            refused={code: dict(fields) for code, fields in self._refused.items()},
            answers=dict(self._answers),
            latency_us=tuple(self._latency.tolist()),
            shadow=self._shadow,
        )
        self._clear(until)
        return block

    def waits(self, *, last: bool) -> bool:
        """Whether there is anything to tell; in the `last` block also rare categories."""
        return (
            bool(self._answers)
            or self._shadow is not None
            or (last and any(entry.waits() for entry in self._categorical))
        )


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
        shown = np.where(self._counts >= OTHER_BELOW, self._counts, 0)
        rare = self._counts - shown
        other = int(rare.sum()) if last else 0
        taken = FeatureCounts(missing=self._missing, unknown=self._unknown, other=other, counts=tuple(shown.tolist()))
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
