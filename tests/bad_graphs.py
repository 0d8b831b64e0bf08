"""Graphs as somebody could write them who means no good: each right in its form, with the inputs of a real one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shared.documents import Feature
from shared.model_runtime import PREDICTION
from tests.candidates import FEATURES, graph

Change = Callable[[Any], None]


def changed(change: Change, features: Sequence[Feature] = FEATURES) -> bytes:
    """A real graph after `change` of its protobuf."""
    model = onnx.load_from_string(graph(features, 4.0))
    change(model)
    return bytes(model.SerializeToString())


def _prediction_by(model: Any, *nodes: Any, constants: Sequence[Any] = ()) -> None:
    """Let the last node be called `before`, and `nodes` make the prediction of it."""
    model.graph.node[-1].output[0] = "before"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)


def _endless(model: Any) -> None:
    """A loop whose condition stays true: it has no number of steps."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["carried"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.DOUBLE, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.DOUBLE, None),
        ],
    )
    forever = numpy_helper.from_array(np.array(True), "forever")
    _prediction_by(
        model, helper.make_node("Loop", ["", "forever", "before"], [PREDICTION], body=body), constants=[forever]
    )


def _external(model: Any) -> None:
    """A constant that is read from a file beside the process."""
    constant = model.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="secret.key")


def _external_in_attribute(model: Any) -> None:
    tensor = numpy_helper.from_array(np.zeros(1), "keys")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.key")
    encoder = next(node for node in model.graph.node if node.op_type == "LabelEncoder")
    encoder.attribute.add(name="keys_strings", type=onnx.AttributeProto.TENSOR, t=tensor)


def _function(model: Any) -> None:
    inner = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("ours", "f", ["x"], ["y"], [inner], [helper.make_opsetid("", 17)]))


def _inner(operator: str) -> Change:
    def change(model: Any) -> None:
        row = helper.make_tensor_value_info("row", TensorProto.DOUBLE, [1])
        out = helper.make_tensor_value_info("out", TensorProto.DOUBLE, [1])
        attributes: dict[str, Any] = {}
        if operator == "Scan":
            deepest = helper.make_graph([helper.make_node("Abs", ["row"], ["out"])], "deepest", [row], [out])
            attributes = {"body": deepest, "num_scan_inputs": 1}
        body = helper.make_graph([helper.make_node(operator, ["row"], ["out"], **attributes)], "body", [row], [out])
        _prediction_by(model, helper.make_node("Scan", ["before"], [PREDICTION], body=body, num_scan_inputs=1))

    return change


def _by_operator(operator: str, **attributes: Any) -> Change:
    return lambda model: _prediction_by(model, helper.make_node(operator, ["before"], [PREDICTION], **attributes))


def _graph_in_cast(model: Any) -> None:
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.attribute[0].type = onnx.AttributeProto.GRAPH
    cast.attribute[0].g.CopyFrom(helper.make_graph([helper.make_node("Abs", ["row"], ["out"])], "body", [], []))


def _many(model: Any) -> None:
    _prediction_by(model, *(helper.make_node("Abs", ["before"], [f"abs_{i}"]) for i in range(50_001)))


REFUSED: Mapping[str, tuple[Change, str]] = {
    "endless loop": (_endless, "'Loop'"),
    "branch": (_by_operator("If"), "'If'"),
    "random numbers": (_by_operator("RandomNormalLike"), "'RandomNormalLike'"),
    "another's operator": (_by_operator("Tokenizer", domain="com.microsoft"), "'Tokenizer'"),
    "another's domain": (_by_operator("Abs", domain="com.microsoft"), "'Abs'"),
    "loop in a scan": (_inner("Loop"), "'Loop' within Scan"),
    "scan in a scan": (_inner("Scan"), "'Scan' within Scan"),
    "graph in a cast": (_graph_in_cast, "a graph within Cast"),
    "strange attribute": (_by_operator("Abs", body=3), "the attribute 'body' of Abs"),
    "external data": (_external, "external data"),
    "external data in an attribute": (_external_in_attribute, "external data"),
    "function": (_function, "functions or training information"),
    "nodes without number": (_many, "nodes, more than"),
}
"""What is refused before anything is loaded, with words of the refusal."""


def slow(model: Any) -> None:
    """Only operators that are known, and hours of arithmetic: products of a constant with itself."""
    side = 1500
    constants = [numpy_helper.from_array(np.full((side, side), 1e-3), "square")]
    # The first factor depends on the rows: else the products would be made while the graph is loaded.
    rows = helper.make_node("MatMul", ["before", "line"], ["product_0"])
    constants.append(numpy_helper.from_array(np.full((1, side), 1e-3), "line"))
    tall = helper.make_node("MatMul", ["column", "product_row"], ["product_1"])
    first = helper.make_node("ReduceSum", ["product_0", "first_axis"], ["product_row"], keepdims=1)
    constants.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "first_axis"))
    constants.append(numpy_helper.from_array(np.ones((side, 1)), "column"))
    products = [helper.make_node("MatMul", [f"product_{i}", "square"], [f"product_{i + 1}"]) for i in range(1, 20_000)]
    total = helper.make_node("ReduceSum", ["product_20000", "both_axes"], ["sum"], keepdims=0)
    constants.append(numpy_helper.from_array(np.array([0, 1], dtype=np.int64), "both_axes"))
    last = helper.make_node("Add", ["before", "sum"], [PREDICTION])
    _prediction_by(model, rows, first, tall, *products, total, last, constants=constants)


def greedy(model: Any) -> None:
    """Only operators that are known, and more memory than anybody has: 100,000 × 100,000 numbers."""
    constants = [
        numpy_helper.from_array(np.ones((100_000, 1)), "tall"),
        numpy_helper.from_array(np.ones((1, 100_000)), "wide"),
        numpy_helper.from_array(np.array([0, 1], dtype=np.int64), "both_axes"),
        numpy_helper.from_array(np.array([0], dtype=np.int64), "first_axis"),
    ]
    one = helper.make_node("ReduceSum", ["before", "first_axis"], ["one"], keepdims=1)
    scaled = helper.make_node("Mul", ["tall", "one"], ["scaled"])
    product = helper.make_node("MatMul", ["scaled", "wide"], ["product"])
    total = helper.make_node("ReduceSum", ["product", "both_axes"], ["sum"], keepdims=0)
    last = helper.make_node("Add", ["before", "sum"], [PREDICTION])
    _prediction_by(model, one, scaled, product, total, last, constants=constants)
