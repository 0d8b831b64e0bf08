"""One graph predicts what the fitted pipeline predicts, for every algorithm on every kind of table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from functions.train.export import NotExportable, columns_of, export, random_rows, require_parity
from functions.train.ingestion import Column
from functions.train.preprocessing import preprocessing
from functions.train.selection import Rows, describe_features
from functions.train.zoo import MODEL_ZOO, Entry
from shared.dataset import DatasetSpec
from shared.model_runtime import Model

SPEC = DatasetSpec(name="n", source="t.csv", target="y")
EXPORTABLE = [entry for entry in MODEL_ZOO if entry.selectable]
Data = tuple[pd.DataFrame, np.ndarray, tuple[Column, ...]]


def with_holes(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    holes = np.random.default_rng(seed).random(frame.shape) < 0.05
    return frame.astype(object).mask(holes, np.nan).astype(frame.dtypes.to_dict())


def numeric_only() -> Data:
    frame, target = load_diabetes(return_X_y=True, as_frame=True)
    frame = with_holes(frame)
    frame["large"] = np.random.default_rng(1).lognormal(10, 1, len(frame)).round()
    return frame, target.to_numpy(dtype=float), tuple(Column(name, "numeric", True) for name in frame.columns)


def categorical_only() -> Data:
    generator = np.random.default_rng(2)
    frame = pd.DataFrame({name: generator.choice(["a", "b's", "ç", "none"], 300) for name in "pqr"}, dtype=object)
    target = (frame["p"] == "a") * 10.0 + (frame["q"] == "ç") * 5 + generator.normal(size=300)
    return with_holes(frame), target.to_numpy(), tuple(Column(name, "categorical", True) for name in "pqr")


def mixed() -> Data:
    numbers, target, numeric = numeric_only()
    frame = numbers.copy()
    frame.insert(1, "word", np.random.default_rng(3).choice(np.array(["x", "y", np.nan], dtype=object), len(frame)))
    columns = {column.name: column for column in (*numeric, Column("word", "categorical", True))}
    return frame, target, tuple(columns[name] for name in frame.columns)


def fitted(entry: Entry, data: Data) -> Pipeline:
    frame, target, columns = data
    return Pipeline([("preprocess", preprocessing(columns)), ("model", entry.make(0))]).fit(frame, target)


@pytest.mark.parametrize("data", [numeric_only(), categorical_only(), mixed()], ids=["numeric", "categorical", "mixed"])
@pytest.mark.parametrize("entry", EXPORTABLE, ids=lambda entry: entry.name)
def test_the_graph_agrees_with_the_pipeline(entry: Entry, data: Data) -> None:
    frame, target, columns = data
    pipeline = fitted(entry, data)
    features = describe_features(columns, Rows(frame, target), SPEC)
    model = Model(export(pipeline), features)
    assert require_parity(pipeline, model, features, frame, 0) <= 1e-5 * np.abs(target).max()


def test_none_and_nan_are_imputed_alike() -> None:
    frame, target, columns = mixed()
    model = Model(export(fitted(EXPORTABLE[0], mixed())), describe_features(columns, Rows(frame, target), SPEC))
    row = frame.iloc[[0]].astype(object)
    row[:] = np.nan
    missing = model.predict(columns_of(row))
    assert missing == model.predict({name: [None] for name in frame.columns})
    imputed = {f.name: [f.imputed] for f in describe_features(columns, Rows(frame, target), SPEC)}
    assert missing == model.predict(imputed)


def test_the_random_rows_hold_missing_and_unseen_values() -> None:
    frame, target, columns = mixed()
    features = describe_features(columns, Rows(frame, target), SPEC)
    rows = random_rows(features, 1000, 0)
    assert rows.isna().any().all()
    assert set(rows["word"].dropna()) > {"x", "y"}


def test_a_graph_that_differs_is_not_selectable() -> None:
    frame, target, columns = mixed()
    features = describe_features(columns, Rows(frame, target), SPEC)
    other = Model(export(fitted(EXPORTABLE[0], (frame, target + frame["large"].to_numpy(), columns))), features)
    with pytest.raises(NotExportable, match="differs from the pipeline"):
        require_parity(fitted(EXPORTABLE[0], mixed()), other, features, frame, 0)


def test_an_estimator_without_an_exporter_is_named() -> None:
    entry = Entry("SVR", lambda _: SVR())
    with pytest.raises(NotExportable, match="no ONNX exporter for SVR"):
        export(fitted(entry, mixed()))
