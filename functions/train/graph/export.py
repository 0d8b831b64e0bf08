"""A fitted pipeline as one ONNX graph, its preprocessing included, and the proof that both predict the same.

The preprocessing (`encoding`) is built by hand in double precision: the stock converter computes it in single
precision and is off by whole points on integer columns. `shared.model_runtime` has the contract of inputs and output.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.pipeline import Pipeline

from functions.train.graph import trees
from functions.train.graph.encoding import Encoding
from functions.train.graph.graph import Graph, NotExportable
from functions.train.graph.neighbours import k_nearest
from functions.train.search.blend import Blend
from functions.train.search.target import StandardisedTarget
from shared.cells import FIRST_DAY, LAST_DAY, day_text
from shared.documents import Cell, Feature
from shared.errors import IntegrityError
from shared.graph_rules import require_known
from shared.model_runtime import PREDICTION, Model, tolerance

OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3))
IR_VERSION = 10
RANDOM_ROWS = 10_000
MOST_CELLS = 4_000_000
"""Graph and pipeline are compared on rows of this many cells at most: on fewer rows where there are 1,500 columns."""
LEAST_ROWS = 200
UNSEEN = "\N{REPLACEMENT CHARACTER} never seen"


Exporter = Callable[[Any, Graph, str], None]
"""Adds an estimator's nodes from the feature matrix (n, w) double of that name to the output `prediction`."""


def export(pipeline: Pipeline) -> bytes:
    """The graph of a pipeline of `preprocess` and `model`. Raises NotExportable."""
    estimator, graph = pipeline.named_steps["model"], Graph()
    if isinstance(estimator, StandardisedTarget):
        graph.scale, graph.center = estimator.scale_, estimator.center_
        estimator = estimator.estimator
    encoding = Encoding(pipeline.named_steps["preprocess"], graph)
    name = type(estimator).__name__
    if name in LINEAR:
        intercept = float(np.ravel(estimator.intercept_)[0])
        encoding.weighted_sum(np.ravel(estimator.coef_) * graph.scale, intercept * graph.scale + graph.center)
    elif isinstance(estimator, Blend):
        _blend(estimator, graph, encoding.matrix())
    elif name in EXPORTERS:
        EXPORTERS[name](estimator, graph, encoding.matrix())
    else:
        raise NotExportable(f"there is no ONNX exporter for {name}")
    output = helper.make_tensor_value_info(PREDICTION, TensorProto.DOUBLE, [None, 1])
    proto = helper.make_graph(graph.nodes, "pipeline", graph.inputs, [output], graph.constants)
    model = helper.make_model(proto, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="train")
    try:
        onnx.checker.check_model(model)
        data = bytes(model.SerializeToString())
        require_known(data)  # or validation would refuse it
    except (ValueError, IntegrityError) as error:  # protobuf holds 2 GB at most
        raise NotExportable(f"the graph cannot be written: {error}") from None
    return data


def require_parity(
    pipeline: Pipeline, model: Model, features: Sequence[Feature], training: pd.DataFrame, seed: int
) -> float:
    """The largest difference on the training rows and on random ones with missing and unseen values, as many as
    `proof_rows` says of each.

    Raises NotExportable beyond the tolerance.
    """
    worst, most = 0.0, proof_rows(len(features))
    if len(training) > most:
        training = training.iloc[np.unique(np.linspace(0, len(training) - 1, most).astype(int))]
    for frame in (training, random_rows(features, min(RANDOM_ROWS, most), seed)):
        expected = np.ravel(pipeline.predict(frame))
        difference = float(np.max(np.abs(model.predict(columns_of(frame)) - expected)))
        if not difference <= tolerance(expected):
            raise NotExportable(
                f"the graph differs from the pipeline by {difference:.3g}, allowed {tolerance(expected):.3g}"
            )
        worst = max(worst, difference)
    return worst


