"""What is said of the winner is computed right: importance, groups, coverage."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from functions.train.candidate.diagnosis import AnswerRules, coverage, diagnose
from functions.train.candidate.groups import MISSING, groups, share
from functions.train.candidate.plots import importance as importance_plot
from functions.train.candidate.plots import write_ticks_plainly
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.graph.export import export
from functions.train.search.zoo import MODEL_ZOO
from shared.dataset import DatasetSpec
from shared.documents import Interval, TargetRange
from shared.model_runtime import Model
from shared.tables.reading import Column
from tests.unit.train.test_export import fitted

COLUMNS = (Column("strong", "numeric", True), Column("idle", "numeric", False), Column("word", "categorical", True))
INTERVAL = Interval(level=0.9, low_residual=-1.0, high_residual=1.0)


def table() -> Rows:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"strong": generator.normal(size=300), "idle": generator.normal(size=300)})
    frame["word"] = np.array(["a", "b"], dtype=object)[generator.integers(0, 2, 300)]
    target = 5 * frame["strong"] + (frame["word"] == "a") + generator.normal(scale=0.1, size=300)
    frame.loc[:4, "strong"] = np.nan
    frame.loc[:2, "word"] = np.nan
    return Rows(frame, target.to_numpy())


def test_the_feature_that_matters_is_the_important_one() -> None:
    rows = table()
    features = describe_features(COLUMNS, rows, DatasetSpec(name="n", source="t.csv", target="y"))
    model = Model(export(fitted(MODEL_ZOO[1], (rows.features, rows.target, COLUMNS))), features)
    found = diagnose(model, features, rows, AnswerRules(INTERVAL, TargetRange()), 0)
    assert found["importance"][0]["feature"] == "strong"
    assert found["importance"][0]["mean"] > 1
    assert abs(next(one["mean"] for one in found["importance"] if one["feature"] == "idle")) < 0.01
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_groups_count_every_row_once_by_feature_and_small_ones_have_no_r2() -> None:
    rows = table()
    features = describe_features(COLUMNS, rows, DatasetSpec(name="n", source="t.csv", target="y"))
    found = groups(features, rows, rows.target - 2)
    for feature in features:
        assert sum(group["rows"] for group in found if group["feature"] == feature.name) == 300
    missing = next(group for group in found if group["feature"] == "word" and group["group"] == MISSING)
    assert (missing["rows"], missing["r2"], missing["mae"], missing["bias"]) == (
        3,
        None,
        pytest.approx(2),
        pytest.approx(2),
    )
    assert len([group for group in found if group["feature"] == "idle"]) == 4


def test_small_groups_are_joined_and_the_worst_served_come_first() -> None:
    words = ["often"] * 60 + ["usual"] * 60 + [f"rare {number}" for number in range(25)]
    frame = pd.DataFrame({"word": pd.Series(words, dtype=object)})
    target = np.arange(len(words), dtype=float)
    error = np.array([9.0 if word.startswith("rare") else 3.0 if word == "usual" else 1.0 for word in words])
    rows = Rows(frame, target)
    (feature,) = describe_features(
        (Column("word", "categorical", False),), rows, DatasetSpec(name="n", source="t.csv", target="y")
    )
    found = groups([feature], rows, target - error)
    assert [(group["group"], group["rows"]) for group in found] == [
        ("(25 groups of fewer than 10 rows)", 25),
        ("usual", 60),
        ("often", 60),
    ]
    few = groups([feature], Rows(frame[:123], target[:123]), (target - error)[:123])
    assert [group["group"] for group in few] == ["usual", "often", "(3 groups of fewer than 10 rows)"]  # though worse


def test_a_feature_with_one_group_is_left_out_unless_the_spec_asks_for_it() -> None:
    frame = pd.DataFrame({"id": pd.Series([f"one {number}" for number in range(60)], dtype=object)})
    rows = Rows(frame, np.arange(60.0))
    features = describe_features(
        (Column("id", "categorical", False),), rows, DatasetSpec(name="n", source="t.csv", target="y")
    )
    assert groups(features, rows, rows.target + 1) == []
    (asked,) = groups(features, rows, rows.target + 1, slices=("id",))
    assert (asked["group"], asked["rows"]) == ("(60 groups of fewer than 10 rows)", 60)


def test_coverage_is_that_of_the_interval_as_it_is_served_clipped() -> None:
    target, predicted = np.array([0.0, 1.0, 2.0, 9.0]), np.array([0.5, 1.5, 2.5, 3.5])
    for bounds, expected in ((TargetRange(), 0.75), (TargetRange(min=0.5), 0.5)):
        low, high = AnswerRules(INTERVAL, bounds).ends(predicted, {})
        assert coverage(predicted, (target >= low) & (target <= high), 0.9)["share"] == expected


def test_a_group_has_intervals_around_its_figures_and_a_dropped_column_has_groups_too() -> None:
    rows = table()
    features = describe_features(COLUMNS, rows, DatasetSpec(name="n", source="t.csv", target="y"))
    others = pd.DataFrame({"dropped": ["x", np.nan, "y"] * 100})
    wider = Rows(rows.features, rows.target, others)
    generator = np.random.default_rng(5)
    predicted = rows.target - 2 + generator.normal(size=300)
    inside = np.arange(300) % 10 > 0
    at_risk, told = rows.target < 0, rows.target < 1
    found = groups(features, wider, predicted, inside=inside, risk=(at_risk, told), slices=("dropped", "word"))
    (entry,) = [group for group in found if (group["feature"], group["group"]) == ("dropped", "x")]
    assert entry["rows"] == 100
    assert entry["bias_within"][0] < 2 < entry["bias_within"][1]
    assert entry["mae_within"][0] < entry["mae"] < entry["mae_within"][1]
    assert entry["covered"]["low"] < 0.9 < entry["covered"]["high"]
    assert entry["missed"]["value"] == 0
    assert entry["alarmed"]["value"] > 0
    assert len([group for group in found if group["feature"] == "word"]) == 3  # a feature is grouped once
    few = next(group for group in found if (group["feature"], group["group"]) == ("word", MISSING))
    assert (few["mae_within"], few["bias_within"]) == (None, None)


def test_the_interval_of_a_share_is_wilson_s() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263 and 15 of 148."""
    for hits, rows, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        found = share(np.arange(rows) < hits)
        assert found is not None
        assert (found["low"], found["high"]) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert share(np.zeros(0, dtype=bool)) is None


