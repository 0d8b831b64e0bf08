"""What a served graph may hold: the operators that the exporters write, with their attributes, and nothing else.

A graph is a program that others may have written. What is written here ends after a known number of steps; `Loop` and
`If` need not, external data is read from files beside the process, and functions hide what they call. The graph is
parsed by protobuf's own parser with the few fields that are looked at; all others stay the bytes that they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from shared.errors import IntegrityError

ML = "ai.onnx.ml"
"""ONNX's domain of trees and encoders; the plain operators have none."""

_TREE = "nodes_featureids nodes_falsenodeids nodes_modes nodes_nodeids nodes_treeids nodes_truenodeids nodes_values"
_TREE_OF_CATBOOST = "nodes_hitrates nodes_missing_value_tracks_true base_values aggregate_function"
_TARGETS = "n_targets post_transform target_ids target_nodeids target_treeids target_weights"

OPERATORS: Mapping[tuple[str, str], str] = {
    ("", "Abs"): "",
    ("", "Add"): "",
    ("", "ArgMax"): "axis keepdims select_last_index",
    ("", "Cast"): "to",
    ("", "Concat"): "axis",
    ("", "CumSum"): "exclusive reverse",
    ("", "Div"): "",
    ("", "Equal"): "",
    ("", "Floor"): "",
    ("", "Gather"): "axis",
    ("", "GatherElements"): "axis",
    ("", "Gemm"): "alpha beta transA transB",
    ("", "Greater"): "",
    ("", "GreaterOrEqual"): "",
    ("", "IsNaN"): "",
    ("", "LessOrEqual"): "",
    ("", "MatMul"): "",
    ("", "Mod"): "fmod",
    ("", "Mul"): "",
    ("", "Reciprocal"): "",
    ("", "ReduceMax"): "keepdims noop_with_empty_axes",
    ("", "ReduceSum"): "keepdims noop_with_empty_axes",
    ("", "Scan"): "body num_scan_inputs",
    ("", "Split"): "axis num_outputs",
    ("", "Sqrt"): "",
    ("", "Sub"): "",
    ("", "TopK"): "axis largest sorted",
    ("", "Where"): "",
    (ML, "LabelEncoder"): "default_float default_int64 default_string keys_strings values_floats values_int64s",
    (ML, "TreeEnsembleRegressor"): f"{_TREE} {_TREE_OF_CATBOOST} {_TARGETS}",
}
"""(domain, operator) → its attributes. Whoever writes an exporter adds here what it needs, if it always ends."""

MAX_NODES = 50_000
"""Nodes of a graph: a table of thousands of columns has one encoder for each."""

SCAN = ("", "Scan")
"""The one operator with a graph inside: one step for each row. A second one within would make it rows squared."""

_ENTRIES: Mapping[str, Sequence[tuple[str, int, str]]] = {
    "Model": (("graph", 7, "Graph"), ("training_info", 20, "*Nothing"), ("functions", 25, "*Nothing")),
    "Graph": (("node", 1, "*Node"), ("initializer", 5, "*Tensor"), ("sparse_initializer", 15, "*Nothing")),
    "Node": (("op_type", 4, "bytes"), ("attribute", 5, "*Attribute"), ("domain", 7, "bytes")),
    "Attribute": (
        ("name", 1, "bytes"),
        ("t", 5, "Tensor"),
        ("g", 6, "Graph"),
        ("tensors", 10, "*Tensor"),
        ("graphs", 11, "*Nothing"),
        ("sparse_tensor", 22, "Nothing"),
        ("sparse_tensors", 23, "*Nothing"),
    ),
    "Tensor": (("external_data", 13, "*Nothing"), ("data_location", 14, "int32")),
    "Nothing": (),
}
"""Fields of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3) that are looked at: name, number and
type, `*` for many."""


def require_known(graph: bytes) -> None:
    """Refuse a graph that holds anything which no exporter writes. Raises IntegrityError with the first stranger."""
    from google.protobuf.message import DecodeError

    try:
        model = _message("Model").FromString(graph)
    except (DecodeError, RecursionError) as error:
        raise IntegrityError(f"the graph is no ONNX model: {type(error).__name__}") from None
    if not model.graph.node:
        raise IntegrityError("the graph is no ONNX model, or has no nodes")
    stranger = next(_strangers(model), None)
    if stranger is not None:
        raise IntegrityError(f"the graph holds {stranger}, which no exporter of this system writes")


def _strangers(model: Any) -> Iterator[str]:
    if model.functions or model.training_info:
        yield "functions or training information of its own"
    yield from _in_graph(model.graph, inner=False)


def _in_graph(graph: Any, *, inner: bool) -> Iterator[str]:
    if len(graph.node) > MAX_NODES:
        yield f"{len(graph.node)} nodes, more than {MAX_NODES}"
        return
    if graph.sparse_initializer:
        yield "sparse constants"
    if any(map(_external, graph.initializer)):
        yield "external data"
    for node in graph.node:
        yield from _in_node(node, inner=inner)


def _in_node(node: Any, *, inner: bool) -> Iterator[str]:
    domain, operator = _text(node.domain), _text(node.op_type)
    kind = ("" if domain == "ai.onnx" else domain, operator)
    allowed = OPERATORS.get(kind)
    if allowed is None or (inner and kind == SCAN):
        yield f"the operator {operator[:64]!r}{' within Scan' if inner else ''}"
        return
    for attribute in node.attribute:
        if _text(attribute.name) not in allowed.split():
            yield f"the attribute {_text(attribute.name)[:64]!r} of {operator}"
        if attribute.graphs or attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            yield f"graphs or sparse constants in {operator}"
        if any(map(_external, [attribute.t, *attribute.tensors])):
            yield "external data"
        if attribute.HasField("g"):
            if kind != SCAN:
                yield f"a graph within {operator}"
            yield from _in_graph(attribute.g, inner=True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _external(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location != 0


@cache
def _message(name: str) -> Any:
    """The class of a message of `_ENTRIES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    scalars = {"bytes": field.TYPE_BYTES, "int32": field.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="graph_rules.proto", package="graph_rules", syntax="proto2")
    for message, entries in _ENTRIES.items():
        described = file.message_type.add(name=message)
        for label, number, text in entries:
            kind = text.removeprefix("*")
            described.field.add(
                name=label,
                number=number,
                label=field.LABEL_REPEATED if text != kind else field.LABEL_OPTIONAL,
                type=scalars.get(kind, field.TYPE_MESSAGE),
                type_name=None if kind in scalars else f".graph_rules.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"graph_rules.{name}"))
