"""Nearest neighbours as an ONNX graph: the distinct training rows inside, one scan step per row to predict, so that
memory stays small."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from functions.train.graph.graph import Graph, NotExportable
from shared.model_runtime import PREDICTION

MAX_TRAINING_CELLS = 1_000_000
"""Every prediction compares with all of them: more is neither a small graph nor a quick answer."""


def k_nearest(estimator: Any, graph: Graph, features: str) -> None:
    """Add a fitted TiedNeighbours: Minkowski distances with p = 1 or 2, weights uniform or by inverse distance.

    Raises NotExportable where it keeps too many rows.
    """
    rows = estimator.rows_
    if rows.size > MAX_TRAINING_CELLS:
        raise NotExportable(f"it keeps {rows.size} training cells, over the limit of {MAX_TRAINING_CELLS}")
    _constants(estimator, graph)
    body = Graph()
    _distances(estimator.p, body)
    _within_the_farthest(body)
    _average(body, estimator.weights)
    width = rows.shape[1]
    row = helper.make_tensor_value_info("row", TensorProto.DOUBLE, [width])
    average = helper.make_tensor_value_info("average", TensorProto.DOUBLE, [1])
    inner = helper.make_graph(body.nodes, "one_row", [row], [average])
    graph.node("Scan", [features], [PREDICTION], body=inner, num_scan_inputs=1)


def _constants(estimator: Any, graph: Graph) -> None:
    graph.constant("training_rows", estimator.rows_)
    graph.constant("training_counts", estimator.counts_)
    graph.constant("training_targets", estimator.targets_ * graph.scale + graph.center)
    asked = min(estimator.n_neighbors, len(estimator.rows_))
    graph.constant("asked", np.array([asked], dtype=np.int64))
    wanted = min(float(estimator.n_neighbors), float(estimator.counts_.sum()))
    graph.constant("wanted", np.array(wanted))
    graph.constant("tie", np.array(estimator.tie))
    graph.constant("of_row", np.array([1], dtype=np.int64))
    graph.constant("of_all", np.array([0], dtype=np.int64))
    graph.constant("first_axis", np.array(0, dtype=np.int64))
    graph.constant("zero", np.array(0.0))


def _distances(p: int, body: Graph) -> None:
    body.node("Sub", ["training_rows", "row"], ["gap"])
    if p == 1:
        body.node("Abs", ["gap"], ["parts"])
        body.node("ReduceSum", ["parts", "of_row"], ["distance"], keepdims=0)
    else:
        body.node("Mul", ["gap", "gap"], ["parts"])
        body.node("ReduceSum", ["parts", "of_row"], ["squared"], keepdims=0)
        body.node("Sqrt", ["squared"], ["distance"])


def _within_the_farthest(body: Graph) -> None:
    """Count every row up to the distance at which the nearest distinct rows hold k rows: `counted` (u,)."""
    body.node("TopK", ["distance", "asked"], ["nearest", "chosen"], axis=0, largest=0, sorted=1)
    body.node("Gather", ["training_counts", "chosen"], ["counts"])
    body.node("CumSum", ["counts", "first_axis"], ["so_many"])
    body.node("GreaterOrEqual", ["so_many", "wanted"], ["enough"])
    body.node("Cast", ["enough"], ["enough_number"], to=TensorProto.INT64)
    body.node("ArgMax", ["enough_number"], ["last"], axis=0, keepdims=1)
    body.node("Gather", ["nearest", "last"], ["last_distance"])
    # A product with 1 + 1e-9 is taken out by onnxruntime, which compares the factor with 1 in single precision.
    body.node("Mul", ["last_distance", "tie"], ["tied"])
    body.node("Add", ["last_distance", "tied"], ["farthest"])
    body.node("LessOrEqual", ["distance", "farthest"], ["within_farthest"])
    body.node("Cast", ["within_farthest"], ["within_number"], to=TensorProto.DOUBLE)
    body.node("Mul", ["within_number", "training_counts"], ["counted"])


def _average(body: Graph, weights: str) -> None:
    weight = "counted"
    if weights != "uniform":
        body.node("Equal", ["distance", "zero"], ["exact"])
        body.node("Cast", ["exact"], ["exact_weight"], to=TensorProto.DOUBLE)
        body.node("ReduceMax", ["exact_weight", "of_all"], ["any_exact"], keepdims=1)
        body.node("Greater", ["any_exact", "zero"], ["is_exact"])
        body.node("Reciprocal", ["distance"], ["inverse"])
        body.node("Where", ["is_exact", "exact_weight", "inverse"], ["nearness"])
        body.node("Mul", ["counted", "nearness"], ["weight"])
        weight = "weight"
    body.node("Mul", [weight, "training_targets"], ["weighted"])
    body.node("ReduceSum", ["weighted", "of_all"], ["weighted_sum"], keepdims=1)
    body.node("ReduceSum", [weight, "of_all"], ["weight_sum"], keepdims=1)
    body.node("Div", ["weighted_sum", "weight_sum"], ["average"])