@pytest.mark.parametrize("name", ["$x^{$", "x" * 200, "<b>", "a_b"])
def test_any_name_of_a_feature_can_be_drawn(name: str) -> None:
    assert importance_plot([{"feature": name, "mean": 0.1, "std": 0.0}]).startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 400_000.0, 1_000_000.0], ["0", "200,000", "400,000", "600,000", "800,000", "1,000,000"]),
        ([1890.0, 2020.0], ["1900", "2000"]),
        ([-40_000.0, 20_000.0], ["\N{MINUS SIGN}40,000", "\N{MINUS SIGN}20,000", "0", "20,000"]),
        ([0.1, 0.3], ["0.1", "0.15", "0.2", "0.25", "0.3"]),
        ([2e-9, 4e-9], ["2e\N{MINUS SIGN}09", "4e\N{MINUS SIGN}09"]),
    ],
    ids=["money", "years", "losses", "shares", "billionths"],
)
def test_ticks_are_written_as_people_write_numbers(values: list[float], expected: list[str]) -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot(values, values)
    write_ticks_plainly(figure)
    figure.draw_without_rendering()
    for axis in (axes.xaxis, axes.yaxis):
        assert set(expected) <= {label.get_text() for label in axis.get_ticklabels()}
        assert axis.get_offset_text().get_text() == ""


def test_ticks_that_only_many_digits_tell_apart_stay_different() -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot([1e9, 1e9 + 3], [0, 1])
    write_ticks_plainly(figure)
    figure.draw_without_rendering()
    shown = [label.get_text() for label in axes.xaxis.get_ticklabels()]
    assert len(set(shown)) == len(shown)
