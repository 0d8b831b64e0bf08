"""Which rows a graph must predict to tell Shapley values, and how its predictions are weighted: pure combinatorics.

A coalition is a set of features that are taken from the row to explain; the others come from a background row. A
feature's value is a weighted sum over coalitions of what the graph says of them (Shapley 1953; for models, Štrumbelj
and Kononenko, Knowledge and Information Systems 41, 2014, who sample permutations).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

BUDGET = 2_000
"""Graph rows up to which every coalition is asked of."""

SAMPLED_CELLS = 60_000
"""Cells of graph rows that random orders may take: ten pairs of orders for each of 50 background rows and 8 features,
one pair for 20. One pair is always taken, which is within BUDGET rows where `background_rows` chose their number.
"""

MOST_PAIRS = 10
SEED = 20_260_105
Matrix = NDArray[np.float64]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Coalitions:
    """The coalitions that the graph must be asked of, for every background row in turn.

    `masks` (r, d): features taken from the row to explain; `background` (r,): the number of the other row. The effects
    (d,) are `weights` (d, r) times the predictions of the coalitions, plus `full` (d,) times that of the row itself,
    plus `empty` (d, b) times those of the background rows.
    """

    exact: bool
    masks: Masks
    background: NDArray[np.intp]
    weights: Matrix
    full: Matrix
    empty: Matrix


def is_exact(features: int, rows: int) -> bool:
    """Whether every coalition of so many features with so many background rows is within the budget."""
    return features < 31 and 2**features * rows <= BUDGET


def background_rows(features: int, most: int) -> int:
    """How many background rows fit into the budget: a pair of walks over the features for each of them."""
    return max(1, min(most, BUDGET // max(1, 2 * (features - 1))))


def coalitions(features: int, shares: Sequence[float]) -> Coalitions:
    """All coalitions where the budget allows them, else those along pairs of random orders and their reverses.

    `shares` (b,): the weight of each background row; they sum to 1. The orders are the same at every call, so that the
    same row is explained alike twice.
    """
    rows = len(shares)
    if is_exact(features, rows):
        masks, weights = _every(features)
        parts = [(masks, weights)] * rows
        return _assembled(parts, shares, exact=True)
    pairs = min(MOST_PAIRS, max(1, SAMPLED_CELLS // (2 * (features - 1) * rows * features)))
    generator = np.random.default_rng(SEED)
    orders = [[generator.permutation(features) for _ in range(pairs)] for _ in shares]
    return _assembled([_walks([*told, *(o[::-1] for o in told)]) for told in orders], shares, exact=False)


def _every(features: int) -> tuple[Masks, Matrix]:
    """All coalitions (2^d, d) and their Shapley weights (d, 2^d)."""
    masks = (np.arange(2**features)[:, None] >> np.arange(features)) & 1 == 1
    sizes = masks.sum(axis=1)
    whole = factorial(features)
    joined = np.array([factorial(max(k - 1, 0)) * factorial(features - k) / whole for k in range(features + 1)])
    left = np.array([factorial(k) * factorial(max(features - k - 1, 0)) / whole for k in range(features + 1)])
    return masks, np.where(masks, joined[sizes][:, None], -left[sizes][:, None]).T


def _walks(orders: Sequence[NDArray[np.int64]]) -> tuple[Masks, Matrix]:
    """The coalitions along `orders` of d features, from none to all, and their weights."""
    features = len(orders[0])
    steps = features + 1
    masks = np.zeros((len(orders) * steps, features), dtype=bool)
    weights = np.zeros((features, len(orders) * steps))
    for place, order in enumerate(orders):
        positions = np.argsort(order)  # when each feature joins
        start = place * steps
        masks[start : start + steps] = positions < np.arange(steps)[:, None]
        weights[np.arange(features), start + positions + 1] += 1 / len(orders)
        weights[np.arange(features), start + positions] -= 1 / len(orders)
    return masks, weights


def _assembled(parts: Sequence[tuple[Masks, Matrix]], shares: Sequence[float], *, exact: bool) -> Coalitions:
    """The coalitions of all background rows; none and all are predicted only once, so they are weighted apart."""
    features = parts[0][0].shape[1]
    full, empty = np.zeros(features), np.zeros((features, len(parts)))
    masks, weights, background = [], [], []
    for place, ((told, weighted), share) in enumerate(zip(parts, shares, strict=True)):
        sizes = told.sum(axis=1)
        full += share * weighted[:, sizes == features].sum(axis=1)
        empty[:, place] = share * weighted[:, sizes == 0].sum(axis=1)
        inner = (sizes > 0) & (sizes < features)
        masks.append(told[inner])
        weights.append(share * weighted[:, inner])
        background.append(np.full(int(inner.sum()), place))
    return Coalitions(
        exact, np.concatenate(masks), np.concatenate(background), np.concatenate(weights, axis=1), full, empty
    )
