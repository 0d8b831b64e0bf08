"""Columns with many categories as numbers that learn the target: what they are, that they do not leak, and that the
graph has them."""

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.preprocessing import TargetEncoder

from functions.train import pipeline
from functions.train.candidate.selection import Finish
from functions.train.candidate.trained import Trained
from functions.train.data.categories import CATEGORIES, ENCODERS, MANY, ONE_HOT, TARGET_MEANS, TARGET_RANKS, many_valued
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.data.target_means import TargetMeans, TargetRanks
from functions.train.graph.export import columns_of, require_parity
from functions.train.inputs import RunInputs
from functions.train.search.blend import BLEND
from functions.train.search.candidates import draws
from functions.train.search.encodings import BY_TREES, with_target_means
from functions.train.search.folds import Fold, make_folds
from functions.train.search.search import SearchPlan, out_of_fold
from functions.train.search.searched import Candidate, Searched
from functions.train.search.space import Choices, Space
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import SearchSettings
from shared import layout
from shared.dataset import DatasetSpec, TuningSpec
from shared.dataset_file import parse_spec
from shared.metrics import r2
from shared.model_runtime import Model
from shared.store import Download
from shared.tables.reading import Column

SPEC = DatasetSpec(name="n", source="t.csv", target="y")
COLUMNS = (
    Column("few", "categorical", True),
    Column("town", "categorical", True),
    Column("x", "numeric", True),
    Column("street", "categorical", True),
)
ZOO = with_target_means(MODEL_ZOO, ("town", "street"))
TREES = {entry.name: entry for entry in ZOO if entry.name in BY_TREES}
FEW: dict[str, int] = {"n_estimators": 30, "iterations": 60}


def frame(rows: int = 900, seed: int = 0, telling: float = 3.0) -> tuple[pd.DataFrame, np.ndarray]:
    """A town and a street of 120 each, of which the town tells; a tenth of the cells is missing."""
    generator = np.random.default_rng(seed)
    towns, streets = generator.integers(0, 120, rows), generator.integers(0, 120, rows)
    effects = telling * np.random.default_rng(99).normal(size=120)
    x = generator.normal(size=rows)
    found = pd.DataFrame(
        {
            "few": generator.choice(np.array(["a", "b", "ç"], dtype=object), rows),
            "town": np.char.add("t", towns.astype(str)).astype(object),
            "x": x,
            "street": np.char.add("s", streets.astype(str)).astype(object),
        }
    )
    target = 50 + effects[towns] + x + 2 * (found["few"] == "a").to_numpy() + generator.normal(size=rows)
    return found.mask(generator.random(found.shape) < 0.1), target


def params_of(entry: Algorithm, way: str) -> dict[str, Any]:
    few = {name: value for name, value in FEW.items() if name in entry.opening}
    return {**entry.opening, **few, CATEGORIES: way}


def test_the_means_are_those_of_a_peer_that_is_told_how_much_to_shrink() -> None:
    """scikit-learn's TargetEncoder, `smooth` as its documentation has it: (sum + smooth · mean) / (n + smooth)."""
    rows, target = frame()
    words = rows[["town"]].fillna("missing")
    found = TargetMeans(["town"], 0).fit(words, target)
    units = (target - target.mean()) / target.std()
    counts = words["town"].value_counts()
    raw = pd.Series(units).groupby(words["town"]).mean()
    implied = [counts[name] * (raw[name] / shrunk - 1) for name, shrunk in found.known_[0].items()]
    assert implied == pytest.approx([implied[0]] * len(implied), rel=1e-6)
    peer = TargetEncoder(smooth=implied[0], target_type="continuous").fit(words, target)
    expected = (peer.transform(words)[:, 0] - target.mean()) / target.std()
    assert found.transform(words)[:, 0] == pytest.approx(expected, abs=1e-9)


