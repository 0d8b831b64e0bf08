"""What the report says of effects is what the model does."""

import json
import time

import numpy as np
import pytest

from functions.train.candidate.background import background_document
from functions.train.candidate.effects import FoldFit, dependence, effects_document, explained, stability
from functions.train.candidate.effects_section import effects_section
from functions.train.candidate.selection import Finish
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.graph.export import export
from functions.train.search.zoo import MODEL_ZOO
from shared.dataset import DatasetSpec
from shared.documents import TargetRange
from shared.model_runtime import Model
from shared.serving.explanation import Explainer
from tests.unit.train.test_diagnosis import COLUMNS, table
from tests.unit.train.test_export import fitted

LINEAR = MODEL_ZOO[1]
ROWS = table()
FEATURES = describe_features(COLUMNS, ROWS, DatasetSpec(name="n", source="t.csv", target="y"))
BACKGROUND = background_document(ROWS, additive=True, seed=0)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(export(fitted(LINEAR, (ROWS.features, ROWS.target, COLUMNS))), FEATURES)


def test_the_feature_that_matters_has_the_largest_effects_and_its_curve_is_the_model_s(model: Model) -> None:
    found = explained(Explainer(TargetRange(), model, BACKGROUND), model, ROWS)
    assert found.effects.shape == (300, 3)
    curves = dependence(model, FEATURES, ROWS, ["strong", "word"])
    document = effects_document(found, None, curves)
    assert document["features"][0]["feature"] == "strong"
    assert document["features"][0]["mean_size"] == pytest.approx(5 * np.sqrt(2 / np.pi), rel=0.15)
    strong = curves[0]
    assert np.polyfit(strong["values"], strong["mean"], 1)[0] == pytest.approx(5, abs=0.1)
    assert [curve["kind"] for curve in curves] == ["numeric", "categorical"]
    assert curves[1]["mean"][0] - curves[1]["mean"][1] == pytest.approx(1, abs=0.1)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_slow_model_is_explained_on_fewer_rows(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.train.candidate.effects.MOST_SECONDS", 0.0)
    began = time.process_time()
    found = explained(Explainer(TargetRange(), model, BACKGROUND), model, ROWS)
    assert len(found.effects) == 10
    assert time.process_time() - began < 5


def test_models_of_the_folds_rank_alike_where_they_are_alike() -> None:
    finish = Finish(COLUMNS, FEATURES, ROWS, Rows(ROWS.features[:60], ROWS.target[:60]), 0)
    fit = FoldFit(finish, LINEAR, {}, BACKGROUND, TargetRange())
    sizes = [fit(np.arange(start, 300, 3)) for start in range(3)]
    found = stability(sizes, ("strong", "idle", "word"))
    assert found["folds"] == 3
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["ranks"]["strong"] == {"best": 1, "worst": 1}
    other = stability([np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])], ("a", "b", "c"))
    assert other["rank_correlation"] == pytest.approx(-1)
    assert other["ranks"]["a"] == {"best": 1, "worst": 3}


def test_the_section_has_names_as_text_and_says_what_was_not_measured() -> None:
    features = [{"feature": "<b>", "mean_size": 2.0, "spread": 1.0}]
    found = {"rows": 5, "method": "exact", "base": 0.0, "features": features, "stability": None, "dependence": []}
    section = effects_section(found, "t")
    assert "&lt;b&gt;" in section
    assert "was not measured" in section
    assert effects_section(None, "t") == ""
