"""Models held to a direction, by the graph itself; columns for audits, which no model reads."""

from dataclasses import replace

import numpy as np
import pytest

from functions.train import pipeline
from functions.train.candidate.selection import Finish
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.data.slices import require_slices
from functions.train.graph.direction import require_directions
from functions.train.graph.graph import NotExportable
from functions.train.inputs import RunInputs
from functions.train.search.monotone import TOLD, directions, held
from functions.train.search.searched import Candidate, Searched
from functions.train.search.space import Choices
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from shared import layout
from shared.card import Card
from shared.codec import decode, decode_gzip
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.model_runtime import Model
from shared.profiles import Holdout
from shared.store import Download
from shared.tables.reading import read_table

SPEC = """
name = "pay"
source = "pay.csv"
target = "pay"
[features]
age = { monotone = "increasing" }
distance = { monotone = "decreasing" }
origin = { role = "audit" }
[tuning]
folds = 2
random_iterations = 1
"""
QUICK = {"XGBoost": {"n_estimators": 40}, "CatBoost": {"iterations": 40}, "DecisionTree": {"max_depth": 6}}


def data(rows: int = 400) -> bytes:
    """Pay hardly depends on age, and noise makes free models go up and down with it."""
    generator = np.random.default_rng(2)
    age, distance = generator.integers(18, 65, rows), generator.uniform(0, 50, rows)
    job, origin = generator.choice(["a", "b", "c"], rows), generator.choice(["here", "there"], rows)
    pay = 0.05 * age - 0.1 * distance + 3 * (job == "a") + generator.normal(0, 3, rows)
    lines = [f"{a},{d:.3f},{j},{o},{p:.3f}" for a, d, j, o, p in zip(age, distance, job, origin, pay, strict=True)]
    return "\n".join(["age,distance,job,origin,pay", *lines, ""]).encode()


@pytest.mark.parametrize("name", sorted(TOLD))
def test_an_algorithm_that_is_told_a_direction_keeps_it_and_one_that_is_not_does_not(name: str) -> None:
    spec = parse_spec(SPEC.encode())
    table = read_table(data(), spec)
    rows = Rows(table.features, table.target.to_numpy(dtype=np.float64))
    asked = directions(table.columns, spec)
    assert asked == {"age": 1, "distance": -1}
    features = describe_features(table.columns, rows, spec)
    finish = Finish(table.columns, features, rows, rows, 0, directions=asked)
    free = next(entry for entry in MODEL_ZOO if entry.name == name)
    (told,) = [entry for entry in held(MODEL_ZOO, table.columns, asked)[0] if entry.name == name]
    candidate = Candidate("random", dict(QUICK[name]), (0.5, 0.5), (0.5, 0.5), 0.1)
    kept, loose = (finish(Searched(entry, [candidate])) for entry in (told, free))
    assert (kept.error, kept.selectable) == (None, True)
    assert not loose.selectable
    assert loose.error is not None
    assert "its graph is not increasing in age" in loose.error


def test_the_others_are_left_out_with_that_reason_and_the_baseline_stays() -> None:
    spec = parse_spec(SPEC.encode())
    columns = read_table(data(), spec).columns
    kept, others = held(MODEL_ZOO, columns, {"age": 1})
    assert [entry.name for entry in kept] == ["Dummy", "XGBoost", "CatBoost"]
    assert {"Ridge", "KNN", "RandomForest"} <= set(others)
    assert held(MODEL_ZOO, columns, {}) == (tuple(MODEL_ZOO), ())
    with pytest.raises(InvalidDataset, match="only XGBoost and CatBoost can be held"):
        held([entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge")], columns, {"age": 1})


def test_a_whole_training_keeps_the_direction_and_slices_by_the_column_for_audits() -> None:
    spec = parse_spec(SPEC.encode())
    kind = Download(SPEC.encode(), 1)
    settings = TrainSettings.from_env({"BUCKET": "b"}).search
    inputs = RunInputs(spec=spec, spec_object=kind, source_uri="gs://b/pay.csv", source=Download(data(), 1), code="c")
    boosting = next(entry for entry in MODEL_ZOO if entry.name == "XGBoost")
    quick = replace(boosting, space={"n_estimators": Choices((30,))})
    zoo = [quick, *(entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge"))]
    trained = pipeline.train(inputs, settings, "20260105T070000Z-0123abcd", zoo)
    manifest = trained.manifest
    assert manifest.model.algorithm == "XGBoost"
    assert [feature.name for feature in manifest.features] == ["age", "distance", "job"]
    assert manifest.slices.by == ("origin",)
    assert "origin" in manifest.dropped
    assert "origin" in decode_gzip(trained.files[layout.HOLDOUT], Holdout, "holdout").columns
    assert any("Ridge left out: they cannot be held to a direction" in warning for warning in trained.warnings)
    card = decode(trained.files[layout.CARD], Card, "card")
    assert {entry.feature for entry in card.slices} == {"origin"}
    assert any("Where age rises" in limit for limit in card.limits)
    model = Model(trained.files[layout.MODEL], manifest.features)
    require_directions(model, read_table(data(), spec).features, {"age": 1, "distance": -1})
    with pytest.raises(NotExportable, match="not decreasing in age"):
        require_directions(model, read_table(data(), spec).features, {"age": -1})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('job = { monotone = "increasing" }', "only numbers have a direction"),
        ('job = { kind = "categorical", monotone = "increasing" }', "only numbers have a direction"),
        ('age = { monotone = "up" }', "monotone"),
        ('age = { role = "audit", monotone = "increasing" }', "a column for audits is no input"),
        ('pay = { role = "audit" }', "is the target"),
        ('age = { role = "judge" }', "role"),
        ('age = { role = "audit" }\n[slices]\nby = ["shoes"]', "slices.by names 'shoes'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(line: str, said: str) -> None:
    text = f'name = "pay"\nsource = "pay.csv"\ntarget = "pay"\n[features]\n{line}\n'
    with pytest.raises(InvalidDataset, match=said):
        spec = parse_spec(text.encode())
        table = read_table(data(60), spec)
        require_slices(table, spec)
        directions(table.columns, spec)


def test_the_signs_are_in_the_order_of_the_matrix() -> None:
    """Truth values and numbers come first, in the table's order; the rest of the matrix has no direction."""
    spec = parse_spec(SPEC.encode())
    table = read_table(data(), spec)
    (told,) = [entry for entry in held(MODEL_ZOO, table.columns, {"distance": -1})[0] if entry.name == "XGBoost"]
    assert told.make(0).get_params()["monotone_constraints"] == (0, -1)
    matrix = preprocessing(table.columns).fit_transform(table.features)
    assert np.corrcoef(matrix[:, 1], table.features["distance"])[0, 1] == pytest.approx(1)
