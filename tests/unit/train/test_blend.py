"""A blend is one more row of the leaderboard, one graph, and chosen only where its gain is sure."""

import io
import pickle
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from functions.train import pipeline
from functions.train.candidate.blending import sure_gain, weights
from functions.train.candidate.selection import Finish
from functions.train.candidate.trained import Trained
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.graph.export import export, require_parity
from functions.train.inputs import RunInputs
from functions.train.search.blend import BLEND, Blend
from functions.train.search.space import Params
from functions.train.search.target import StandardisedTarget
from functions.train.search.zoo import MODEL_ZOO, Algorithm, chosen
from functions.train.settings import SearchSettings
from shared import layout
from shared.dataset import AlgorithmsSpec
from shared.dataset_file import parse_spec
from shared.model_runtime import Model
from shared.store import Download
from tests.unit.train.test_export import SPEC, TABLES

FEW = {"n_estimators": 30, "iterations": 30}
SETTINGS = SearchSettings(jobs=1, backend="sequential", budget_seconds=600, git_sha="unknown")


def trained(step: float, more: str = "") -> Trained:
    """A line and, as large as `step`, steps: neither a line nor a shallow tree knows both."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(np.round(generator.normal(size=(600, 3)), 3), columns=list("abc"))
    steps = step * ((frame["b"] > 0.3) & (frame["c"] < 0.5))
    frame["y"] = np.round(2 * frame["a"] + steps + generator.normal(scale=0.3, size=600), 3)
    text = io.StringIO()
    frame.to_csv(text, index=False)
    only = '[algorithms]\nonly = ["LinearRegression", "DecisionTree"]\n'
    spec = f'name = "n"\nsource = "n.csv"\ntarget = "y"\n[tuning]\nfolds = 3\n{more or only}'.encode()
    inputs = RunInputs(parse_spec(spec), Download(spec, 0), "n.csv", Download(text.getvalue().encode(), 0))
    return pipeline.train(inputs, SETTINGS, "20260105T070000Z-0123abcd", MODEL_ZOO)


def test_a_blend_that_is_surely_better_is_chosen_and_served_by_one_graph() -> None:
    run = trained(step=1.5)
    assert run.selected.result.name == BLEND
    assert set(run.manifest.model.params) == {"LinearRegression", "DecisionTree"}
    assert sum(run.manifest.model.params.values()) == pytest.approx(1.0, abs=1e-3)
    singles = [result for result in run.results if result.name != BLEND and result.best]
    assert run.selected.best.mean > max(result.best.mean for result in singles if result.best)
    assert run.selected.holdout.r2 > max(result.holdout.r2 for result in singles if result.holdout)
    assert run.selected.result.parity is not None
    nodes = [node.op_type for node in onnx.load_from_string(run.files[layout.MODEL]).graph.node]
    assert nodes.count("IsNaN") == 1  # one encoding for all members


def test_a_blend_is_made_of_its_members_as_they_were_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """To fit them again would take as long as all of them together took."""
    whole, fit = [], Finish.fitted

    def counted(finish: Finish, algorithm: Algorithm, params: Params, *kept: Any) -> Pipeline:
        whole.extend([] if kept else [algorithm.name])  # fits without a fold show how stable the explanations are
        return fit(finish, algorithm, params, *kept)

    monkeypatch.setattr(Finish, "fitted", counted)
    run = trained(step=1.5)
    assert run.selected.result.name == BLEND
    assert sorted(whole) == ["DecisionTree", "Dummy", "LinearRegression"]
    rows = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 3)), columns=list("abc"))
    pipelines = {
        result.name: pickle.loads(result.pipeline)  # noqa: S301 (made above)
        for result in run.results
        if result.pipeline
    }
    shares = run.manifest.model.params
    expected = sum(float(str(share)) * pipelines[name].predict(rows) for name, share in shares.items())
    assert pipelines[BLEND].predict(rows) == pytest.approx(expected, abs=1e-3)


def test_a_blend_without_a_sure_gain_is_reported_and_not_chosen() -> None:
    run = trained(step=0.0)
    assert run.selected.result.name == "LinearRegression"
    mix = next((result for result in run.results if result.name == BLEND), None)
    if mix is not None:  # where all of the weight is the line's, there is nothing to report
        assert not mix.selectable
        assert "beside LinearRegression, 0.002 is needed" in (mix.searched.note or "")


def test_the_spec_may_leave_the_blend_out() -> None:
    run = trained(step=1.5, more='[algorithms]\nwithout = ["Blend", "XGBoost", "CatBoost", "RandomForest", "KNN", '
                  '"AdaBoost", "GradientBoosting", "Lasso", "Ridge"]\n')  # fmt: skip
    assert {result.name for result in run.results} == {"Dummy", "LinearRegression", "DecisionTree"}
    assert chosen(MODEL_ZOO, AlgorithmsSpec(without=(BLEND,))) == MODEL_ZOO


@pytest.mark.parametrize("kind", TABLES)
def test_every_algorithm_goes_into_one_graph(kind: str) -> None:
    frame, target, columns = TABLES[kind]
    members = {}
    for entry in MODEL_ZOO:
        if entry.selectable:
            few = {name: FEW[name] for name in FEW if name in entry.opening}
            members[entry.name] = entry.make(0).set_params(**{**entry.opening, **few})
    model = Blend(members).set_params(**dict.fromkeys(members, 1.0))
    fitted = Pipeline([("preprocess", preprocessing(columns)), ("model", StandardisedTarget(model))])
    fitted.fit(frame, target + 1e4)
    features = describe_features(columns, Rows(frame, target), SPEC)
    graph = export(fitted)
    require_parity(fitted, Model(graph, features), features, frame, 0)
    names = [node.op_type for node in onnx.load_from_string(graph).graph.node]
    assert names.count("LabelEncoder") <= 2  # of what the words are, and of which are missing
    assert names.count("Scan") == 1


def test_weights_are_those_of_least_squares_that_sum_to_one() -> None:
    generator = np.random.default_rng(0)
    one, two, noise = generator.normal(size=(3, 2_000))
    target = 100 + 0.7 * one + 0.3 * two
    found = weights(np.column_stack([100 + one, 100 + two, 100 + noise]), target)
    assert found == pytest.approx([0.7, 0.3, 0.0], abs=0.02)
    assert found.sum() == pytest.approx(1.0)
    assert weights(np.column_stack([100 - one, 100 - two]), target).tolist() == [1.0, 0.0]


def test_a_gain_is_sure_only_where_most_resamples_have_it() -> None:
    generator = np.random.default_rng(0)
    target = generator.normal(size=400)
    worse, same = target + generator.normal(size=400), target + generator.normal(size=400)
    for scoring in ("r2", "mae"):
        assert sure_gain(target, (worse + same) / 2, worse, scoring) > 0.1
        assert sure_gain(target, same, worse, scoring) < 0.02
