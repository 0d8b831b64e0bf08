"""Counts of a number over bins that training chose: what a profile keeps, and what live rows are counted in.

A bin holds the numbers above the bin before it, up to its own upper edge; the first holds the smallest number that
training saw and nothing else. Edges are numbers that occurred, so that a number of few values has a bin for each.
"""

import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.profiles import Histogram

BINS = 20


def histogram(values: Vector) -> Histogram:
    """Bins of about equally many of `values` (n,), which hold no NaN, with their counts."""
    if not values.size:
        return Histogram()
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1), method="inverted_cdf"))
    _, counts, _ = counted(values, edges)
    return Histogram(uppers=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def counted(
    values: Vector, uppers: Vector, times: NDArray[np.int64] | None = None
) -> tuple[int, NDArray[np.int64], int]:
    """How many of `values` (n,) are below the first bin, in each bin (k,), and above the last; each counts `times`."""
    if not uppers.size:
        return 0, np.zeros(0, dtype=np.int64), 0
    places = np.searchsorted(uppers, values, side="left")
    counts = np.bincount(places, times, minlength=len(uppers) + 1).astype(np.int64)
    under = values < uppers[0]
    below = int(under.sum() if times is None else times[under].sum())
    counts[0] -= below
    return below, counts[:-1], int(counts[-1])
