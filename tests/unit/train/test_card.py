"""The card says what was measured."""

import numpy as np
import pytest

from functions.train.candidate.card import scores
from shared import layout, metrics
from shared.card import Card
from shared.card_page import card_page
from shared.codec import decode
from shared.store import Store
from tests.unit.train.test_pipeline import file_of, trained

__all__ = ["trained"]


def test_a_run_has_its_card_twice_and_both_say_the_same(trained: tuple[Store, object]) -> None:
    store, summary = trained
    run_id = summary.run_id  # type: ignore[attr-defined]
    found = decode(file_of(store, run_id, layout.CARD), Card, layout.CARD)  # type: ignore[arg-type]
    assert found.run_id == run_id
    assert found.scores["r2"].value == pytest.approx(summary.holdout_r2, abs=1e-9)  # type: ignore[attr-defined]
    assert found.leading[0].feature == "lunch"
    assert found.slices
    assert any("does not use" in limit and "reading_score" in limit for limit in found.limits)
    assert file_of(store, run_id, layout.CARD_PAGE) == card_page(found)  # type: ignore[arg-type]


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