def test_words_are_drawn_to_the_mean_by_the_variance_within_them_over_that_between_them() -> None:
    generator = np.random.default_rng(0)
    words = np.repeat(np.arange(400), 10)
    target = 2.0 * generator.normal(size=400)[words] + 4.0 * generator.normal(size=4_000)
    rows = pd.DataFrame({"w": words.astype(str)})
    found = pd.Series(TargetMeans(["w"], 0).fit(rows, target).known_[0])
    raw = (pd.Series(target).groupby(rows["w"]).mean() - target.mean()) / target.std()
    assert (found / raw[found.index]).median() == pytest.approx(10 / (10 + 16 / 4), rel=0.1)


def test_a_missing_cell_and_a_word_never_seen_are_the_mean_of_all() -> None:
    rows, target = frame()
    found = TargetMeans(["town"], 0).fit(rows, target)
    asked = pd.DataFrame({"town": [np.nan, "never seen", "t1"]})
    assert found.transform(asked)[:2].tolist() == [[0.0], [0.0]]
    assert found.transform(asked)[2] != 0.0


@pytest.mark.parametrize("encoder", ENCODERS.values())
def test_rows_without_weight_are_not_learnt_from(encoder: type[TargetMeans]) -> None:
    rows, target = frame()
    weights = np.where(np.arange(len(rows)) % 3 == 0, 0.0, 2.5)
    wrong = np.where(weights == 0, 1e6, target)
    found = encoder(["town"], 0).fit(rows, wrong, weights)
    expected = encoder(["town"], 0).fit(rows[weights > 0], target[weights > 0])
    for numbers, known in zip(expected.known_, found.known_, strict=True):
        assert {name: known[name] for name in numbers} == pytest.approx(numbers, abs=1e-9)


def test_ranks_are_the_means_of_ranks_and_the_share_of_the_words_rows() -> None:
    """The ranks are scipy's, of equal targets the mean of theirs; the words' means of them are `TargetMeans`'."""
    rows, target = frame()
    target = np.round(target)  # so that many are equal
    found = TargetRanks(["town", "street"], 0).fit(rows, target)
    expected = TargetMeans(["town", "street"], 0).fit(rows, rankdata(target))
    for known, numbers in zip(found.known_, expected.known_, strict=False):
        assert known == pytest.approx(numbers, abs=1e-9)
    assert found.known_[2:] == [rows[name].value_counts().div(len(rows)).to_dict() for name in ("town", "street")]
    asked = pd.DataFrame({"town": ["t1", "never seen"], "street": [np.nan, "s1"]})
    no_street_tells = [[True, False, True, False], [False, False, False, True]]
    assert (found.transform(asked) != 0).tolist() == no_street_tells


def test_a_huge_target_decides_no_ranks() -> None:
    rows, target = frame()
    huge = np.where(target == target.max(), 1e9, target)
    for found, expected in zip(*(TargetRanks(["town"], 0).fit(rows, y).known_ for y in (huge, target)), strict=True):
        assert found == pytest.approx(expected, abs=1e-9)
    assert TargetMeans(["town"], 0).fit(rows, huge).known_ != TargetMeans(["town"], 0).fit(rows, target).known_


def test_a_word_of_each_row_and_words_by_chance_say_nothing() -> None:
    generator = np.random.default_rng(0)
    target = generator.normal(size=2_000)
    alone = pd.DataFrame({"w": np.arange(2_000).astype(str)})
    assert not TargetMeans(["w"], 0).fit(alone, target).transform(alone).any()
    assert not TargetMeans(["w"], 0).out_of_fold(alone, target).any()
    leaks, kept = [], []
    for seed in range(20):
        words = pd.DataFrame({"w": np.random.default_rng(seed).integers(0, 600, 2_000).astype(str)})
        raw = pd.Series(target).groupby(words["w"]).transform("mean")
        leaks.append(np.corrcoef(raw, target)[0, 1])
        means = TargetMeans(["w"], seed).out_of_fold(words, target)[:, 0]
        kept.append(means.std())
    assert np.mean(leaks) > 0.4  # what an encoder would tell that has seen the row's own target
    assert np.mean(kept) < 0.05


