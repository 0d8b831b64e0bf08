"""An ONNX graph under construction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class NotExportable(ValueError):
    """The estimator has no exporter, or its graph does not predict what it predicts."""


@dataclass
class Graph:
    """Nodes, constants and inputs so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node of `operator` between values by name."""
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add values under a name, which is returned."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name
