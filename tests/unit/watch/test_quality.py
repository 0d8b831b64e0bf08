"""The judge of a challenger's quality: few false withdrawals however often it looks, and how soon it sees a loss."""

import numpy as np
import pytest

from functions.watch.quality import LEAST_LABELS, differences, judge
from tests.bench.challenge import paired_losses, simulate


def test_a_challenger_as_good_is_hardly_ever_withdrawn_at_a_look_after_each_label() -> None:
    """At most 1 % of experiments of 5,000 labels; 300 here, 1,000 in `make bench-verdict`."""
    losses = paired_losses("equal")
    stops = simulate(losses - losses.mean(), experiments=300, labels=5000, seed=1)
    assert stops.withdrawn <= 6  # 3 expected at most; 7 or more of 300 at 1 % happen once in 30 seeds


def test_what_is_worse_is_withdrawn_while_a_plain_test_at_every_look_would_cry_wolf() -> None:
    stops = simulate(paired_losses("0.058 worse"), experiments=100, labels=5000, seed=1)
    assert stops.withdrawn == 100
    assert stops.median <= 700
    assert stops.ninety <= 1300


def test_what_is_alike_is_told_to_be_not_worse() -> None:
    rng = np.random.default_rng(1)
    assert judge(rng.normal(0.0, 0.02, 3000), 0.02).verdict == "not_worse"


def test_before_enough_labels_there_is_no_verdict() -> None:
    losses = np.full(LEAST_LABELS - 1, 0.5)
    assert judge(losses, 0.02).verdict is None
    found = judge(np.full(LEAST_LABELS, 0.5), 0.02)
    assert found.look is not None
    assert (found.verdict, found.look.labels) == ("worse", LEAST_LABELS)


def test_a_verdict_stays_whatever_comes_after_it() -> None:
    """A later look over more labels must not take it back."""
    losses = np.concatenate([np.full(100, 0.5), np.full(900, -5.0)])
    assert judge(losses, 0.02).look == judge(losses[:200], 0.02).look


def test_the_rows_are_paired_and_their_sum_is_the_difference_of_r2() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(50, 10, 400)
    champion, challenger = target + rng.normal(0, 3, 400), target + rng.normal(1, 5, 400)
    losses = differences(champion - target, challenger - target, float(target.var()))
    r2 = [1 - ((p - target) ** 2).mean() / target.var() for p in (champion, challenger)]
    assert losses.mean() == pytest.approx(r2[0] - r2[1])


@pytest.mark.parametrize("variance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_that_does_not_vary_is_refused(variance: float) -> None:
    with pytest.raises(ValueError, match="variance"):
        differences(np.ones(3), np.ones(3), variance)


def test_residuals_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="paired"):
        differences(np.ones(3), np.ones(2), 1.0)


def test_no_labels_no_verdict() -> None:
    found = judge(np.empty(0), 0.02)
    assert (found.verdict, found.look, found.course.shape) == (None, None, (0, 3))
