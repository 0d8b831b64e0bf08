"""Bins of numbers: about equally filled, one for each value of a number of few values, every number in exactly one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.histogram import counted, histogram


def test_a_measurement_gets_bins_of_about_equally_many() -> None:
    values = np.random.default_rng(1).normal(size=1_000)
    made = histogram(values)
    assert made.counts[0] == 1, "the smallest has a bin of its own, so that what is smaller is seen"
    assert set(made.counts[1:]) <= {49, 50, 51}
    assert made.uppers[-1] == values.max()


def test_a_number_of_few_values_gets_a_bin_for_each() -> None:
    made = histogram(np.array([0.0, 1.0, 1.0, 0.0, 0.0, 2.0] * 50))
    assert made.uppers == (0.0, 1.0, 2.0)
    assert made.counts == (150, 100, 50)


def test_numbers_beyond_what_was_seen_are_told_apart() -> None:
    below, bins, above = counted(np.array([-1.0, 0.0, 0.5, 2.0, 2.1]), np.array([0.0, 1.0, 2.0]))
    assert (below, bins.tolist(), above) == (1, [1, 1, 1], 1)


def test_nothing_seen_is_no_bin() -> None:
    assert histogram(np.array([])).uppers == ()
    assert counted(np.array([1.0]), np.array([]))[0] == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.lists(st.floats(-2e6, 2e6)))
def test_every_number_is_in_one_bin(trained: list[float], live: list[float]) -> None:
    made = histogram(np.array(trained))
    assert sum(made.counts) == len(trained)
    below, bins, above = counted(np.array(live), np.array(made.uppers))
    assert below + bins.sum() + above == len(live)
