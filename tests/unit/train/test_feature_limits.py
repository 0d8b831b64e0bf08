"""How far serving may go beyond what training saw is settled at training, by the spec, and frozen into the manifest."""

import numpy as np
import pandas as pd
import pytest

from functions.train.data.features import describe_features, unseen_categories
from functions.train.data.rows import Rows
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.documents import Feature
from shared.errors import InvalidDataset
from shared.tables.reading import Column

COLUMNS = (Column(name="age", kind="numeric", nullable=False), Column(name="city", kind="categorical", nullable=True))
SPEC = 'name = "n"\nsource = "t.csv"\ntarget = "y"\n'


def rows(*cities: str | None) -> Rows:
    frame = pd.DataFrame({"age": np.linspace(10, 20, len(cities)), "city": np.array(cities, dtype=object)})
    return Rows(frame, np.zeros(len(cities)))


def described(text: str = "") -> tuple[Feature, Feature]:
    age, city = describe_features(COLUMNS, rows(*"ababab"), parse_spec((SPEC + text).encode()))
    return age, city


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (10, 20, -20, 50)),
        ('on_range = "refuse"', (10, 20, 10, 20)),
        ('[features]\nage = { kind = "numeric", min = 0 }', (0, 20, 0, 50)),
        ('[features]\nage = { kind = "numeric", min = 0, max = 25 }', (0, 25, 0, 25)),
        ('[features]\nage = { kind = "numeric", on_range = "refuse" }', (10, 20, 10, 20)),
        ('on_range = "refuse"\n[features]\nage = { kind = "numeric", max = 30, on_range = "warn" }', (10, 30, -20, 30)),
    ],
)
def test_three_ranges_beyond_what_was_seen_are_answered_unless_the_spec_sets_bounds_or_says_otherwise(
    text: str, expected: tuple[float, float, float, float]
) -> None:
    age, _ = described(text)
    assert (age.min, age.max, age.lowest, age.highest) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((0.1, 0.8), (-2.0, 2.9)),  # to floats 0.8 + 3 * (0.8 - 0.1) is 2.9000000000000004
        ((2.1, 2.8), (0.0, 4.9)),  # 8.881784197001252e-16
        ((-0.7, -0.1), (-2.5, 1.7)),
        ((1_700_000_000.0, 1_700_000_000.5), (1_699_999_998.5, 1_700_000_002.0)),
        ((1e15, 1e15 + 0.125), (1e15, 1e15 + 0.125)),  # what is rounded never cuts what was seen
        ((1e15, 1e15 + 2), (1e15 - 6, 1e15 + 8)),
        ((1.25e-9, 2.25e-9), (-1.75e-9, 5.25e-9)),
    ],
)
def test_the_limits_that_people_are_told_have_no_digits_that_only_floats_have(
    seen: tuple[float, float], expected: tuple[float, float]
) -> None:
    table = Rows(pd.DataFrame({"age": seen}), np.zeros(2))
    (age,) = describe_features(COLUMNS[:1], table, parse_spec(SPEC.encode()))
    assert (age.min, age.max) == seen
    assert (age.lowest, age.highest) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "refuse"),
        ('on_unknown = "warn"', "warn"),
        ('[features]\ncity = { kind = "categorical", on_unknown = "warn" }', "warn"),
        ('on_unknown = "warn"\n[features]\ncity = { kind = "categorical", on_unknown = "refuse" }', "refuse"),
    ],
)
def test_an_unknown_category_is_refused_unless_the_spec_says_otherwise(text: str, expected: str) -> None:
    assert described(text)[1].on_unknown == expected


@pytest.mark.parametrize("text", ['on_range = "clip"', 'on_unknown = ""', 'on_unknwon = "warn"'])
def test_another_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidDataset, match="on_"):
        parse_spec((SPEC + text).encode())


def test_a_category_that_only_rows_held_out_have_is_told() -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y")
    features = describe_features(COLUMNS, rows(*"ababab"), spec)
    assert unseen_categories(features, rows("a", None, "b")) == []
    assert unseen_categories(features, rows("c", "a", "d", "c")) == [
        "feature 'city': only rows held out have 'c', 'd'; serving refuses them; "
        'with on_unknown = "warn" in the spec it answers them with a warning'
    ]
    answered = describe_features(
        COLUMNS, rows(*"ababab"), DatasetSpec(name="n", source="t.csv", target="y", on_unknown="warn")
    )
    assert unseen_categories(answered, rows("c")) == [
        "feature 'city': only rows held out have 'c'; serving answers them with a warning"
    ]
