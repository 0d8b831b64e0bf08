"""Clipping, interval, risk and band."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents import TargetRange
from shared.errors import IntegrityError
from shared.profiles import Profile
from shared.serving.assessment import MANY, Answer, Assessor, band, tier
from shared.serving.quantiles import share_below
from tests.unit.predict.promoted import ASSESSMENT, FIRST, RESIDUAL_QUANTILES, manifest

FINITE = st.floats(-100, 100)


def assessor(quantiles: tuple[float, ...] = RESIDUAL_QUANTILES, **changes: object) -> Assessor:
    profile = Profile(rows=800, numeric={}, categorical={}, residual_quantiles=quantiles)
    return Assessor(manifest(FIRST, {}, **changes), profile)


@pytest.mark.parametrize(
    ("predicted", "prediction", "low", "high"),
    [(66, 66, 44, 87), (10, 10, 0, 31), (95, 95, 73, 100), (-30, 0, 0, 21), (130, 100, 78, 100)],
)
def test_prediction_and_interval_stay_within_the_target_range(
    predicted: float, prediction: float, low: float, high: float
) -> None:
    outcome = assessor().assess(predicted)
    assert (outcome.prediction, outcome.interval.low, outcome.interval.high) == (prediction, low, high)
    assert outcome.interval.level == 0.9


def test_an_open_target_range_clips_nothing() -> None:
    outcome = assessor(target_range=TargetRange()).assess(1000)
    assert (outcome.prediction, outcome.interval.high) == (1000, 1021)


@pytest.mark.parametrize(
    ("threshold", "share"), [(-41, 0.0), (-40, 0.0), (0, 0.5), (20, 0.75), (20.4, 0.755), (40, 1.0), (41, 1.0)]
)
def test_the_share_below_a_threshold_is_interpolated(threshold: float, share: float) -> None:
    assert share_below(threshold, RESIDUAL_QUANTILES) == pytest.approx(share)


def test_residuals_equal_to_the_threshold_are_not_below_it() -> None:
    assert share_below(0.0, (-1.0, 0.0, 0.0, 0.0, 1.0)) == pytest.approx(0.25)


@given(st.lists(FINITE, min_size=200, max_size=400), FINITE)
def test_the_share_is_that_of_the_residuals_themselves(residuals: list[float], threshold: float) -> None:
    quantiles = tuple(np.quantile(residuals, np.linspace(0, 1, 101)).tolist())
    below, at_most = np.mean(np.less(residuals, threshold)), np.mean(np.less_equal(residuals, threshold))
    assert below - 0.02 <= share_below(threshold, quantiles) <= at_most + 0.02


@given(st.lists(FINITE, min_size=2, max_size=50), FINITE, FINITE)
def test_the_share_never_falls_as_the_threshold_rises(residuals: list[float], one: float, other: float) -> None:
    quantiles = tuple(sorted(residuals))
    assert 0 <= share_below(min(one, other), quantiles) <= share_below(max(one, other), quantiles) <= 1


@pytest.mark.parametrize(("probability", "name"), [(0.39, "low"), (0.40, "medium"), (0.69, "medium"), (0.70, "high")])
def test_tiers_begin_at_their_thresholds(probability: float, name: str) -> None:
    assert tier(probability, ASSESSMENT) == name


@pytest.mark.parametrize(("prediction", "name"), [(49.9, "low"), (50, "medium"), (69.9, "medium"), (70, "high")])
def test_bands_begin_at_their_thresholds(prediction: float, name: str) -> None:
    assert band(prediction, ASSESSMENT) == name


def test_a_lower_prediction_is_a_higher_risk() -> None:
    outcomes = [assessor().assess(predicted) for predicted in (90, 66, 50, 40, 20)]
    assert [outcome.risk.probability for outcome in outcomes if outcome.risk] == [0.0, 0.3, 0.5, 0.625, 0.875]
    assert [outcome.risk.tier for outcome in outcomes if outcome.risk] == ["low", "low", "medium", "medium", "high"]


def test_a_target_without_a_notion_of_risk_has_neither_risk_nor_band() -> None:
    outcome = assessor(assessment=None).assess(66)
    assert outcome == Answer(66, outcome.interval)


@pytest.mark.parametrize("predicted", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_is_a_fault_not_an_answer(predicted: float) -> None:
    with pytest.raises(IntegrityError, match="not finite"):
        assessor().assess(predicted)


@pytest.mark.parametrize("quantiles", [(), (1.0,), (2.0, 1.0), (0.0, float("nan"))])
def test_residuals_that_cannot_tell_a_probability_are_refused(quantiles: tuple[float, ...]) -> None:
    with pytest.raises(IntegrityError, match="residual quantiles"):
        assessor(quantiles)


@given(
    st.lists(st.floats(-500, 500), min_size=MANY, max_size=MANY + 40),
    st.sampled_from([RESIDUAL_QUANTILES, (-3.0, -3.0, 0.0, 0.0, 0.1, 7.0), (0.0, 0.0), (-1e-9, 1e-9)]),
    st.booleans(),
)
def test_many_rows_are_assessed_as_each_is_to_the_last_digit(
    predicted: list[float], quantiles: tuple[float, ...], assessed: bool
) -> None:
    changes: dict[str, object] = {} if assessed else {"assessment": None, "target_range": TargetRange()}
    one = assessor(quantiles, **changes)
    numbers = [*predicted, -0.0, *(50.0 - quantile for quantile in quantiles)]
    assert repr(one.assess_all(np.array(numbers))) == repr([one.assess(number) for number in numbers])


@pytest.mark.parametrize("rows", [1, MANY + 1])
def test_among_many_rows_one_that_is_not_finite_is_refused(rows: int) -> None:
    with pytest.raises(IntegrityError):
        assessor().assess_all(np.array([*[50.0] * (rows - 1), math.nan]))
