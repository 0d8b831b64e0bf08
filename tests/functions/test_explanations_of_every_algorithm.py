"""Explanations of every algorithm's graph against the exact explainer of shap, which knows nothing of ours.

Its masker takes the values of a coalition from the row and the others from background rows, each in turn, as ours does
(shap/maskers/_tabular.py). It takes every background row once, so ours stand for one row each here.
"""

import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from functions.train.candidate.background import background_document
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of, export, is_additive
from functions.train.search.blend import Blend
from functions.train.search.target import StandardisedTarget
from functions.train.search.zoo import Algorithm
from shared.model_runtime import Model
from shared.profiles import Background
from shared.serving.explanation import Explainer
from shared.serving.reading import ModelInput
from tests.functions.test_predict_every_algorithm import ALGORITHMS, Data, fitted, mixed

ROWS = 12
BLENDED = ("Ridge", "DecisionTree", "GradientBoosting")
EXACT = 1e-6
SAMPLED = 0.02
"""Of a row's largest effect, on average over rows and in nine of ten of them."""
Vector = NDArray[np.float64]


def narrow() -> Data:
    """Five features of both kinds, missing cells among them: all coalitions are within the budget."""
    return columns_only(("bmi", "s5", "bp", "place", "other"))


def wide() -> Data:
    """Eight features: of rows that differ in all of them from a background row, not every coalition is asked."""
    return columns_only(("bmi", "s5", "bp", "place", "other", "age", "income", "s3"))


def columns_only(names: tuple[str, ...]) -> Data:
    spec, columns, frame, target = mixed()
    return spec, tuple(column for column in columns if column.name in names), frame[list(names)], target


def explainer(entry: Algorithm, data: Data) -> tuple[Explainer, Model, Background]:
    return of_pipeline(fitted(entry, data), data)


def of_pipeline(pipeline: Pipeline, data: Data) -> tuple[Explainer, Model, Background]:
    spec, columns, frame, target = data
    features = describe_features(columns, Rows(frame, target), spec)
    model = Model(export(pipeline), features)
    additive = is_additive(pipeline.named_steps["model"])
    found = background_document(Rows(frame, target), additive=additive, seed=0)
    background = msgspec.structs.replace(found, counts=(1,) * len(found.rows))
    return Explainer(spec.target_range, model, background), model, background


def inputs(model: Model, frame: pd.DataFrame) -> ModelInput:
    return ModelInput(*model.arrays(columns_of(frame)), len(frame))


def judged(model: Model, background: Background, frame: pd.DataFrame) -> tuple[Vector, float]:
    """shap's effects (n, d) in the model's order, and its base. It takes numbers, so words go in as their places."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    names = [*model.numeric, *model.categorical]
    words: list[Any] = [*sorted({cell for name in model.categorical for cell in frame[name].dropna()}), ""]
    words += [cell for row in background.rows for cell in row.values() if isinstance(cell, str) and cell not in words]

    def coded(numbers: Vector, texts: NDArray[np.object_]) -> Vector:
        return np.hstack([numbers, np.vectorize(words.index, otypes=[float])(texts)])

    def predict(cells: Vector) -> Vector:
        numbers, places = cells[:, : len(model.numeric)], cells[:, len(model.numeric) :].astype(int)
        return model.run(np.ascontiguousarray(numbers), np.array(words, dtype=object)[places])

    others = coded(*model.arrays({name: [row[name] for row in background.rows] for name in names}))
    asked = coded(*model.arrays(columns_of(frame)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masker = shap.maskers.Independent(others, max_samples=len(others))
        told = shap.explainers.ExactExplainer(predict, masker)(asked, silent=True)
    return told.values, float(told.base_values[0])


@pytest.mark.parametrize("entry", ALGORITHMS, ids=lambda entry: entry.name)
@pytest.mark.parametrize("table", [narrow, wide], ids=lambda table: str(table.__name__))
def test_the_effects_are_those_of_shap(entry: Algorithm, table: Callable[[], Data]) -> None:
    data = table()
    linear = entry.name in ("LinearRegression", "Ridge", "Lasso")
    told_as_shap_tells(*explainer(entry, data), data, "exact" if linear or table is narrow else "sampled")


@pytest.mark.parametrize("table", [narrow, wide], ids=lambda table: str(table.__name__))
def test_the_effects_of_a_blend_are_those_of_shap(table: Callable[[], Data]) -> None:
    """A line, a tree and boosted trees in one graph."""
    data = table()
    members = {entry.name: entry.make(0).set_params(**entry.opening) for entry in ALGORITHMS if entry.name in BLENDED}
    model = StandardisedTarget(Blend(members).set_params(**dict.fromkeys(members, 1.0)))
    pipeline = Pipeline([("preprocess", preprocessing(data[1])), ("model", model)]).fit(data[2], data[3])
    told_as_shap_tells(*of_pipeline(pipeline, data), data, "exact" if table is narrow else "sampled")


def told_as_shap_tells(found: Explainer, model: Model, background: Background, data: Data, method: str) -> None:
    frame = data[2].iloc[100 : 100 + ROWS].reset_index(drop=True)
    effects = found.effects(inputs(model, frame))
    expected, base = judged(model, background, frame)
    scale = max(1.0, float(np.abs(expected).max()))
    assert found.base == pytest.approx(base, rel=EXACT)
    off = np.abs(effects - expected)
    assert found.method == method
    if found.method == "exact":
        assert off.max() <= EXACT * scale
    else:
        largest = np.abs(expected).max(axis=1)
        errors = off.max(axis=1) / largest
        assert float(errors.mean()) <= SAMPLED
        assert float(np.quantile(errors, 0.9)) <= SAMPLED
