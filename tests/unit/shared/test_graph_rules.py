"""Which graphs are loaded at all. That the exporters' own graphs are among them, the tests of training say."""

import onnx
import pytest

from shared.errors import IntegrityError
from shared.graph_rules import require_known
from tests.bad_graphs import REFUSED, changed, greedy, slow
from tests.candidates import FEATURES, graph


def test_a_graph_of_known_operators_is_known() -> None:
    require_known(graph(FEATURES, 4.0))


@pytest.mark.parametrize("change", [slow, greedy], ids=["slow", "greedy"])
def test_what_costs_much_but_ends_is_known_and_left_to_the_limits(change: object) -> None:
    require_known(changed(change))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_exporter_writes_is_refused_by_name(name: str) -> None:
    change, words = REFUSED[name]
    with pytest.raises(IntegrityError, match="no exporter of this system writes") as caught:
        require_known(changed(change))
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 100, b"\x3a\xff\xff\xff\xff\x7f", b"\x3a\x02" * 50])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no ONNX model"):
        require_known(data)


def test_a_graph_in_two_pieces_is_read_as_the_runtime_reads_it() -> None:
    """Protobuf merges a field that comes twice: a second piece could bring what the first one has not."""
    model = onnx.load_from_string(changed(REFUSED["endless loop"][0]))
    pieces = graph(FEATURES, 4.0) + model.SerializeToString()
    with pytest.raises(IntegrityError, match="'Loop'"):
        require_known(pieces)


def test_a_name_that_is_no_text_is_no_fault_of_ours() -> None:
    model = changed(lambda proto: proto.graph.node[-1].__setattr__("op_type", "AddXYZ"))
    with pytest.raises(IntegrityError, match="the operator"):
        require_known(model.replace(b"AddXYZ", b"Add\xff\xfe\xfd"))
