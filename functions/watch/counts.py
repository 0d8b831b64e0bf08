"""Blocks of live counts beside the profile of their run: for each feature, the same cells at training and live.

Pure. A numeric feature's cells are what is below, its bins, what is above, and missing; a categorical one's its
categories, texts unknown to training, and missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from shared.arrays import Counts
from shared.documents import Feature, Manifest
from shared.metrics import plain
from shared.monitoring import FeatureCounts, LiveBlock
from shared.profiles import Histogram, Profile

PREDICTION = "(prediction)"
"""The prediction's name among the features; brackets keep it apart from theirs."""
REFUSALS = "(refusals)"
FAULTS = "(faults)"


@dataclass(frozen=True)
class Cells:
    """The cells of one feature: their names for people, rows at training (k,), and whether neighbours are alike."""

    names: tuple[str, ...]
    trained: Counts
    ordered: bool
    categories: int = 0

    def of(self, found: FeatureCounts) -> Counts | None:
        """The live rows (k,) of a block; None where the block counted other cells."""
        if self.categories:
            if len(found.counts) != self.categories:
                return None
            return np.array([*self._shared_out(found), found.unknown, found.missing], dtype=np.float64)
        if len(found.bins) != len(self.trained) - 3:
            return None
        return np.array([found.below, *found.bins, found.above, found.missing], dtype=np.float64)

    def _shared_out(self, found: FeatureCounts) -> Counts:
        """Rows by category; those too rare to be told are shared out as training would have it, which alarms nobody."""
        counts = np.array(found.counts, dtype=np.float64)
        hidden = np.where(counts == 0, self.trained[: self.categories], 0.0)
        if found.other and not hidden.sum():
            hidden = np.ones_like(counts)
        return counts + (found.other * hidden / hidden.sum() if found.other else 0.0)


def cells_of(manifest: Manifest, profile: Profile) -> dict[str, Cells]:
    """The cells of every feature that the profile can be compared by, and of the prediction."""
    found = {}
    for feature in manifest.features:
        if feature.kind == "date":  # time goes on, and no live day is like those of training
            continue
        made = _categorical(feature, profile) if feature.kind == "categorical" else _numeric(feature, profile)
        if made is not None:
            found[feature.name] = made
    if profile.predictions is not None:
        found[PREDICTION] = _bins(profile.predictions, 0)
    return found


def _numeric(feature: Feature, profile: Profile) -> Cells | None:
    known = profile.numeric.get(feature.name)
    return None if known is None or known.histogram is None else _bins(known.histogram, known.missing)


def _bins(known: Histogram, missing: int) -> Cells:
    edges = [plain(edge) for edge in known.uppers]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    first = [f"below {edges[0]}", edges[0]] if edges else ["below"]
    names = [*first, *between, f"above {edges[-1]}" if edges else "above", "missing"]
    return Cells(tuple(names), np.array([0, *known.counts, 0, missing], dtype=np.float64), ordered=True)


def _categorical(feature: Feature, profile: Profile) -> Cells | None:
    known = profile.categorical.get(feature.name)
    if known is None or not feature.categories:
        return None
    trained = [known.counts.get(category, 0) for category in feature.categories]
    names = (*feature.categories, "unknown to training", "missing")
    counts = np.array([*trained, 0, known.missing], dtype=np.float64)
    return Cells(names, counts, ordered=False, categories=len(feature.categories))


def by_block(name: str, cells: Cells, blocks: Sequence[LiveBlock]) -> Counts:
    """The rows (b, k) of the blocks; none of a block that counted other cells."""
    nothing = np.zeros(len(cells.trained))
    found = [cells.of(counted) if counted is not None else None for counted in (_counted(name, b) for b in blocks)]
    return np.array([nothing if c is None else c for c in found]).reshape(len(blocks), len(nothing))


def _counted(name: str, block: LiveBlock) -> FeatureCounts | None:
    return block.prediction if name == PREDICTION else block.features.get(name)


def refusal_codes(blocks: Sequence[LiveBlock]) -> tuple[str, ...]:
    """Every reason for which something was refused."""
    return tuple(sorted({code for block in blocks for code in block.refused}))


def refusals_by_block(codes: Sequence[str], blocks: Sequence[LiveBlock]) -> Counts:
    """Rows that were answered, and problems by code (b, 1 + c)."""
    rows = [[block.rows, *(sum(block.refused.get(code, {}).values()) for code in codes)] for block in blocks]
    return np.array(rows, dtype=np.float64).reshape(len(blocks), 1 + len(codes))


def faults_by_block(blocks: Sequence[LiveBlock]) -> Counts:
    """Requests that were answered or refused, and those that failed (b, 2)."""
    rows = [[b.answers.get("2xx", 0) + b.answers.get("4xx", 0), b.answers.get("5xx", 0)] for b in blocks]
    return np.array(rows, dtype=np.float64).reshape(len(blocks), 2)


def quantile_ms(bins: Mapping[int, int], share: float, uppers: Sequence[int]) -> float | None:
    """The upper edge, in ms, of the latency bin in which the `share` of requests ends; None without requests.

    `bins`: requests by place among `uppers`, in µs. What is beyond the last counts as twice as long.
    """
    total, reached = sum(bins.values()), 0
    for place, count in sorted(bins.items()):
        reached += count
        if total and reached >= share * total:
            return (uppers[place] if place < len(uppers) else 2 * uppers[-1]) / 1_000
    return None
