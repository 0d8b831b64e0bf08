"""Shapley values of small games, judged by their definition: the mean over every order in which features may join."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.serving.coalitions import BUDGET, SAMPLED_CELLS, Coalitions, background_rows, coalitions, is_exact

Vector = NDArray[np.float64]


def game(seed: int, features: int, rows: int) -> Vector:
    """A random value for every coalition and background row (rows, 2^d); that of all features is one number."""
    values = np.random.default_rng(seed).normal(size=(rows, 2**features))
    values[:, -1] = values[0, -1]
    return values


def place(mask: NDArray[np.bool_]) -> int:
    return int(sum(2**bit for bit, taken in enumerate(mask) if taken))


def by_definition(values: Vector, shares: Vector) -> Vector:
    features = int(np.log2(values.shape[1]))
    found = np.zeros(features)
    for order in permutations(range(features)):
        joined = 0
        for feature in order:
            found[feature] += shares @ (values[:, joined | 1 << feature] - values[:, joined])
            joined |= 1 << feature
    return found / factorial(features)


def weighted(plan: Coalitions, values: Vector) -> Vector:
    asked = np.array([values[row, place(mask)] for mask, row in zip(plan.masks, plan.background, strict=True)])
    found: Vector = plan.full * values[0, -1] + plan.empty @ values[:, 0] + plan.weights @ asked
    return found


@given(seed=st.integers(0, 10_000), features=st.integers(1, 6), rows=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_all_coalitions_give_what_the_definition_gives(seed: int, features: int, rows: int) -> None:
    values = game(seed, features, rows)
    shares = np.random.default_rng(seed).dirichlet(np.ones(rows))
    plan = coalitions(features, shares.tolist())
    assert plan.exact
    assert np.allclose(weighted(plan, values), by_definition(values, shares), atol=1e-12)


@pytest.mark.parametrize(("features", "rows"), [(7, 50), (8, 40), (10, 20)])
def test_pairs_of_orders_add_up_and_tell_interactions_of_two_exactly(features: int, rows: int) -> None:
    generator = np.random.default_rng(3)
    alone, joint = generator.normal(size=features), generator.normal(size=(features, features))
    masks = (np.arange(2**features)[:, None] >> np.arange(features)) & 1
    values = np.tile(masks @ alone + np.einsum("ij,jk,ik->i", masks, np.triu(joint, 1), masks), (rows, 1))
    shares = np.full(rows, 1 / rows)
    plan = coalitions(features, shares.tolist())
    assert not plan.exact
    found = weighted(plan, values)
    assert found.sum() == pytest.approx(values[0, -1], abs=1e-9)
    pairs = np.triu(joint, 1)
    assert np.allclose(found, alone + (pairs.sum(axis=0) + pairs.sum(axis=1)) / 2, atol=1e-9)


@pytest.mark.parametrize("features", [1, 2, 5, 6, 7, 20, 60, 300, 1_000])
def test_the_budget_is_kept_by_as_many_background_rows_as_it_allows(features: int) -> None:
    rows = background_rows(features, 50)
    plan = coalitions(features, [1 / rows] * rows)
    assert 1 <= rows <= 50
    assert len(plan.masks) <= max(BUDGET, 0 if plan.exact else SAMPLED_CELLS // features)
    assert plan.exact == is_exact(features, rows)
    assert (plan.full + plan.empty.sum(axis=1) + plan.weights.sum(axis=1)) == pytest.approx(0, abs=1e-9)


def test_the_same_model_asks_the_same_coalitions_every_time() -> None:
    one, other = coalitions(20, [0.5, 0.5]), coalitions(20, [0.5, 0.5])
    assert (one.masks == other.masks).all()
    assert (one.weights == other.weights).all()
