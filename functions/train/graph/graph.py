"""An ONNX graph under construction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from shared.model_runtime import PREDICTION


class NotExportable(ValueError):
    """The estimator has no exporter, or its graph does not predict what it predicts."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers in a graph, int64, in arithmetic with others; // rounds down what is not negative."""

    graph: "Graph"
    name: str

    def __add__(self, other: "Whole | int") -> "Whole":
        return self._with("Add", other)

    def __sub__(self, other: "Whole | int") -> "Whole":
        return self._with("Sub", other)

    def __mul__(self, other: "Whole | int") -> "Whole":
        return self._with("Mul", other)

    def __floordiv__(self, other: "Whole | int") -> "Whole":
        return self._with("Div", other)

    def __mod__(self, other: "Whole | int") -> "Whole":
        return self._with("Mod", other)

    def _with(self, operator: str, other: "Whole | int") -> "Whole":
        made = f"whole_{len(self.graph.nodes)}"
        second = other.name if isinstance(other, Whole) else self.graph.constant(f"{made}_by", np.array(other))
        self.graph.node(operator, [self.name, second], [made])
        return Whole(self.graph, made)


@dataclass
class Graph:
    """Nodes, constants and inputs so far.

    `scale` and `center` take an estimator's prediction to the target's unit.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    scale: float = 1.0
    center: float = 0.0

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node of `operator` between values by name."""
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add values under a name, which is returned."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def include(self, part: "Graph", prefix: str) -> str:
        """Add the nodes of `part`, whose own names get a prefix, and give the name of its output."""
        own = {constant.name for constant in part.constants} | {name for node in part.nodes for name in node.output}
        for constant in part.constants:
            constant.name = prefix + constant.name
            self.constants.append(constant)
        for node in part.nodes:
            _rename(node, own, prefix)
            self.nodes.append(node)
        return prefix + PREDICTION

    def predict(self, summed: str, offset: float) -> None:
        """Add the output: `summed` (n, 1) plus `offset`, in the target's unit. All of it is in double precision."""
        self.constant("unit", np.array([[self.scale]]))
        self.constant("offset", np.array([[offset * self.scale + self.center]]))
        self.node("Mul", [summed, "unit"], ["summed_in_units"])
        self.node("Add", ["summed_in_units", "offset"], [PREDICTION])


def _rename(node: onnx.NodeProto, own: Collection[str], prefix: str) -> None:
    """Prefix the `own` names that a node reads and writes, and those that a graph inside it reads from outside."""
    for names in (node.input, node.output):
        names[:] = [prefix + name if name in own else name for name in names]
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _rename(inner, own, prefix)
