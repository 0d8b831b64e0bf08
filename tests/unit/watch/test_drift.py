"""The test of drift against scipy's own tests and against figures worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from functions.watch.drift import CellCounts, compare, compare_all, design_effect, silence_p
from shared.two_samples import holm, two_sample_p

REFERENCE = np.array([400.0, 250.0, 150.0])
TODAY = np.zeros(1, dtype=np.int64)


def independent_blocks(shares: np.ndarray, count: int, rows: int, run: int = 1) -> np.ndarray:
    """Counts of `count` blocks of rows asked in runs of `run` alike ones."""
    return np.random.default_rng(3).multinomial(rows // run, shares, size=count).astype(float) * run


def test_the_p_value_is_that_of_a_contingency_table() -> None:
    live = np.array([90.0, 70.0, 60.0])
    expected = stats.chi2_contingency(np.vstack([REFERENCE, live]), correction=False)[1]
    assert two_sample_p(REFERENCE, live) == pytest.approx(expected, rel=1e-12)


def test_cells_are_joined_until_each_expects_five_rows() -> None:
    reference, live = np.array([1.0, 2.0, 500.0, 300.0]), np.array([2.0, 4.0, 120.0, 100.0])
    joined = np.array(
        [[503.0, 300.0], [126.0, 100.0]]
    )  # the smaller sample expects 0.66, 1.3 and 136 in the first three
    assert two_sample_p(reference, live) == pytest.approx(stats.chi2_contingency(joined, correction=False)[1])


def test_a_rest_that_expects_too_little_joins_the_last_cell() -> None:
    reference, live = np.array([500.0, 300.0, 1.0]), np.array([120.0, 100.0, 1.0])
    joined = np.array([[500.0, 301.0], [120.0, 101.0]])
    assert two_sample_p(reference, live) == pytest.approx(stats.chi2_contingency(joined, correction=False)[1])


def test_one_cell_alone_tells_nothing() -> None:
    assert two_sample_p(np.array([800.0]), np.array([300.0])) == 1.0


def test_a_category_that_training_never_saw_is_told() -> None:
    live = np.array([200.0, 125.0, 75.0, 100.0])
    found = compare(CellCounts(np.append(REFERENCE, 0.0), live, live[None, :], TODAY))
    assert (found.alarms, found.looked) == (False, True)  # alone it has no adjusted p-value
    (found,) = compare_all({"area": CellCounts(np.append(REFERENCE, 0.0), live, live[None, :], TODAY)}).values()
    assert found.alarms
    assert found.cell == 3
    assert found.moved == pytest.approx(0.2)


def test_independent_rows_have_a_design_effect_of_about_one_and_runs_that_of_their_length() -> None:
    shares = REFERENCE / REFERENCE.sum()
    assert design_effect(independent_blocks(shares, 400, 40)) == pytest.approx(1.0, abs=0.15)
    assert design_effect(independent_blocks(shares, 400, 40, run=5)) == pytest.approx(5.0, rel=0.15)
    assert design_effect(independent_blocks(shares, 1, 40, run=5)) == 1.0
    assert design_effect(np.zeros((0, 3))) == 1.0
    assert design_effect(np.array([[5.0, 0.0], [7.0, 0.0]])) == 1.0


def test_rows_that_are_alike_on_a_day_count_for_less_in_the_days_after() -> None:
    shares = REFERENCE / REFERENCE.sum()
    by_day = independent_blocks(shares, 28, 1_000, run=20)  # each day's callers are alike ...
    blocks = np.repeat(by_day / 4, 4, axis=0)  # ... all day long
    days = np.repeat(np.arange(28), 4)
    assert CellCounts(REFERENCE, by_day[-1], blocks, days, 27).design_effect() > 10
    assert CellCounts(REFERENCE, by_day[-1], blocks, days, 0).design_effect() == 1.0, "nothing came before"


def test_a_sudden_change_after_quiet_weeks_does_not_speak_against_itself() -> None:
    """The larger it is, the surer it must be seen: blocks of the change are not compared with those of before it."""
    quiet = independent_blocks(REFERENCE / REFERENCE.sum(), 27 * 8, 125)
    changed = independent_blocks(np.array([0.0, 0.0, 1.0]), 8, 125)
    blocks, days = np.vstack([quiet, changed]), np.repeat(np.arange(28), 8)
    (found,) = compare_all({"area": CellCounts(REFERENCE, changed.sum(axis=0), blocks, days, 27)}).values()
    assert found.design_effect < 1.3
    assert found.alarms


def test_too_few_effective_rows_are_no_look() -> None:
    live = np.array([60.0, 60.0, 79.0])
    assert not compare(CellCounts(REFERENCE, live, live[None, :], TODAY)).looked
    runs = independent_blocks(np.array([0.2, 0.3, 0.5]), 28, 40, run=20)
    found = compare(CellCounts(REFERENCE, runs.sum(axis=0), runs, np.zeros(28, dtype=np.int64)))
    assert found.rows == 1120
    assert not found.looked, "1,120 rows in runs of 20 are worth about 56"


def test_a_sure_difference_that_is_small_alarms_nobody() -> None:
    live = np.array([0.47, 0.33, 0.20]) * 100_000
    (found,) = compare_all({"area": CellCounts(REFERENCE * 100, live, live[None, :], TODAY)}).values()
    assert found.adjusted is not None
    assert found.adjusted < 1e-10
    assert not found.alarms


def test_holm_is_that_of_the_textbook_and_counts_features_without_a_look() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.04], tests=4) == pytest.approx([0.04, 0.12])
    assert holm([]) == []


def test_silence_is_improbable_only_after_days_that_all_had_rows() -> None:
    assert silence_p([10, 12, 9, 11], 1.0) < 1e-4
    assert silence_p([10, 0, 9, 11], 1.0) == 1.0, "a weekday without calls is nothing new"
    assert silence_p([10, 12, 9, 11], 5.0) > 1e-2, "runs of five: twice nought is nothing unusual"
    assert silence_p([], 1.0) == 1.0
