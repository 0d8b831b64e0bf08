"""The rows that stand for the training rows."""

import numpy as np
import pandas as pd
import pytest

from functions.train.candidate.background import MOST_ROWS, background_document, gower, k_medoids
from functions.train.data.rows import Rows


def rows(frame: pd.DataFrame) -> Rows:
    return Rows(frame, np.zeros(len(frame)))


def mixed(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    words = np.array(["a", "b", np.nan], dtype=object)[generator.integers(0, 3, count)]
    numbers = np.where(generator.random(count) < 0.1, np.nan, generator.lognormal(10, 2, count))
    return pd.DataFrame({"income": numbers, "word": words, "same": 1.0})


def test_they_are_rows_of_the_training_side_and_stand_for_all_of_it() -> None:
    frame = mixed(700)
    found = background_document(rows(frame), additive=True, seed=1)
    known = {tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)}
    assert {tuple(row.values()) for row in found.rows} <= known
    assert len(found.rows) == MOST_ROWS
    assert sum(found.counts) == 700
    assert list(found.counts) == sorted(found.counts, reverse=True)
    assert found == background_document(rows(frame), additive=True, seed=1)


def test_of_few_different_rows_each_is_taken_once_with_its_count() -> None:
    frame = pd.DataFrame({"word": ["a"] * 30 + ["b"] * 10 + [None] * 5})
    found = background_document(rows(frame), additive=False, seed=1)
    assert [(row["word"], count) for row, count in zip(found.rows, found.counts, strict=True)] == [
        ("a", 30),
        ("b", 10),
        (None, 5),
    ]


@pytest.mark.parametrize(("features", "expected"), [(1, 50), (20, 50), (60, 16), (300, 3), (2_000, 1)])
def test_for_many_features_there_are_fewer(features: int, expected: int) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(200, features)), columns=list(map(str, range(features))))
    assert len(background_document(rows(frame), additive=False, seed=1).rows) == expected


def test_they_are_nearer_to_all_rows_than_rows_drawn_at_random() -> None:
    distances = gower(mixed(600))
    generator = np.random.default_rng(2)
    chosen = k_medoids(distances, 20, np.random.default_rng(3))
    random = [distances[:, generator.choice(600, 20, replace=False)].min(axis=1).mean() for _ in range(50)]
    assert distances[:, chosen].min(axis=1).mean() < 0.8 * min(random)


def test_one_row_very_far_away_does_not_decide_which_rows_are_alike() -> None:
    distances = gower(pd.DataFrame({"income": [1.0, 2.0, 3.0, 1e12]}))
    assert distances[0, 1] == pytest.approx(distances[2, 3])
    assert (np.diag(distances) == 0).all()
