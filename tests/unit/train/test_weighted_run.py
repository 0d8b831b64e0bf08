"""Rows that count differently, from the table to the gate: scores are those of scikit-learn with the weights."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.tree import DecisionTreeRegressor

from functions.train import pipeline
from functions.train.candidate.blending import sure_gain, weights
from functions.train.candidate.card import scores
from functions.train.candidate.selection import Finish
from functions.train.candidate.trained import Trained
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.inputs import RunInputs
from functions.train.search.folds import make_folds
from functions.train.search.search import SearchPlan, search
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import SearchSettings
from functions.train.stages import split
from functions.train.tracking.record import tracked_run
from functions.validate.gate import Case, Incumbent, judge
from shared import layout
from shared.card import Card
from shared.codec import decode, decode_gzip
from shared.dataset import DatasetSpec, TuningSpec
from shared.dataset_file import parse_spec
from shared.documents import HoldoutScores
from shared.model_runtime import Model
from shared.profiles import Holdout
from shared.store import Download
from shared.tables.reading import Table, read_table

LINE = Algorithm("Line", lambda _: LinearRegression())
TREE = Algorithm("Tree", lambda seed: DecisionTreeRegressor(max_depth=3, random_state=seed))
ZOO = [MODEL_ZOO[0], LINE, TREE]
SETTINGS = SearchSettings(jobs=1, backend="loky", budget_seconds=600, git_sha="unknown")
ROWS = 400
Vector = NDArray[np.float64]


def lines(weighs: Sequence[object]) -> list[str]:
    generator = np.random.default_rng(11)
    x, z = generator.uniform(0, 10, (2, ROWS)).round(3)
    noise = generator.normal(size=ROWS) * np.where(np.arange(ROWS) % 3 == 2, 6, 2)
    y = (2 * x + np.where(z > 5, x, -x) + noise).round(3)
    return [f"{x[i]},{z[i]},{'abc'[i % 3]},{weighs[i]},{y[i]}" for i in range(ROWS)]


def trained(weighs: Sequence[object], said: str = 'weight = "w"') -> Trained:
    spec = f'name = "n"\nsource = "n.csv"\ntarget = "y"\n{said}\n[tuning]\nfolds = 3\n'.encode()
    table = "\n".join(["x,z,b,w,y", *lines(weighs)]).encode()
    inputs = RunInputs(parse_spec(spec), Download(spec, 0), "n.csv", Download(table, 0))
    return pipeline.train(inputs, SETTINGS, "20260105T070000Z-0123abcd", ZOO)


@pytest.fixture(scope="module")
def run() -> Trained:
    return trained([(1.5, 1, 30)[i % 3] for i in range(ROWS)])


@pytest.fixture(scope="module")
def held(run: Trained) -> tuple[Vector, Vector, Vector]:
    """Target, prediction and weight of the rows held out, as the gate reads them."""
    document = decode_gzip(run.files[layout.HOLDOUT], Holdout, "holdout")
    assert document.weights is not None
    predicted = Model(run.files[layout.MODEL], run.manifest.features).predict(document.columns)
    return np.array(document.target), predicted, np.array(document.weights)


def expected(target: Vector, predicted: Vector, weights: Vector) -> HoldoutScores:
    return HoldoutScores(
        r2=r2_score(target, predicted, sample_weight=weights),
        mae=mean_absolute_error(target, predicted, sample_weight=weights),
        rmse=root_mean_squared_error(target, predicted, sample_weight=weights),
    )


def test_what_a_run_says_of_itself_is_by_weight(run: Trained, held: tuple[Vector, Vector, Vector]) -> None:
    wanted = expected(*held)
    assert abs(wanted.r2 - r2_score(*held[:2])) > 0.01, "the weights make a difference here"
    claimed = run.manifest.model.holdout
    for name in ("r2", "mae", "rmse"):
        value = pytest.approx(getattr(wanted, name))
        assert getattr(claimed, name) == value
        assert decode(run.files[layout.CARD], Card, "card").scores[name].value == value
        assert tracked_run(run).metrics[f"holdout_{name}"] == value
        report = json.loads(run.files[layout.REPORT])
        row = next(row for row in report["algorithms"] if row["name"] == report["selected"])
        assert row["holdout"][name] == value


def test_a_run_says_by_what_its_rows_count(run: Trained) -> None:
    page = run.files[layout.REPORT_PAGE].decode()
    assert "Rows count by <code>w</code> in the fit of every algorithm but KNN, in every score" in page
    card = decode(run.files[layout.CARD], Card, "card")
    assert any("count each row by its w;" in limit for limit in card.limits)
    assert tracked_run(run).tags["weight"] == "w"


def test_the_gate_makes_the_same_scores_again(run: Trained, held: tuple[Vector, Vector, Vector]) -> None:
    decision = judge([], Case(run.manifest, run.files, (), Incumbent(None, b"", "nobody")))
    assert decision.passed, decision
    score = next(check for check in decision.checks if check.name == "score")
    assert score.observed == pytest.approx(expected(*held).r2)


def test_a_group_is_measured_by_weight(run: Trained, held: tuple[Vector, Vector, Vector]) -> None:
    report = json.loads(run.files[layout.REPORT])["holdout"]
    target, predicted, counts = held
    np.testing.assert_allclose(report["weights"], counts)
    document = decode_gzip(run.files[layout.HOLDOUT], Holdout, "holdout")
    x = np.array(document.columns["x"], dtype=float)
    cut = np.quantile(x, 0.25)
    group = next(one for one in report["groups"] if one["feature"] == "x" and one["group"].startswith("1:"))
    of = x < cut
    assert group["rows"] == of.sum()
    assert group["mae"] == pytest.approx(mean_absolute_error(target[of], predicted[of], sample_weight=counts[of]))
    assert group["bias"] == pytest.approx(np.average(target[of] - predicted[of], weights=counts[of]))


def repeated(rows: Rows, times: NDArray[np.intp]) -> Rows:
    places = np.repeat(np.arange(len(rows.target)), times)
    return Rows(rows.features.iloc[places].reset_index(drop=True), rows.target[places])


def figures(table: Table, spec: DatasetSpec, training: Rows, out: Rows, fold_of: NDArray[np.intp]) -> Vector:
    """The scores on the folds and on the rows held out, of what is fitted by weight exactly: the mean, and a line."""
    parts = [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(3)]
    folds = make_folds(training.features, training.target, table.columns, 3, 0, parts, training.weights)
    finish = Finish(table.columns, describe_features(table.columns, training, spec), training, out, 0)
    found: list[float] = []
    for result in map(finish, search([MODEL_ZOO[0], LINE], folds, SearchPlan(spec.tuning, 0))):
        assert result.best is not None
        assert result.holdout is not None
        found += [*result.best.scores, *result.best.r2, result.holdout.r2, result.holdout.mae, result.holdout.rmse]
    return np.array(found)


@pytest.mark.parametrize("scoring", ["r2", "mae"])
def test_a_table_of_whole_weights_scores_as_one_that_repeats_its_rows(scoring: str) -> None:
    times = [1 + i % 4 for i in range(ROWS)]
    spec = DatasetSpec(name="n", source="t.csv", target="y", weight="w", tuning=TuningSpec(scoring=scoring))
    table = read_table("\n".join(["x,z,b,w,y", *lines(times)]).encode(), spec)
    training, out = split(table, spec)
    assert training.weights is not None
    assert out.weights is not None
    often, often_out = (np.rint(weights * np.mean(times)).astype(int) for weights in (training.weights, out.weights))
    fold_of = np.arange(len(training.target)) % 3
    by_weight = figures(table, spec, training, out, fold_of)
    by_rows = figures(table, spec, repeated(training, often), repeated(out, often_out), np.repeat(fold_of, often))
    np.testing.assert_allclose(by_weight, by_rows, rtol=1e-6, atol=1e-9)
    alike = figures(table, spec, Rows(training.features, training.target), Rows(out.features, out.target), fold_of)
    assert not np.isclose(by_weight, alike, rtol=1e-3, atol=1e-9)[-5:].any()


def test_a_weight_that_is_the_same_everywhere_makes_the_same_files_as_none() -> None:
    one, none = trained([1] * ROWS), trained([1] * ROWS, 'drop = ["w"]')
    for name in (layout.MODEL, layout.HOLDOUT, layout.GOLDEN, layout.PROFILE, layout.BACKGROUND):
        assert one.files[name] == none.files[name], name
    assert one.manifest.model == none.manifest.model
    assert "Rows count by" not in one.files[layout.REPORT_PAGE].decode()
    assert not any("by its w" in limit for limit in decode(one.files[layout.CARD], Card, "card").limits)


def test_ones_are_no_weights_for_a_fold_a_blend_a_card_and_a_group() -> None:
    generator = np.random.default_rng(1)
    target, ones = generator.normal(size=60), np.ones(60)
    first, second = target + generator.normal(size=60), target + generator.normal(size=60)
    both = np.column_stack([first, second])
    assert weights(both, target, ones).tolist() == weights(both, target).tolist()
    assert sure_gain(target, first, second, "mae", ones) == sure_gain(target, first, second, "mae")
    assert scores(target, first, 0, ones) == scores(target, first, 0)


def test_a_blend_follows_the_rows_that_count() -> None:
    generator = np.random.default_rng(2)
    target = generator.normal(size=200)
    heavy = np.arange(200) < 40
    one = np.where(heavy, target, 0.0) + generator.normal(scale=0.1, size=200)
    other = np.where(heavy, 0.0, target) + generator.normal(scale=0.1, size=200)
    of_rows = np.where(heavy, 50.0, 1.0)
    alike, found = (weights(np.column_stack([one, other]), target, counts) for counts in (None, of_rows))
    assert alike[0] < 0.5 < found[0]
    times = of_rows.astype(int)
    both = np.repeat(np.column_stack([one, other]), times, axis=0)
    np.testing.assert_allclose(found, weights(both, np.repeat(target, times)))
    assert sure_gain(target, one, other, "r2") < 0 < sure_gain(target, one, other, "r2", of_rows)


def test_a_cards_intervals_are_as_wide_as_the_rows_that_count_are_few() -> None:
    generator = np.random.default_rng(4)
    target = generator.normal(size=400)
    predicted = target + generator.normal(scale=0.5, size=400)
    few = np.where(np.arange(400) < 20, 1000.0, 1.0)
    alike, found = (scores(target, predicted, 0, counts)["rmse"] for counts in (None, few))
    assert found.value == pytest.approx(root_mean_squared_error(target, predicted, sample_weight=few))
    wide, narrow = (one.high - one.low if one.high and one.low else 0.0 for one in (found, alike))
    assert wide > 3 * narrow > 0
