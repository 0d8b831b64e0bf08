"""Nearest neighbours as an ONNX graph: the training rows inside, one scan step per row, so that memory stays small."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from functions.train.graph.graph import Graph, NotExportable
from shared.model_runtime import PREDICTION

MAX_TRAINING_CELLS = 1_000_000
"""Every prediction compares with all of them: more is neither a small graph nor a quick answer."""


def k_nearest(estimator: Any, graph: Graph, features: str) -> None:
    """Minkowski distances with p = 1 or 2, uniform or by inverse distance; an exact match outweighs all others."""
    rows = np.asarray(estimator._fit_X, dtype=np.float64)
    if rows.size > MAX_TRAINING_CELLS:
        raise NotExportable(f"it keeps {rows.size} training cells, over the limit of {MAX_TRAINING_CELLS}")
    graph.constant("training_rows", rows)
    graph.constant("training_target", np.asarray(estimator._y, dtype=np.float64).reshape(-1))
    graph.constant("neighbours", np.array([estimator.n_neighbors], dtype=np.int64))
    graph.constant("of_row", np.array([1], dtype=np.int64))
    graph.constant("of_all", np.array([0], dtype=np.int64))
    graph.constant("zero", np.array(0.0))
    body = Graph()
    body.node("Sub", ["training_rows", "row"], ["gap"])
    if estimator.p == 1:
        body.node("Abs", ["gap"], ["parts"])
        body.node("ReduceSum", ["parts", "of_row"], ["distance"], keepdims=0)
    else:
        body.node("Mul", ["gap", "gap"], ["parts"])
        body.node("ReduceSum", ["parts", "of_row"], ["squared"], keepdims=0)
        body.node("Sqrt", ["squared"], ["distance"])
    body.node("TopK", ["distance", "neighbours"], ["nearest", "chosen"], axis=0, largest=0, sorted=1)
    body.node("Gather", ["training_target", "chosen"], ["values"])
    _average(body, estimator.weights)
    width = rows.shape[1]
    row = helper.make_tensor_value_info("row", TensorProto.DOUBLE, [width])
    average = helper.make_tensor_value_info("average", TensorProto.DOUBLE, [1])
    inner = helper.make_graph(body.nodes, "one_row", [row], [average])
    graph.node("Scan", [features], [PREDICTION], body=inner, num_scan_inputs=1)


def _average(body: Graph, weights: str) -> None:
    if weights == "uniform":
        body.node("ReduceMean", ["values", "of_all"], ["average"], keepdims=1)
        return
    body.node("Equal", ["nearest", "zero"], ["exact"])
    body.node("Cast", ["exact"], ["exact_weight"], to=TensorProto.DOUBLE)
    body.node("ReduceMax", ["exact_weight", "of_all"], ["any_exact"], keepdims=1)
    body.node("Greater", ["any_exact", "zero"], ["is_exact"])
    body.node("Reciprocal", ["nearest"], ["inverse"])
    body.node("Where", ["is_exact", "exact_weight", "inverse"], ["weight"])
    body.node("Mul", ["weight", "values"], ["weighted"])
    body.node("ReduceSum", ["weighted", "of_all"], ["weighted_sum"], keepdims=1)
    body.node("ReduceSum", ["weight", "of_all"], ["weight_sum"], keepdims=1)
    body.node("Div", ["weighted_sum", "weight_sum"], ["average"])
