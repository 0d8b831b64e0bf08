"""What the parser reads by itself is what would have been read cell by cell; anything else it leaves alone."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.settings import Limits
from functions.predict.wire import payload
from shared.documents import Feature
from shared.problems import Refusal
from shared.serving.reading import ModelInput
from shared.serving.rows import RequestSchema
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client, codes
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, golden_rows, manifest, promote
from tests.unit.predict.test_rows import ACCEPTED, CELLS, REFUSED, SCHEMA

KINDS = (
    Feature(name="since", kind="date", nullable=True, imputed=19_000.0, min=18_000.0, max=20_000.0),
    Feature(name="paid", kind="boolean", nullable=True, imputed=False),
    Feature(name="left: why", kind="boolean", nullable=False, imputed=False),
    Feature(
        name="größe", kind="numeric", nullable=True, imputed=1.0, min=0.0, max=2.0**60, lowest=-9.0, highest=2.0**61
    ),
    Feature(name="town", kind="categorical", nullable=True, imputed="a", categories=("a", "B", 'c"d', "é")),
)
ROW_OF_KINDS = {"since": "2022-01-31", "paid": True, "left: why": False, "größe": 2, "town": "B"}


def plainly(schema: RequestSchema, body: bytes) -> ModelInput | None:
    return schema.plain.read(body, body.count(b":"))


def told(schema: RequestSchema, rows: list[dict[str, Any]]) -> ModelInput | None:
    """The rows read cell by cell, or None where that finds a problem."""
    try:
        read = schema.read_rows(rows)
    except Refusal:
        return None
    return None if read.warnings else read


def require_same(schema: RequestSchema, rows: list[dict[str, Any]], body: bytes) -> bool:
    """Whether the parser has read the body. What it reads must equal what is read cell by cell."""
    read = plainly(schema, body)
    if read is None:
        return False
    expected = told(schema, rows)
    assert expected is not None
    np.testing.assert_array_equal(read.numeric, expected.numeric)
    np.testing.assert_array_equal(read.categorical, expected.categorical)
    assert (read.rows, read.warnings, read.refused) == (len(rows), (), {})
    return True


@given(
    st.lists(st.fixed_dictionaries({feature.name: CELLS for feature in FEATURES}), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_what_the_parser_reads_is_read_the_same_cell_by_cell(
    rows: list[dict[str, Any]], wrapped: bool, ascii_only: bool
) -> None:
    document: Any = {"instances": rows} if wrapped else rows
    require_same(SCHEMA, rows, json.dumps(document, ensure_ascii=ascii_only).encode())


SENT: dict[str, list[Any]] = {
    "since": ["2022-01-31", "2018-01-01", "2031-01-01", "2022-02-30", "x", None, 1],
    "paid": [True, False, None, 1, 0.0, "true"],
    "left: why": [True, False, None, 0],
    "größe": [0, -0.0, 1.5, None, -1, -10, 2**53 + 1, 2**60, 2**60 + 1, 2**62, "1", True, [1]],
    "town": ["a", "B", 'c"d', "é", "b", " a", None, "", 1],
}


@pytest.mark.parametrize("feature", [*KINDS, *FEATURES], ids=lambda feature: feature.name)
def test_each_cell_of_every_kind_is_read_the_same(feature: Feature) -> None:
    schema = RequestSchema(manifest(FIRST, {}, features=(feature,)))
    sent = SENT.get(feature.name) or [cell for name, cell, *_ in [*ACCEPTED, *REFUSED] if name == feature.name]
    for cell in sent:
        rows = [{feature.name: cell}]
        require_same(schema, rows, json.dumps(rows).encode())


def test_plain_rows_are_read_by_the_parser() -> None:
    schema = RequestSchema(manifest(FIRST, {}, features=tuple(one for one in KINDS if ":" not in one.name)))
    row = {name: cell for name, cell in ROW_OF_KINDS.items() if ":" not in name}
    for cells in (row, {**row, "paid": None, "größe": None, "town": 'c"d'}, dict(reversed(row.items()))):
        rows = [row, cells]
        assert require_same(schema, rows, json.dumps(rows).encode())
        assert require_same(schema, rows, json.dumps({"instances": rows}, ensure_ascii=False, indent=1).encode())
    for name, sent, _ in ACCEPTED:
        if sent in [*(next(one for one in FEATURES if one.name == name).categories or ()), 5, 25.0, None]:
            assert require_same(SCHEMA, [{**ROW, name: sent}], json.dumps([{**ROW, name: sent}]).encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"age": 15', '"age": 15, "age": 15'),
        ('"age": 15', '"age": 15, "\\u0061ge": 15'),
        ('"age": 15', '"years": 15'),
        ('"age": 15', '"age": 15, "name": "x"'),
        ('"age": 15, ', ""),
        ('"age": 15', '"age": 1e999'),
        ('"age": 15', '"age": NaN'),
        ('{"instances"', '{"instances": [], "instances"'),
        ('{"instances"', '{"more": [], "instances"'),
        ("]}", "]} x"),
        ("]}", "]"),
    ],
)
def test_what_is_no_plain_batch_is_left_alone(old: str, new: str) -> None:
    body = json.dumps({"instances": [ROW]})
    assert old in body
    assert plainly(SCHEMA, body.encode()) is not None
    assert plainly(SCHEMA, body.replace(old, new, 1).encode()) is None


@pytest.mark.parametrize("body", [b'"text"', b"{}", b"null", b"[1]", b'{"instances": 1}', b"\xff", b"", b'["\xff"]'])
def test_what_is_no_batch_at_all_is_left_alone(body: bytes) -> None:
    assert plainly(SCHEMA, body) is None


def test_a_model_without_a_type_of_row_has_all_batches_read_cell_by_cell() -> None:
    """A name that JSON has to escape, and a feature of which training saw no category at all."""
    for feature in (
        Feature(name='a"b', kind="numeric", nullable=False, imputed=0.0),
        Feature(name="a", kind="categorical", nullable=True, imputed="", categories=()),
    ):
        schema = RequestSchema(manifest(FIRST, {}, features=(feature,)))
        assert (
            plainly(schema, json.dumps([{feature.name: 1.5 if feature.kind == "numeric" else None}]).encode()) is None
        )


@pytest.fixture
def store() -> MemoryStore:
    found = MemoryStore()
    promote(found)
    return found


def test_a_plain_batch_has_the_answer_of_any_other(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [dict(row) for row in golden_rows()]
    client = Client(store)
    client.get("/ready")
    by_cell = client.post("/predict_batch?errors=all", json.dumps(rows))
    monkeypatch.setattr(payload, "parse_json", lambda *_: pytest.fail("a plain batch was read cell by cell"))
    for body in (json.dumps(rows), json.dumps({"instances": rows})):
        plain = client.post("/predict_batch", body)
        assert (plain.status_code, plain.content) == (200, by_cell.content)
        assert plain.headers["vary"] == by_cell.headers["vary"]
    assert client.post("/predict_batch", "[]").json()["predictions"] == []


def test_a_plain_batch_is_counted(store: MemoryStore) -> None:
    client = Client(store)
    client.get("/ready")
    client.post("/predict_batch", json.dumps([ROW, ROW]))
    client.counters.drain()
    blocks = [msgspec.json.decode(store.read(one.name).data) for one in store.list("live/")]
    assert [(block["rows"], block["features"]["gender"]["other"]) for block in blocks] == [(2, 2)]


def test_limits_and_refusals_are_those_of_any_batch(store: MemoryStore) -> None:
    client = Client(store, limits=Limits(max_rows=2, max_bytes=4096))
    client.get("/ready")
    three, two = json.dumps([ROW] * 3), json.dumps([ROW] * 2)
    assert client.post("/predict_batch", two).status_code == 200
    assert client.post("/predict_batch", three).status_code == 413
    assert codes(client.post("/predict_batch", two, {**JSON, "X-Unit": "x" * 300})) == [("", "unit_too_long")]
    table = client.post("/predict_batch", two, {**JSON, "Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert client.post("/predict_batch", two, CSV).status_code == 400
    twice = two.replace('"age": 15', '"age": 15, "age": 16', 1)
    assert codes(client.post("/predict_batch", twice)) == [("/age", "duplicate_key")]
