"""That a cell is missing is told to every algorithm, and the graph does so as the pipeline does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from functions.train.candidate.selection import Finish
from functions.train.data.categories import TARGET_MEANS, TARGET_RANKS, many_valued
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import MissingCells, preprocessing
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of, export, require_parity
from functions.train.search.encodings import with_target_means
from functions.train.search.folds import filled, make_folds
from functions.train.search.zoo import MODEL_ZOO
from shared.dataset_file import parse_spec
from shared.model_runtime import Model
from shared.tables.reading import Column

SPEC = parse_spec(b'name = "gaps"\nsource = "g.csv"\ntarget = "y"\n')
COLUMNS = (
    Column("price", "numeric", True),
    Column("sold", "date", True),
    Column("word", "categorical", True),
    Column("town", "categorical", True),
    Column("whole", "numeric", False),
)
EFFECTS = {"price": 3.0, "sold": -2.0, "word": 5.0, "town": 1.0}


def table(rows: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    """Whether a cell is missing is all that says anything of the target."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "price": generator.normal(size=rows),
            "sold": generator.integers(0, 20_000, rows).astype(float),
            "word": generator.choice(["a", "b"], rows).astype(object),
            "town": [f"town {i % 30}" for i in range(rows)],
            "whole": generator.normal(size=rows),
        }
    )
    frame["town"] = frame["town"].astype(object)
    target = np.zeros(rows)
    for name, effect in EFFECTS.items():
        missing = generator.random(rows) < 0.4
        frame.loc[missing, name] = np.nan
        target += effect * missing
    return frame, target


@pytest.mark.parametrize(("name", "least"), [("LinearRegression", 0.999), ("RandomForest", 0.95), ("XGBoost", 0.98)])
def test_what_only_the_missing_cells_tell_is_learnt_and_served(name: str, least: float) -> None:
    frame, target = table()
    entry = next(entry for entry in MODEL_ZOO if entry.name == name)
    rows = Rows(frame, target)
    features = describe_features(COLUMNS, rows, SPEC)
    pipeline = Finish(COLUMNS, features, rows, rows, 0).fitted(entry, dict(entry.opening))
    model = Model(export(pipeline), features)
    require_parity(pipeline, model, features, frame, 0)
    residuals = target - model.predict(columns_of(frame))
    assert 1 - residuals.var() / target.var() > least


@pytest.mark.parametrize(("way", "numbers"), [(TARGET_MEANS, 1), (TARGET_RANKS, 2)])
def test_categories_that_learn_the_target_leave_the_missing_cells_of_the_others(way: str, numbers: int) -> None:
    frame, target = table()
    many = many_valued(COLUMNS, frame)
    assert many == ("town",)
    fold = make_folds(frame, target, COLUMNS, 3, 0)[0]
    entry = next(entry for entry in with_target_means(MODEL_ZOO, many) if entry.name == "XGBoost")
    assert way in entry.space["categories"].options
    rows = Rows(frame, target)
    features = describe_features(COLUMNS, rows, SPEC)
    pipeline = Finish(COLUMNS, features, rows, rows, 0).fitted(entry, {**entry.opening, "categories": way})
    width = pipeline["preprocess"].transform(frame).shape[1]
    assert fold.width(way) == fold.matrices(way)[0].shape[1] == width
    gaps = frame.iloc[fold.test_rows][["price", "sold", "word"]].isna().to_numpy()
    assert (fold.matrices(way)[1][:, -3 - numbers : -numbers] == gaps).all()  # the last ones are the towns' numbers
    assert (filled(fold.test_x)[:, -1] == frame.iloc[fold.test_rows]["town"].isna()).all()
    require_parity(pipeline, Model(export(pipeline), features), features, frame, 0)


def test_a_few_missing_cells_make_no_column() -> None:
    frame = pd.DataFrame({"few": [np.nan] * 4 + [1.0] * 16, "some": [np.nan] * 5 + [1.0] * 15, "none": [1.0] * 20})
    frame["nearly all"] = [1.0] * 4 + [np.nan] * 16
    assert list(MissingCells().fit(frame).places_) == [1]
    whole = Pipeline([("preprocess", preprocessing([Column("none", "numeric", False)]))]).fit_transform(frame[["none"]])
    assert whole.shape == (20, 1)
