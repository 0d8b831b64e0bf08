"""What a body holds is counted as any parser would find it, wherever the pieces are cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.wire import structure as module
from functions.predict.wire.payload import SMALL_BYTES, Most, parse_json
from functions.predict.wire.strict_json import MOST_FIELDS
from functions.predict.wire.structure import at_most, cells, structure
from shared.problems import Refusal
from tests.unit.predict.test_payload import VALUES


def counted(value: Any) -> tuple[int, int]:
    """Keys, and the depth of the innermost container."""
    if isinstance(value, dict):
        inner = [counted(item) for item in value.values()]
        return len(value) + sum(keys for keys, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    if isinstance(value, list):
        inner = [counted(item) for item in value]
        return sum(keys for keys, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    return 0, 0


def values(value: Any) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values, members))


@given(VALUES, st.booleans(), st.integers(1, 9))
def test_keys_and_depth_are_those_of_the_document(value: Any, ascii_only: bool, piece: int) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece + 1)
        found = structure(data)
    assert (found.keys, found.depth) == counted(value)
    assert found.values >= values(value)


@given(VALUES, st.booleans())
def test_at_most_so_much_is_never_less_than_there_is(value: Any, ascii_only: bool) -> None:
    most = at_most(json.dumps(value, ensure_ascii=ascii_only).encode())
    keys, depth = counted(value)
    assert most is not None
    assert most.keys >= keys
    assert most.depth >= depth
    assert most.values >= values(value)


def test_what_stands_in_strings_is_no_reason_to_refuse() -> None:
    body = large('"a,b:[{"', 4000)
    assert parse_json(body, Most(4001)) == json.loads(body)
    with pytest.raises(Refusal):
        parse_json(body, Most(4000))


@pytest.mark.parametrize("run", range(1, 12))
def test_a_run_of_backslashes_is_cut_where_nothing_is_escaped(run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 4)
    data = json.dumps(["\\" * run, '"', {"a": ":"}]).encode()
    assert structure(data).keys == 1


def large(item: str, most: int) -> bytes:
    return f"[{', '.join([item] * most)}]".encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (large('"a"', Most().values + 1), 413, "too_many_values"),
        (large("{}", 70_000), 413, "too_many_rows"),
        (large('"a"', 200_000), 413, "too_many_rows"),
        (b'{"instances": ' + large("1.5", 200_000) + b"}", 413, "too_many_rows"),
        (b"{" + b", ".join(b'"k%07d": 1' % number for number in range(MOST_FIELDS + 1)) + b"}", 413, "too_many_fields"),
        (b'[{"a": "' + b"a" * 2**20 + b'"}]', 413, "text_too_long"),
        (b"[" * SMALL_BYTES + b"]" * SMALL_BYTES, 400, "too_deep"),
        (large('{"a": "' + "b" * 200 + '"}', 5000)[:-1], 400, "malformed_json"),
        (large('{"a": "' + "b" * 200 + '"}', 5000) + b" 1", 400, "malformed_json"),
        (large('{"a": "' + "b" * 200 + '"}', 5000)[:-1] + b"}", 400, "malformed_json"),
        (large('{"a": 1, "b": 1, "a": 1}', 3000), 400, "duplicate_key"),
        (b"{" + b'"a": 1, ' * 10_000 + b'"b": 1}', 400, "duplicate_key"),
        (large('{"a": 1}', 5000) + b"]", 400, "malformed_json"),
    ],
)
def test_a_large_body_is_refused_as_a_small_one(body: bytes, status: int, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(body)
    assert (caught.value.status, caught.value.problems[0].code) == (status, code)


@pytest.mark.parametrize("item", ['{"a": 1.5, "b": "x:{[\\\\\\"]}"}', '{"a": {"b": [1, {}]}}', "1e999"])
def test_a_large_body_is_read_as_a_small_one(item: str) -> None:
    body = large(item, 4000)
    assert len(body) > SMALL_BYTES or item == "1e999"
    assert parse_json(body) == json.loads(body)


@pytest.mark.parametrize(
    ("text", "most"),
    [("a,b\n1,2\n", 5), ("a;b\n1,5;2\n", 5), ('a,b\n"1,2,3\n4",5\n', 5), ('a\n"say ""1,2"""\n', 3), ("", 1)],
)
def test_cells_are_counted_without_what_quotes_hold(text: str, most: int) -> None:
    assert cells(text.encode()) == most