def with_noise(way: str, name: str) -> float:
    """R² out of fold where the target is x, and the words mean nothing."""
    rows, _ = frame(1_500)
    target = np.nan_to_num(rows["x"].to_numpy()) + np.random.default_rng(5).normal(size=len(rows))
    folds = make_folds(rows, target, COLUMNS, 4, 42)
    entry = TREES[name]
    return r2(target, out_of_fold(entry, params_of(entry, way), folds, SearchPlan(TuningSpec(), 42)))


@pytest.mark.parametrize("way", ENCODERS)
@pytest.mark.parametrize("name", ["XGBoost", "DecisionTree"])
def test_categories_by_chance_gain_nothing(name: str, way: str) -> None:
    assert with_noise(way, name) < with_noise(ONE_HOT, name) + 0.02


@pytest.mark.parametrize("way", ENCODERS)
def test_no_target_of_a_tested_row_is_in_its_fold(way: str) -> None:
    rows, target = frame()
    before = make_folds(rows, target, COLUMNS, 3, 42)
    for place, fold in enumerate(before):
        changed = target.copy()
        changed[fold.test_rows] = 1e9
        after = make_folds(rows, changed, COLUMNS, 3, 42)[place]
        for one, other in zip(fold.matrices(way), after.matrices(way), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("way", ENCODERS)
def test_a_fold_has_one_column_or_two_in_the_place_of_many(way: str) -> None:
    rows, target = frame()
    assert many_valued(COLUMNS, rows) == ("town", "street")
    (fold, *_) = make_folds(rows, target, COLUMNS, 3, 42)
    train, test = fold.matrices(way)
    width = 1 + 3 + 2 + {TARGET_MEANS: 2, TARGET_RANKS: 4}[way]  # x, the words of few, which are missing, the numbers
    assert (train.shape[1], test.shape[1]) == (width, width) == (fold.width(way),) * 2
    assert fold.matrices(ONE_HOT)[0].shape[1] == fold.width(ONE_HOT) > 100
    assert np.array_equal(train[:, :4], fold.matrices(ONE_HOT)[0][:, :4])


def test_a_table_without_such_a_column_is_searched_as_ever() -> None:
    assert with_target_means(MODEL_ZOO, ()) == MODEL_ZOO
    rows = frame()[0].assign(town="t", street=np.arange(900) % MANY)
    rows["street"] = rows["street"].astype(str)
    assert many_valued(COLUMNS, rows) == ()
    fold: Fold = make_folds(rows, np.arange(900.0), COLUMNS, 2, 42)[0]
    assert not fold.means


def test_the_opening_is_tried_in_every_way_before_anything_else() -> None:
    for entry, drawn in zip(ZOO, draws(ZOO, 4, 0), strict=True):
        ways = [params.get(CATEGORIES) for params in drawn[:3]]
        assert ways == ([TARGET_RANKS, TARGET_MEANS, ONE_HOT] if entry.name in BY_TREES else [None] * len(ways))


@pytest.mark.parametrize("way", ENCODERS)
@pytest.mark.parametrize("name", TREES)
def test_the_graph_of_every_tree_agrees_with_its_pipeline_for_unseen_and_missing_words_too(name: str, way: str) -> None:
    rows, target = frame()
    training = Rows(rows, target, weights=np.linspace(0.5, 2.0, len(rows)))
    features = describe_features(COLUMNS, training, SPEC)
    entry = TREES[name]
    chosen = Candidate("random", params_of(entry, way), (1.0,), (1.0,), 0.1)
    result = Finish(COLUMNS, features, training, training, 42)(Searched(entry, candidates=[chosen]))
    assert result.error is None
    assert result.graph is not None and result.pipeline is not None
    fitted = pickle.loads(result.pipeline)  # noqa: S301 (made a line above)
    model = Model(result.graph, features)
    assert require_parity(fitted, model, features, rows, 1) <= 1e-5 * np.ptp(target)
    known = model.predict(columns_of(rows.assign(town="t1", street=np.nan)))
    other = model.predict(columns_of(rows.assign(town="never seen", street="nor this")))
    assert np.abs(known - other).max() > 0.1


@pytest.mark.parametrize(("way", "width"), [(TARGET_MEANS, 2), (TARGET_RANKS, 4)])
def test_a_table_of_nothing_but_such_columns_has_a_graph(way: str, width: int) -> None:
    rows, target = frame()
    columns = tuple(column for column in COLUMNS if column.name in ("town", "street"))
    training, entry = Rows(rows[["town", "street"]], target), TREES["GradientBoosting"]
    features = describe_features(columns, training, SPEC)
    chosen = Candidate("random", params_of(entry, way), (1.0,), (1.0,), 0.1)
    result = Finish(columns, features, training, training, 42)(Searched(entry, candidates=[chosen]))
    assert result.selectable, result.error
    (fold, *_) = make_folds(training.features, target, columns, 3, 42)
    assert fold.matrices(way)[0].shape[1] == fold.width(way) == width


def test_the_number_in_the_graph_is_that_of_the_pipeline_to_the_last_digits() -> None:
    """A tree with a leaf for each town: whatever is off by more than rounding gets another leaf."""
    rows, target = frame(telling=1e3)
    training, entry = Rows(rows, target), TREES["DecisionTree"]
    features = describe_features(COLUMNS, training, SPEC)
    params = {"max_depth": None, "criterion": "squared_error", "min_samples_leaf": 1, CATEGORIES: TARGET_MEANS}
    chosen = Candidate("random", params, (1.0,), (1.0,), 0.1)
    result = Finish(COLUMNS, features, training, training, 42)(Searched(entry, candidates=[chosen]))
    assert result.parity is not None and result.parity < 1e-3, result.error


SETTINGS = SearchSettings(jobs=1, backend="loky", budget_seconds=300, git_sha="x")
LINES = b"""name = "n"
source = "t.csv"
target = "y"
[tuning]
folds = 3
random_iterations = 3
"""


def small() -> tuple[Algorithm, ...]:
    """The baseline, Ridge with one penalty, and two trees with one setting."""
    depth: dict[str, Space] = {"max_depth": Choices((3,))}
    kept = {entry.name: entry for entry in MODEL_ZOO}
    trees = [
        replace(kept[name], space=depth, rounds=None, opening={"max_depth": 3}) for name in ("DecisionTree", "XGBoost")
    ]
    return (kept["Dummy"], replace(kept["Ridge"], space={}, opening={}), *trees)


@pytest.fixture(scope="module")
def run() -> Trained:
    rows, target = frame(700)
    data = Download(rows.assign(y=np.round(target, 3)).to_csv(index=False).encode(), 0)
    inputs = RunInputs(parse_spec(LINES, "n.toml"), Download(LINES, 0), "t.csv", data)
    return pipeline.train(inputs, SETTINGS, "20260105T070000Z-0123abcd", small())


def test_the_folds_choose_and_leaderboard_and_manifest_say_it(run: Trained) -> None:
    ways = {ONE_HOT, TARGET_MEANS, TARGET_RANKS}
    assert [tried(run, name) for name in ("DecisionTree", "XGBoost")] == [ways, ways]
    best = {result.name: result.best.params for result in run.results if result.best}
    assert best["XGBoost"]["max_depth"] == 3 and best["XGBoost"][CATEGORIES] in ENCODERS
    assert CATEGORIES not in best["Ridge"]
    assert run.manifest.model.params == run.selected.best.params
    row = next(row for row in json.loads(run.files[layout.REPORT])["algorithms"] if row["name"] == "XGBoost")
    assert row["params"][CATEGORIES] == best["XGBoost"][CATEGORIES]
    assert all(result.selectable for result in run.results if result.name in ("DecisionTree", "XGBoost", "Ridge"))


def test_the_members_of_a_blend_share_one_matrix(run: Trained) -> None:
    for result in run.results:
        if result.name == BLEND and result.best:
            ways = {encoding(run, name) for name in result.best.params}
            assert len(ways) == 1


def tried(run: Trained, name: str) -> set[str]:
    (result,) = (result for result in run.results if result.name == name)
    return {candidate.params[CATEGORIES] for candidate in result.searched.candidates}


def encoding(run: Trained, name: str) -> str:
    (result,) = (result for result in run.results if result.name == name)
    assert result.best is not None
    return result.searched.algorithm.encoding(result.best.params)
