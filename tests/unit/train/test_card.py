"""The card says what was measured."""

import numpy as np

from functions.train.candidate.card import scores
from shared import metrics


def test_scores_have_intervals_that_hold_the_truth() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for seed in range(40):
        target = generator.normal(0, 10, 200)
        predicted = target + generator.normal(0, 5, 200)
        found = scores(target, predicted, seed)
        low, high = found["rmse"].low, found["rmse"].high
        assert low is not None
        assert high is not None
        held += low <= 5 <= high
        assert found["mae"].value == metrics.mae(target, predicted)
    assert held >= 34


def test_a_constant_target_has_no_r2() -> None:
    assert set(scores(np.ones(50), np.zeros(50), 0)) == {"mae", "rmse"}
