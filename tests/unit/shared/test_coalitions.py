"""Shapley values of small games, judged by their definition: the mean over every order in which features may join."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.serving.coalitions import (
    BUDGET,
    CELLS,
    MOST_KEPT,
    ROWS_PER_FEATURE,
    Coalitions,
    _walks,
    background_rows,
    coalitions,
    every_coalition,
    is_exact,
    most_coalitions,
)

Vector = NDArray[np.float64]


def game(seed: int, features: int) -> Vector:
    """A random value for every coalition (2^d,)."""
    values: Vector = np.random.default_rng(seed).normal(size=2**features)
    return values


def place(mask: NDArray[np.bool_]) -> int:
    return int(sum(2**bit for bit, taken in enumerate(mask) if taken))


def by_definition(values: Vector) -> Vector:
    features = int(np.log2(len(values)))
    found = np.zeros(features)
    for order in permutations(range(features)):
        joined = 0
        for feature in order:
            found[feature] += values[joined | 1 << feature] - values[joined]
            joined |= 1 << feature
    return found / factorial(features)


def weighted(plan: Coalitions, values: Vector) -> Vector:
    asked = np.array([values[place(mask)] for mask in plan.masks])
    found: Vector = plan.full * values[-1] + plan.empty * values[0]
    return found + plan.weights @ asked if len(asked) else found


@given(seed=st.integers(0, 10_000), features=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_all_coalitions_give_what_the_definition_gives(seed: int, features: int) -> None:
    values = game(seed, features)
    assert is_exact(features, 2**features - 2)
    plan = coalitions(features, 2**features - 2, seed)
    assert len(plan.masks) == 2**features - 2
    assert np.allclose(weighted(plan, values), by_definition(values), atol=1e-12)


@given(seed=st.integers(0, 10_000), features=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_weights_of_every_coalition_are_those_of_the_definition(seed: int, features: int) -> None:
    values = game(seed, features)
    masks, weights = every_coalition(features)
    assert [place(mask) for mask in masks] == list(range(2**features))
    assert np.allclose(weights @ values, by_definition(values), atol=1e-12)


@pytest.mark.parametrize(
    ("features", "most"), [(4, 13), (7, 125), (8, 160), (10, 320), (13, 98), (20, 64), (30, 200), (60, 400), (70, 500)]
)
def test_some_coalitions_add_up_and_tell_interactions_of_two_exactly(features: int, most: int) -> None:
    """By regression and by walks alike: the complement of every coalition is among them."""
    generator = np.random.default_rng(3)
    alone, joint = generator.normal(size=features), np.triu(generator.normal(size=(features, features)), 1)
    for place_of_row in range(20):
        plan = coalitions(features, most, place_of_row)
        masks = plan.masks.astype(float)
        values = masks @ alone + np.einsum("ij,jk,ik->i", masks, joint, masks)
        found = plan.full * (alone.sum() + joint.sum()) + plan.weights @ values
        assert not is_exact(features, most)
        assert len(masks) <= most
        assert np.allclose(found, alone + (joint.sum(axis=0) + joint.sum(axis=1)) / 2, atol=1e-9)


def test_some_coalitions_are_right_on_average_over_the_background_rows() -> None:
    """A game of three that no pair of complements tells: each row errs, and their mean comes near.

    A regression over few coalitions has a small bias: a twentieth of the effect is allowed for it.
    """
    features, most = 9, 60
    masks = (np.arange(2**features)[:, None] >> np.arange(features)) & 1
    values = masks[:, :3].prod(axis=1).astype(float)
    told = np.array([weighted(coalitions(features, most, row), values) for row in range(400)])
    expected = np.array([1 / 3] * 3 + [0.0] * 6)
    assert np.abs(told - expected).max() > 0.1
    assert np.allclose(told.mean(axis=0), expected, atol=1 / 60)


@pytest.mark.parametrize("features", [8, 10, 13])
def test_a_regression_errs_less_than_walks_with_as_many_coalitions(features: int) -> None:
    """Of a game in which every feature joins with every other: a step of their sum, as a tree of them has."""
    generator = np.random.default_rng(7)
    masks = (np.arange(2**features)[:, None] >> np.arange(features)) & 1
    most = ROWS_PER_FEATURE * features + 40
    errors: dict[bool, list[float]] = {True: [], False: []}
    for row in range(30):
        values = (masks @ generator.normal(size=features) > 0.5).astype(float)
        exact = coalitions(features, 2**features, 0)
        pairs = max(1, most // (2 * (features - 1)))
        orders = [generator.permutation(features) for _ in range(pairs)]
        for regressed, plan in (
            (True, coalitions(features, most, row)),
            (False, _walks([*orders, *(order[::-1] for order in orders)])),
        ):
            off = weighted(plan, values) - weighted(exact, values)
            errors[regressed].append(float(np.square(off).sum()))
    assert np.mean(errors[True]) < 0.9 * np.mean(errors[False])


@pytest.mark.parametrize("features", [1, 2, 5, 6, 7, 20, 60, 300, 1_000])
def test_the_budget_is_kept_by_as_many_background_rows_as_it_allows(features: int) -> None:
    rows = background_rows(features, 50)
    most = most_coalitions(features, rows)
    plans = [coalitions(features, most, row) for row in range(min(rows, 3))]
    assert 1 <= rows <= 50
    for plan in plans:
        assert len(plan.masks) * rows <= max(BUDGET, CELLS // features)
        assert plan.full.sum() == pytest.approx(1, abs=1e-9)
        assert (plan.full + plan.empty + plan.weights.sum(axis=1)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("features", [20, MOST_KEPT + 1])
def test_the_same_model_asks_the_same_coalitions_every_time_and_others_of_each_background_row(features: int) -> None:
    one, again, other = coalitions(features, 200, 1), coalitions(features, 200, 1), coalitions(features, 200, 2)
    assert (one.masks == again.masks).all()
    assert (one.weights == again.weights).all()
    assert (one.masks != other.masks).any()
