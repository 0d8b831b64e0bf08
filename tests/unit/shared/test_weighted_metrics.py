"""Scores where rows count differently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from shared.arrays import Vector
from shared.metrics import R2, SCORINGS, Scoring, has_r2

SCIKIT_LEARNS = {"r2": r2_score, "mae": mean_absolute_error, "rmse": root_mean_squared_error}
ROWS = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3)), min_size=2, max_size=40
).filter(lambda rows: np.ptp([target for target, _, _ in rows]) > 1e-3)


@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
@given(rows=ROWS)
def test_a_score_is_that_of_scikit_learn_with_the_same_weights(
    scoring: Scoring, rows: list[tuple[float, float, float]]
) -> None:
    target, predicted, weights = np.array(rows).T
    expected = SCIKIT_LEARNS[scoring.name](target, predicted, sample_weight=weights)
    assert scoring.score(target, predicted, weights) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
@given(rows=ROWS, repeats=st.lists(st.integers(0, 5), min_size=40, max_size=40))
def test_a_whole_weight_counts_as_so_many_rows_and_a_weight_of_one_changes_nothing(
    scoring: Scoring, rows: list[tuple[float, float, float]], repeats: list[int]
) -> None:
    target, predicted, _ = np.array(rows).T
    times = np.array(repeats[: len(target)])
    repeated, guesses = np.repeat(target, times), np.repeat(predicted, times)
    weights = times.astype(np.float64)
    assert has_r2(target, weights) == has_r2(repeated)
    if has_r2(repeated):
        assert scoring.score(target, predicted, weights) == pytest.approx(scoring.score(repeated, guesses, None))
        assert scoring.spread(target, weights) == pytest.approx(scoring.spread(repeated))
    assert scoring.score(target, predicted, np.ones(len(target))) == scoring.score(target, predicted, None)


@pytest.mark.parametrize("unit", [1e-200, 1e-170, 1e160, 1e300])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 1.0, 0.0])])
def test_r2_is_the_same_in_units_whose_squares_no_float_holds(unit: float, weights: Vector | None) -> None:
    target, predicted = np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.1, 2.0, 3.8, 9.1])
    expected = R2.score(target, predicted, weights)
    assert R2.score(target * unit, predicted * unit, weights) == pytest.approx(expected)


def test_a_score_of_rows_of_which_none_counts_is_undefined() -> None:
    target, nothing = np.array([1.0, 2.0, 4.0]), np.zeros(3)
    assert all(np.isnan(scoring.score(target, target, nothing)) for scoring in SCORINGS.values())
    assert np.isnan(R2.score(np.array([1.0, 2.0, 2.0]), target, np.array([0.0, 1.0, 1.0]))), (
        "those that count are alike"
    )
