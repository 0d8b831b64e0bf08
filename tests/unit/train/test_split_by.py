"""Splits by time and by group: the newest rows and whole groups are held out, and the folds keep to the same."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.train.candidate.selection import Finish
from functions.train.data.features import describe_features
from functions.train.data.split import fold_parts, held_out, newest
from functions.train.search.folds import make_folds
from functions.train.search.search import SearchPlan, out_of_fold
from functions.train.search.searched import Candidate, Searched
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.stages import split
from shared.dataset import DatasetSpec, FeatureSpec, SplitSpec, TuningSpec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

ROWS = 300


def spec_of(**split: Any) -> DatasetSpec:
    return DatasetSpec(name="n", source="t.csv", target="y", split=SplitSpec(**split), tuning=TuningSpec(folds=4))


def table_of(spec: DatasetSpec, days: int = 60, customers: int = 40) -> Table:
    rows = [
        f"2024-{1 + d // 28:02d}-{1 + d % 28:02d},c{i * 7 % customers},{i % 13},{i * 0.5}"
        for i, d in enumerate((i * 37) % days for i in range(ROWS))
    ]
    return read_table("\n".join(["day,customer,a,y", *rows]).encode(), spec)


def test_by_time_the_newest_rows_are_held_out_and_folds_go_forward() -> None:
    spec = spec_of(time="day")
    table = table_of(spec)
    assert table.times is not None
    out = held_out(table, 0.2, 42)
    assert out.mean() == pytest.approx(0.2, abs=0.01)
    assert table.times[~out].max() < table.times[out].min()
    times, parts = table.times[~out], fold_parts(table, spec)
    assert parts is not None
    assert len(parts) == 4
    for train, test in parts:
        assert times[train].max() < times[test].min()
    sizes = [len(test) for _, test in parts]
    assert max(sizes) < 1.5 * min(sizes)
    assert "day" in table.features


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.floats(0.05, 0.5))
def test_no_moment_is_divided_and_none_is_the_only_one(moments: list[int], share: float) -> None:
    times = np.array(moments, dtype=float)
    out = newest(times, share)
    assert out.any() == (len(set(moments)) > 1)
    if out.any():
        assert not out.all()
        assert times[~out].max() < times[out].min()
        others = [times >= moment for moment in set(moments) if moment > min(moments)]
        assert abs(out.mean() - share) == pytest.approx(min(abs(other.mean() - share) for other in others))


def test_a_group_is_on_one_side_and_in_one_fold_and_is_no_feature_unless_asked_for() -> None:
    spec = spec_of(group="customer")
    table = table_of(spec)
    out = held_out(table, 0.2, 42)
    groups = np.array(table.contents)
    assert set(groups[out]).isdisjoint(groups[~out])
    assert 0 < out.mean() < 0.5
    parts = fold_parts(table, spec)
    assert parts is not None
    training = groups[~out]
    for train, test in parts:
        assert set(training[train]).isdisjoint(training[test])
    assert sorted(row for _, test in parts for row in test) == list(range(len(training)))
    assert (list(table.features), table.dropped) == (["day", "a"], ("customer",))
    wanted = DatasetSpec(
        name="n", source="t.csv", target="y", split=spec.split, features={"customer": FeatureSpec(kind="categorical")}
    )
    assert "customer" in table_of(wanted).features


def test_without_either_the_folds_are_any() -> None:
    spec = spec_of()
    assert fold_parts(table_of(spec), spec) is None


def test_rows_that_no_fold_tests_have_no_prediction() -> None:
    spec = spec_of(time="day")
    table = table_of(spec)
    training, _ = split(table, spec)
    parts = fold_parts(table, spec)
    folds = make_folds(training.features, training.target, table.columns, 4, 42, parts)
    ridge = next(entry for entry in MODEL_ZOO if entry.name == "Ridge")
    found = out_of_fold(ridge, {"alpha": 1.0}, folds, SearchPlan(spec.tuning, 42))
    tested = {int(row) for fold in folds for row in fold.test_rows}
    assert set(np.flatnonzero(np.isfinite(found)).tolist()) == tested
    assert 0.7 < len(tested) / len(training.target) < 0.9


@pytest.mark.parametrize(
    ("split", "shape", "sentence"),
    [
        ({"group": "customer"}, {"customers": 3}, "'customer' has 3 groups among the rows to train on; at least 4"),
        ({"time": "day"}, {"days": 4}, "different moments among the rows to train on; at least 5"),
        ({"time": "customer"}, {}, "split.time: 'customer' holds neither dates nor numbers"),
        ({"time": "month"}, {}, "split.time names 'month', which the table does not have"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(split: dict[str, Any], shape: dict[str, int], sentence: str) -> None:
    spec = spec_of(**split)
    with pytest.raises(InvalidDataset) as refused:
        fold_parts(table_of(spec, **shape), spec)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('time = "a"\ngroup = "b"', "split.key or split.ignore, split.group and split.time exclude each other"),
        ('key = "a"\ntime = "b"', "exclude each other"),
        ('time = "y"', "split: 'y' is the target"),
    ],
)
def test_a_split_of_two_minds_is_refused(lines: str, sentence: str) -> None:
    with pytest.raises(InvalidDataset, match=sentence):
        parse_spec(f'name = "n"\nsource = "t.csv"\ntarget = "y"\n[split]\n{lines}'.encode())


def weighted_table(spec: DatasetSpec) -> Table:
    """Rows of two truths; the weight says which to believe."""
    rows = [f"{i % 29},{(0.001, 1)[i % 2]},{'ab'[i % 3 == 0]},{(i % 29) * (1 if i % 2 else -1)}" for i in range(ROWS)]
    return read_table("\n".join(["x,believed,b,y", *rows]).encode(), spec)


@pytest.mark.parametrize("entry", [entry for entry in MODEL_ZOO if entry.selectable], ids=lambda entry: entry.name)
def test_rows_count_by_their_weight_in_every_algorithm_that_takes_one(entry: Algorithm) -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", weight="believed", tuning=TuningSpec(folds=3))
    table = weighted_table(spec)
    assert (list(table.features), table.dropped) == (["x", "b"], ("believed",))
    training, held = split(table, spec)
    assert training.weights is not None
    folds = make_folds(training.features, training.target, table.columns, 3, 42, None, training.weights)
    params: dict[str, Any] = {entry.rounds: 40} if entry.rounds else {}
    settings = {"alpha": 0.01, "min_samples_leaf": 10}
    params |= {name: value for name, value in settings.items() if name in entry.space}
    outside = out_of_fold(entry, params, folds, SearchPlan(spec.tuning, 42))
    believed = training.weights > 1
    follows = np.corrcoef(outside[believed], training.target[believed])[0, 1] > 0.9
    assert follows == (entry.name != "KNN")
    features = describe_features(table.columns, training, spec)
    searched = Searched(entry, candidates=[Candidate("random", params, (1.0,), (1.0,), 0.1)])
    result = Finish(table.columns, features, training, held, 42)(searched)
    assert result.pipeline is not None, result.error
    refitted = np.ravel(pickle.loads(result.pipeline).predict(training.features))  # noqa: S301 (made a line above)
    assert (np.corrcoef(refitted[believed], training.target[believed])[0, 1] > 0.9) == follows


@pytest.mark.parametrize("cell", ["", "-1", "much", "nan", "inf", "1e999"])
def test_a_weight_that_is_none_is_refused(cell: str) -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", weight="w")
    rows = [f"{i % 29},{cell if i == 3 else 1},{i}" for i in range(ROWS)]
    with pytest.raises(InvalidDataset, match=r"weight 'w' must be a number of at least 0, .*; it is not in line 5"):
        read_table("\n".join(["x,w,y", *rows]).encode(), spec)


def weighed(weights: list[str]) -> Table:
    spec = DatasetSpec(name="n", source="t.csv", target="y", weight="w")
    rows = [f"{i % 29},{'ab'[i % 3 == 0]},{weight},{i}" for i, weight in enumerate(weights)]
    return read_table("\n".join(["x,b,w,y", *rows]).encode(), spec)


@pytest.mark.parametrize("weights", [["0"] * ROWS, ["0.0", "-0"] * ROWS])
def test_weights_that_are_all_zero_are_refused(weights: list[str]) -> None:
    with pytest.raises(InvalidDataset, match=r"weight 'w' must be .* more in some rows; it is 0 in every row"):
        weighed(weights)


def test_a_weight_may_be_in_any_unit() -> None:
    small, large = weighed(["1e-300", "3e-300"] * 50), weighed(["1e300", "3e300"] * 50)
    assert small.weights is not None
    assert large.weights is not None
    np.testing.assert_allclose(small.weights, [0.5, 1.5] * 50)
    np.testing.assert_allclose(large.weights, small.weights)


def test_weights_that_are_all_the_same_weigh_nothing() -> None:
    table = weighed(["3"] * 50)
    assert (table.weights, table.dropped) == (None, ("w",))
    assert "weight 'w' is the same in every row: all count alike" in table.warnings


def test_a_row_of_weight_zero_is_none() -> None:
    table = weighed(["0", "2", "1"] * 50)
    assert table.target.tolist() == [i for i in range(150) if i % 3]
    assert set(table.features["x"]) == {i % 29 for i in range(150) if i % 3}
    assert len(table.contents) == len(table.others) == 100
    assert "50 row(s) whose weight 'w' is 0 were left out" in table.warnings
