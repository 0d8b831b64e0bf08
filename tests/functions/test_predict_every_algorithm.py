"""Trained, exported, promoted, verified, served: the answer is what the fitted pipeline says, for every algorithm."""

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.pipeline import Pipeline

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.search.target import StandardisedTarget
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.documents import TargetRange
from shared.tables.reading import Column, read_table
from tests.bench.model import SAMPLE, promote_pipeline
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, Client
from tests.unit.predict.promoted import ASSESSMENT

Data = tuple[DatasetSpec, tuple[Column, ...], pd.DataFrame, np.ndarray]
ALGORITHMS = [entry for entry in MODEL_ZOO if entry.selectable]
AGREEMENT = 1e-3
ROUNDS = 40


def students() -> Data:
    spec = parse_spec((SAMPLE / "dataset.toml").read_bytes())
    table = read_table((SAMPLE / "stud.csv").read_bytes(), spec)
    return spec, tuple(table.columns), table.features, table.target.to_numpy(dtype=float)


def diabetes() -> Data:
    """Numbers alone, one cell in twenty missing."""
    frame, target = load_diabetes(return_X_y=True, as_frame=True)
    frame = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.05)
    columns = tuple(Column(str(name), "numeric", True) for name in frame.columns)
    return DatasetSpec(name="d", source="d.csv", target="progression"), columns, frame, target.to_numpy(dtype=float)


def mixed() -> Data:
    """Numbers of very different size and text, with missing cells in both; two columns share their words."""
    spec, columns, frame, target = diabetes()
    generator = np.random.default_rng(1)
    frame["income"] = generator.lognormal(10, 1, len(frame)).round()
    for name, words in (("place", ["none", "Köln", "bachelor's"]), ("other", ["none", "Köln", "x, y"])):
        frame[name] = np.array([*words, np.nan], dtype=object)[generator.integers(0, 4, len(frame))]
    target = target + (frame["place"] == "Köln").to_numpy() * 40.0
    more = (Column("income", "numeric", False), *(Column(name, "categorical", True) for name in ("place", "other")))
    return spec, (*columns, *more), frame, target


TABLES = {"students": students, "diabetes": diabetes, "mixed": mixed}


def fitted(entry: Algorithm, data: Data) -> Pipeline:
    _, columns, frame, target = data
    estimator = entry.make(0).set_params(**entry.opening)
    if entry.rounds:
        estimator.set_params(**{entry.rounds: ROUNDS})
    return Pipeline([("preprocess", preprocessing(columns)), ("model", StandardisedTarget(estimator))]).fit(
        frame, target
    )


def served(data: Data, pipeline: Pipeline) -> Client:
    spec, columns, frame, target = data
    students_only = spec.assessment is not None
    store = MemoryStore()
    promote_pipeline(
        store,
        pipeline,
        describe_features(columns, Rows(frame, target), spec),
        frame,
        target,
        target=spec.target,
        target_range=spec.target_range if students_only else TargetRange(),
        assessment=ASSESSMENT if students_only else None,
    )
    return Client(store)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if pd.isna(cell) else cell for name, cell in row.items()} for row in frame.to_dict("records")
    ]


def predictions(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array([entry["prediction"] for entry in answer.json()["predictions"]])


@pytest.mark.parametrize(
    ("entry", "kind"),
    list(product(ALGORITHMS, TABLES)),
    ids=lambda value: getattr(value, "name", value),
)
def test_the_service_answers_what_the_fitted_pipeline_predicts(entry: Algorithm, kind: str) -> None:
    data = TABLES[kind]()
    frame = data[2]
    pipeline = fitted(entry, data)
    client = served(data, pipeline)
    expected = np.ravel(pipeline.predict(frame))
    if kind == "students":
        expected = np.clip(expected, 0, 100)
    rows = rows_of(frame)
    batch = predictions(client.post("/predict_batch", json.dumps(rows)))
    table = predictions(client.post("/predict_batch", frame.to_csv(index=False), CSV))
    single = [client.post("/predict", json.dumps(row)).json()["prediction"] for row in rows[:20]]
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(batch, expected, rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(table, batch, rtol=0, atol=1e-9)
    np.testing.assert_allclose(single, batch[:20], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["Lasso", "Ridge", "GradientBoosting"])
def test_every_combination_of_the_sample_s_categories_is_served_as_fitted(name: str) -> None:
    data = students()
    pipeline = fitted(next(entry for entry in ALGORITHMS if entry.name == name), data)
    client = served(data, pipeline)
    fields = client.get("/schema").json()["features"]
    rows = [
        dict(zip([field["name"] for field in fields], cells, strict=True))
        for cells in product(*(field["categories"] for field in fields))
    ]
    assert len(rows) == 240
    expected = np.clip(np.ravel(pipeline.predict(pd.DataFrame(rows))), 0, 100)
    found = predictions(client.post("/predict_batch", json.dumps(rows)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=AGREEMENT)
