"""Shares of a distribution, from its evenly spaced quantiles."""

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray


def share_below(threshold: float, quantiles: tuple[float, ...]) -> float:
    """The share of a distribution below `threshold`, from its evenly spaced quantiles (0 to 1), interpolated."""
    rank = bisect_left(quantiles, threshold)
    if rank == 0:
        return 0.0
    if rank == len(quantiles):
        return 1.0
    below, above = quantiles[rank - 1], quantiles[rank]  # below < threshold <= above
    return (rank - 1 + (threshold - below) / (above - below)) / (len(quantiles) - 1)


def shares_below(thresholds: NDArray[np.float64], quantiles: tuple[float, ...]) -> NDArray[np.float64]:
    """`share_below` of many thresholds (n,), to the last digit."""
    held = np.array(quantiles)
    ranks = np.searchsorted(held, thresholds)
    inner = np.clip(ranks, 1, len(held) - 1)
    below, above = held[inner - 1], held[inner]
    with np.errstate(divide="ignore", invalid="ignore"):  # of equal quantiles, whose shares are not taken
        shares = (inner - 1 + (thresholds - below) / (above - below)) / (len(held) - 1)
    return np.where(ranks == 0, 0.0, np.where(ranks == len(held), 1.0, shares))


def usable(quantiles: tuple[float, ...]) -> bool:
    """Whether quantiles tell shares: at least two, finite and in order."""
    return len(quantiles) >= 2 and all(map(math.isfinite, quantiles)) and list(quantiles) == sorted(quantiles)