def proof_rows(features: int) -> int:
    """How many rows of so many features are compared at most."""
    return max(LEAST_ROWS, MOST_CELLS // features)


def columns_of(frame: pd.DataFrame) -> dict[str, list[Cell]]:
    """The columns as the runtime takes them: None for missing, truth values and dates as numbers."""
    return {str(name): _cells(frame[name]) for name in frame.columns}


def _cells(values: "pd.Series[Any]") -> list[Cell]:
    cells: list[Cell] = values.tolist()
    for place in np.flatnonzero(values.isna().to_numpy()):
        cells[place] = None
    return cells


def column(model: Model, numeric: NDArray[np.float64], categorical: NDArray[np.object_], name: str) -> NDArray[Any]:
    """The cells (n,) of one feature within the arrays that `model` takes: what is written there, the graph is asked."""
    if name in model.numeric:
        return numeric[:, model.numeric.index(name)]
    return categorical[:, model.categorical.index(name)]


def columns_as_sent(frame: pd.DataFrame, features: Sequence[Feature]) -> dict[str, list[Cell]]:
    """The columns as requests have them, which the runtime takes too: true and false, and dates as text."""
    columns = columns_of(frame)
    for feature in features:
        cells = columns.get(feature.name, [])
        if feature.kind == "boolean":
            columns[feature.name] = [None if cell is None else bool(cell) for cell in cells]
        elif feature.kind == "date":
            columns[feature.name] = [None if cell is None else day_text(float(cell)) for cell in cells]
    return columns


def random_rows(features: Sequence[Feature], rows: int, seed: int) -> pd.DataFrame:
    """Rows over the whole domain: every category, numbers in and around their range, missing and unseen values."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    elsewhere = [feature.categories[0] for feature in features if feature.categories][:5]
    for feature in features:
        if feature.kind == "boolean":
            columns[feature.name] = generator.integers(0, 2, rows).astype(np.float64)
        elif feature.kind != "categorical":
            low, high = feature.min or 0.0, feature.max or 0.0
            values = generator.uniform(low - (high - low), high + (high - low) + 1.0, rows)
            whole = generator.random(rows) < 0.5
            values = np.where(whole, np.round(values), values)
            columns[feature.name] = np.clip(values, FIRST_DAY, LAST_DAY) if feature.kind == "date" else values
        else:
            words = dict.fromkeys([*(feature.categories or ()), UNSEEN, *elsewhere])  # another's word is unknown here
            known = np.array(list(words), dtype=object)
            columns[feature.name] = known[generator.integers(0, len(known), rows)]
        columns[feature.name][generator.random(rows) < 0.1] = np.nan
    return pd.DataFrame(columns)


def _blend(estimator: Blend, graph: Graph, features: str) -> None:
    """Add a fitted blend: every member beside the others on the same matrix, and their weighted sum."""
    parts = []
    for place, (weight, member) in enumerate(estimator.fitted_):
        part = Graph(scale=member.scale_ * graph.scale, center=member.center_ * graph.scale + graph.center)
        _member(member.estimator, part, features)
        predicted = graph.include(part, f"member_{place}_")
        share = graph.constant(f"weight_{place}", np.array([[weight]]))
        graph.node("Mul", [predicted, share], [f"weighted_{place}"])
        parts.append(f"weighted_{place}")
    for place, name in enumerate(parts[1:], 1):
        summed = PREDICTION if place == len(parts) - 1 else f"blended_{place}"
        graph.node("Add", [parts[place - 1] if place == 1 else f"blended_{place - 1}", name], [summed])


def _member(estimator: Any, part: Graph, features: str) -> None:
    name = type(estimator).__name__
    if name in LINEAR:
        part.constant("coefficients", np.ravel(estimator.coef_).reshape(-1, 1))
        part.node("MatMul", [features, "coefficients"], ["weighted_features"])
        part.predict("weighted_features", float(np.ravel(estimator.intercept_)[0]))
    elif name in EXPORTERS:
        EXPORTERS[name](estimator, part, features)
    else:
        raise NotExportable(f"there is no ONNX exporter for {name}")


def is_additive(estimator: Any) -> bool:
    """Whether the graph of a pipeline with such an estimator adds up one function of each feature."""
    inner = estimator.estimator if isinstance(estimator, StandardisedTarget) else estimator
    return type(inner).__name__ in LINEAR


def _catboost(estimator: Any, graph: Graph, features: str) -> None:
    from catboost.utils import convert_to_onnx_object

    trees.catboost(estimator, graph, features, convert_to_onnx_object)


LINEAR = frozenset({"LinearRegression", "Ridge", "Lasso"})

EXPORTERS: Mapping[str, Exporter] = {
    "TiedNeighbours": k_nearest,
    "DecisionTreeRegressor": trees.decision_tree,
    "RandomForestRegressor": trees.random_forest,
    "AdaBoostRegressor": trees.ada_boost,
    "GradientBoostingRegressor": trees.gradient_boosting,
    "XGBRegressor": trees.xgboost,
    "CatBoostRegressor": _catboost,
}
"""Exporters by the name of the estimator's class, so that no library is imported for an algorithm that does not run."""
