"""A fitted pipeline as one ONNX graph, its preprocessing included, and the proof that both predict the same.

The preprocessing is built by hand in double precision: the stock converter computes it in single precision and is off
by whole points on integer columns. The contract of inputs and output is that of `shared.model_runtime`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper
from sklearn.pipeline import Pipeline

from functions.train import trees
from functions.train.graph import Graph, NotExportable
from functions.train.neighbours import k_nearest
from functions.train.preprocessing import CATEGORICAL_STEP, NUMERIC_STEP, columns_of_categories
from shared.manifest import Cell, Feature
from shared.model_runtime import CATEGORICAL, MISSING_TEXT, NUMERIC, PREDICTION, Model, tolerance

OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3))
IR_VERSION = 10
RANDOM_ROWS = 10_000
UNSEEN = "\N{REPLACEMENT CHARACTER} never seen"


Exporter = Callable[[Any, Graph, str], None]
"""Adds an estimator's nodes from the feature matrix (n, w) double of that name to the output `prediction`."""


def export(pipeline: Pipeline) -> bytes:
    """The graph of a pipeline of `preprocess` and `model`. Raises NotExportable."""
    estimator = pipeline.named_steps["model"]
    exporter = EXPORTERS.get(type(estimator).__name__)
    if exporter is None:
        raise NotExportable(f"there is no ONNX exporter for {type(estimator).__name__}")
    graph = Graph()
    exporter(estimator, graph, _preprocessing(pipeline.named_steps["preprocess"].named_transformers_, graph))
    output = helper.make_tensor_value_info(PREDICTION, TensorProto.DOUBLE, [None, 1])
    proto = helper.make_graph(graph.nodes, "pipeline", graph.inputs, [output], graph.constants)
    model = helper.make_model(proto, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="train")
    try:
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
    except ValueError as error:  # protobuf holds 2 GB at most
        raise NotExportable(f"the graph cannot be written: {error}") from None


def require_parity(
    pipeline: Pipeline, model: Model, features: Sequence[Feature], training: pd.DataFrame, seed: int
) -> float:
    """The largest difference on the training rows and on random ones with missing and unseen values.

    Raises NotExportable beyond the tolerance.
    """
    worst = 0.0
    for frame in (training, random_rows(features, RANDOM_ROWS, seed)):
        expected = np.ravel(pipeline.predict(frame))
        difference = float(np.max(np.abs(model.predict(columns_of(frame)) - expected)))
        if not difference <= tolerance(expected):
            raise NotExportable(
                f"the graph differs from the pipeline by {difference:.3g}, allowed {tolerance(expected):.3g}"
            )
        worst = max(worst, difference)
    return worst


def columns_of(frame: pd.DataFrame) -> dict[str, list[Cell]]:
    """The columns as the runtime takes them: None for missing."""
    return {str(name): [None if pd.isna(cell) else cell for cell in frame[name].tolist()] for name in frame.columns}


def random_rows(features: Sequence[Feature], rows: int, seed: int) -> pd.DataFrame:
    """Rows over the whole domain: every category, numbers in and around their range, missing and unseen values."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for feature in features:
        if feature.kind == "numeric":
            low, high = feature.min or 0.0, feature.max or 0.0
            values = generator.uniform(low - (high - low), high + (high - low) + 1.0, rows)
            whole = generator.random(rows) < 0.5
            columns[feature.name] = np.where(whole, np.round(values), values)
        else:
            known = np.array([*(feature.categories or ()), UNSEEN], dtype=object)
            columns[feature.name] = known[generator.integers(0, len(known), rows)]
        columns[feature.name][generator.random(rows) < 0.1] = np.nan
    return pd.DataFrame(columns)


def _preprocessing(fitted: Mapping[str, Any], graph: Graph) -> str:
    parts = []
    if NUMERIC_STEP in fitted:
        parts.append(_numeric(fitted[NUMERIC_STEP], graph))
    if CATEGORICAL_STEP in fitted:
        parts += _categorical(fitted[CATEGORICAL_STEP], graph)
    graph.node("Concat", parts, ["features"], axis=1)
    return "features"


def _numeric(fitted: Pipeline, graph: Graph) -> str:
    median = fitted.named_steps["impute"].statistics_
    scaler = fitted.named_steps["scale"]
    graph.inputs.append(helper.make_tensor_value_info(NUMERIC, TensorProto.DOUBLE, [None, len(median)]))
    for name, values in (("median", median), ("mean", scaler.mean_), ("scale", scaler.scale_)):
        graph.constant(name, np.asarray(values, dtype=np.float64).reshape(1, -1))
    graph.node("IsNaN", [NUMERIC], ["numeric_missing"])
    graph.node("Where", ["numeric_missing", "median", NUMERIC], ["numeric_filled"])
    graph.node("Sub", ["numeric_filled", "mean"], ["numeric_centred"])
    graph.node("Div", ["numeric_centred", "scale"], ["numeric_scaled"])
    return "numeric_scaled"


def _categorical(fitted: Pipeline, graph: Graph) -> list[str]:
    """One-hot blocks: the column of a known category, that of the most frequent for missing, −1 (none) for unknown."""
    frequent = fitted.named_steps["impute"].statistics_
    categories = columns_of_categories(fitted.named_steps["encode"])
    count = len(categories)
    graph.inputs.append(helper.make_tensor_value_info(CATEGORICAL, TensorProto.STRING, [None, count]))
    graph.constant("one_each", np.ones(count, dtype=np.int64))
    graph.node("Split", [CATEGORICAL, "one_each"], [f"text_{i}" for i in range(count)], axis=1)
    for i, (known, usual) in enumerate(zip(categories, frequent, strict=True)):
        graph.node(
            "LabelEncoder",
            [f"text_{i}"],
            [f"code_{i}"],
            domain="ai.onnx.ml",
            keys_strings=[*known, MISSING_TEXT],
            values_int64s=[*known.values(), known[str(usual)]],
            default_int64=-1,
        )
        graph.constant(f"codes_{i}", np.arange(max(known.values()) + 1, dtype=np.int64).reshape(1, -1))
        graph.node("Equal", [f"code_{i}", f"codes_{i}"], [f"is_{i}"])
        graph.node("Cast", [f"is_{i}"], [f"onehot_{i}"], to=TensorProto.DOUBLE)
    return [f"onehot_{i}" for i in range(count)]


def _linear(estimator: Any, graph: Graph, features: str) -> None:
    graph.constant("coefficients", np.asarray(estimator.coef_, dtype=np.float64).reshape(-1, 1))
    graph.constant("intercept", np.asarray(estimator.intercept_, dtype=np.float64).reshape(1, 1))
    graph.node("MatMul", [features, "coefficients"], ["weighted"])
    graph.node("Add", ["weighted", "intercept"], [PREDICTION])


def _catboost(estimator: Any, graph: Graph, features: str) -> None:
    from catboost.utils import convert_to_onnx_object

    trees.catboost(estimator, graph, features, convert_to_onnx_object)


EXPORTERS: Mapping[str, Exporter] = {
    "LinearRegression": _linear,
    "Ridge": _linear,
    "Lasso": _linear,
    "KNeighborsRegressor": k_nearest,
    "DecisionTreeRegressor": trees.decision_tree,
    "RandomForestRegressor": trees.random_forest,
    "AdaBoostRegressor": trees.ada_boost,
    "GradientBoostingRegressor": trees.gradient_boosting,
    "XGBRegressor": trees.xgboost,
    "CatBoostRegressor": _catboost,
}
"""By the name of the estimator's class, so that no library is imported for an algorithm that does not run."""
