"""The runtime of the graphs: what fails is raised, and no line of its own is written."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared.documents import Feature
from shared.errors import IntegrityError
from shared.model_runtime import NUMERIC, PREDICTION, Model

AGE = [Feature(name="age", kind="numeric", nullable=False, imputed=0.0)]


def looking_up() -> bytes:
    """A graph that looks its number up in a table of three."""
    nodes = [
        helper.make_node("Cast", [NUMERIC], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], [PREDICTION]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 1]) for name in (NUMERIC, PREDICTION)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(np.zeros(3), "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def test_what_a_graph_fails_with_is_raised_and_never_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = Model(looking_up(), AGE)
    assert model.run(np.array([[2.0]]), np.empty((1, 0), dtype=object)).tolist() == [0.0]
    with pytest.raises(Exception, match="out of data bounds"):
        model.run(np.array([[7.0]]), np.empty((1, 0), dtype=object))
    with pytest.raises(IntegrityError):
        Model(b"no graph", AGE)
    assert "".join(capfd.readouterr()) == "", "logs are JSON, a line each"
