"""Which rows a graph must predict to tell Shapley values, and how its predictions are weighted: pure combinatorics.

A coalition is a set of features that are taken from the row to explain; the others come from one background row. A
feature's value is a weighted sum over coalitions of what the graph says of them (Shapley 1953). Features in which the
two rows are alike change nothing and are no players, so that most pairs of rows take few coalitions.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.arrays import Matrix, Vector

BUDGET = 2_000
"""Graph rows of a pair of walks from every background row: it says how many background rows there are."""

CELLS = 64_000
"""Cells of graph rows that the coalitions of all background rows may take: 160 coalitions of 8 features for each of 50
rows. One pair of walks is always taken, which is within BUDGET rows.
"""

ROWS_PER_FEATURE = 5
"""Coalitions for each feature from which a regression is nearer to the truth than walks: measured on games of 8 and 13
features (KNN, a tree, forests, boosting), whose every coalition was asked."""

KEPT = 512
MOST_KEPT = 40
"""Features up to which coalitions are kept from one row to the next: some 30 kB each at the most."""

MOST_COUNTED = 60
"""Features up to which the number of coalitions of one size fits into 64 bits."""

SEED = 20_260_105
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Coalitions:
    """The coalitions that the graph must be asked of for one background row, of k features.

    `masks` (r, k): features taken from the row to explain. The effects (k,) are `weights` (k, r) times the predictions
    of the coalitions, plus `full` (k,) times that of the row itself, plus `empty` (k,) times the background row's.
    """

    masks: Masks
    weights: Matrix
    full: Vector
    empty: Vector


def background_rows(features: int, most: int) -> int:
    """How many background rows fit into the budget: a pair of walks over the features for each of them."""
    return max(1, min(most, BUDGET // max(1, 2 * (features - 1))))


def most_coalitions(features: int, rows: int) -> int:
    """How many coalitions may be asked of for each of `rows` background rows."""
    return max(2 * (features - 1), CELLS // (rows * features))


def is_exact(features: int, most: int) -> bool:
    """Whether `most` coalitions are all that there are of so many features, beside none and all of them."""
    return features < MOST_COUNTED and 2**features - 2 <= most


@lru_cache(maxsize=16)
def every_coalition(features: int) -> tuple[Masks, Matrix]:
    """All coalitions (2^d, d), each at the place that its features tell as bits, and their Shapley weights (d, 2^d)."""
    masks = (np.arange(2**features)[:, None] >> np.arange(features)) & 1 == 1
    sizes = masks.sum(axis=1)
    whole = math.factorial(features)
    joined = [math.factorial(max(k - 1, 0)) * math.factorial(features - k) / whole for k in range(features + 1)]
    left = [math.factorial(k) * math.factorial(max(features - k - 1, 0)) / whole for k in range(features + 1)]
    return masks, np.where(masks, np.array(joined)[sizes][:, None], -np.array(left)[sizes][:, None]).T


def coalitions(features: int, most: int, place: int) -> Coalitions:
    """All coalitions of `features` where they are at most `most`, else some of them.

    They differ with the `place` of the background row, so that errors cancel, and are the same at every call, so that
    a row is explained alike twice. Half of them are the complements of the others: interactions of two features are
    told exactly.
    """
    return (_kept if features <= MOST_KEPT else _chosen)(features, most, place if not is_exact(features, most) else 0)


def _chosen(features: int, most: int, place: int) -> Coalitions:
    generator = np.random.default_rng([SEED, place, features])
    if is_exact(features, most) or (features <= MOST_COUNTED and most >= ROWS_PER_FEATURE * features):
        return _regressed(*_drawn(features, most // 2, generator))
    pairs = max(1, most // (2 * (features - 1)))
    orders = [generator.permutation(features) for _ in range(pairs)]
    return _walks([*orders, *(order[::-1] for order in orders)])


_kept = lru_cache(maxsize=KEPT)(_chosen)


def _walks(orders: Sequence[NDArray[np.int64]]) -> Coalitions:
    """The coalitions along orders in which the features join: each feature's gain where it joins, on average.

    Štrumbelj and Kononenko, Knowledge and Information Systems 41, 2014.
    """
    features, share = len(orders[0]), 1 / len(orders)
    steps = features - 1
    masks = np.zeros((len(orders) * steps, features), dtype=bool)
    weights = np.zeros((features, len(orders) * steps))
    full, empty = np.zeros(features), np.zeros(features)
    for start, order in zip(range(0, len(masks), max(1, steps)), orders, strict=True):
        rows = np.arange(start, start + steps)
        masks[start : start + steps] = np.argsort(order) < np.arange(1, features)[:, None]
        weights[order[:-1], rows] += share
        weights[order[1:], rows] -= share
        full[order[-1]] += share
        empty[order[0]] -= share
    return Coalitions(masks, weights, full, empty)


def _regressed(masks: Masks, chances: Vector) -> Coalitions:
    """The weighted regression of a game's values on who takes part, whose slopes are the Shapley values.

    `chances` (r,): how probably each coalition was drawn; where all are certain, the slopes are exact. The kernel is
    that of Lundberg and Lee (NeurIPS 2017, theorem 2), the constraint that slopes add up is solved for as in Covert and
    Lee (AISTATS 2021), and pairs drawn without replacement are those of Musco and Witter (ICLR 2025).
    """
    features = masks.shape[1]
    if not len(masks):
        return Coalitions(masks, np.zeros((features, 0)), np.ones(features), -np.ones(features))
    sizes = masks.sum(axis=1)
    kernel = np.array([1 / (math.comb(features, size) * size * (features - size)) for size in range(1, features)])
    parts = masks.T * (kernel[sizes - 1] / chances)
    inverse = np.linalg.pinv(parts @ masks, hermitian=True)
    sums = inverse.sum(axis=1)
    full = sums / sums.sum()
    weights = (inverse - np.outer(full, sums)) @ parts
    return Coalitions(masks, weights, full, -full - weights.sum(axis=1))


def _drawn(features: int, pairs: int, generator: "np.random.Generator") -> tuple[Masks, Vector]:
    """At most 2 · `pairs` coalitions (r, k), each with its complement, and how probable each one was."""
    masks: list[Masks] = []
    chances: list[Vector] = []
    for size, wanted, chance in _sizes(features, pairs, generator):
        half = 2 * size == features  # each has its complement among its equals: those with the first feature stand
        every = math.comb(features, size) // (2 if half else 1)
        ranks = range(every) if wanted >= every else generator.choice(every, wanted, replace=False).tolist()
        if not ranks:
            continue
        subsets = np.array([_subset(rank, features, size) for rank in ranks])
        masks += [subsets, ~subsets]
        chances.append(np.full(2 * len(subsets), chance))
    if not masks:
        return np.zeros((0, features), dtype=bool), np.zeros(0)
    return np.concatenate(masks), np.concatenate(chances)


def _sizes(features: int, pairs: int, generator: "np.random.Generator") -> Iterator[tuple[int, int, float]]:
    """For each size up to the half: itself, how many pairs of that size are taken, and how probable each one is.

    They are shared out as the kernel weighs them; a size of which more would be taken than there are is taken whole.
    """
    every = {s: math.comb(features, s) // (2 if 2 * s == features else 1) for s in range(1, features // 2 + 1)}
    open_sizes = {s: (0.5 if 2 * s == features else 1.0) / (s * (features - s)) for s in every}
    left = pairs
    while whole := [s for s, part in open_sizes.items() if left * part >= every[s] * sum(open_sizes.values())]:
        for size in whole:
            yield size, every[size], 1.0
            left -= every[size]
            del open_sizes[size]
    reached = float(generator.random())  # one draw for all sizes: their numbers are right on average, and add up
    for size, part in open_sizes.items():
        expected = left * part / sum(open_sizes.values())
        yield size, math.floor(reached + expected) - math.floor(reached), expected / every[size]
        reached += expected


def _subset(rank: int, features: int, size: int) -> Masks:
    """The subset (k,) at place `rank` among those of `size`, in the order of itertools.combinations."""
    mask = np.zeros(features, dtype=bool)
    for feature in range(features):
        if not size:
            break
        with_it = math.comb(features - feature - 1, size - 1)
        mask[feature] = rank < with_it
        rank, size = (rank, size - 1) if mask[feature] else (rank - with_it, size)
    return mask
