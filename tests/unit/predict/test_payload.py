"""JSON in the strict sense, whatever the size and shape of the body."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.wire.payload import parse_json
from shared.problems import Refusal
from tests.unit.predict.promoted import ROW

ROW_TEXT = json.dumps(ROW)
WIDE_BATCH = f"[{', '.join([ROW_TEXT] * 40)}]"


def code_of(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse_json(body)
    assert caught.value.status == 400
    return caught.value.problems[0].code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \r\n", "empty_body"),
        (b"\xef\xbb\xbf", "empty_body"),
        (b"{", "malformed_json"),
        (b"{} {}", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": Infinity}', "malformed_json"),
        (b'{"a": -Infinity}', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": "\t"}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": "\\udc00"}', "malformed_json"),
        (b'{"\\ud800": 1}', "malformed_json"),
        (b'{"a": 1e999, "b": "\\ud800"}', "malformed_json"),
        (b'{"a": 1e999, "b": NaN}', "malformed_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": 1, "\\u0061": 1}', "duplicate_key"),
        (b'{"a": ":", "a": ":"}', "duplicate_key"),
        (b'[{"a": 1, "a": 2}, "x"]', "duplicate_key"),
        (b'[{"a": 1}, {"b": 1, "b": 1}]', "duplicate_key"),
        (b'{"instances": [{"a": 1, "a": 2}]}', "duplicate_key"),
        (b'{"instances": [], "instances": []}', "duplicate_key"),
        (b'{"a": {"b": 1, "b": 2}}', "duplicate_key"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a": 1e999, "b":' + b"[" * 100_000, "too_deep"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code


def test_a_duplicate_key_is_found_in_one_row_of_many() -> None:
    batch = WIDE_BATCH.replace("}]", ', "age": 3}]').encode()
    assert code_of(batch) == "duplicate_key"


def test_an_invalid_body_is_described_without_its_content() -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(b'{"name": "secret", "name": "secret"}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        ROW_TEXT,
        WIDE_BATCH,
        f'{{"instances": {WIDE_BATCH}}}',
        "[]",
        '{"instances": []}',
        '[{"a": ":{[\\"]}:"}, {"a": "}"}]',
        '{"a": {"a": {"a": []}}}',
        "[" * 32 + "]" * 32,
        "[[], {}, [1, {}]]",
        '"text"',
        "null",
        '{"a": "\\ud83d\\ude00"}',
    ],
)
def test_what_is_strict_json_is_read_as_any_parser_reads_it(body: str) -> None:
    assert parse_json(body.encode()) == json.loads(body)
    assert parse_json(b"\xef\xbb\xbf" + body.encode()) == json.loads(body)


def test_a_number_beyond_double_precision_is_left_to_the_field() -> None:
    assert parse_json(b'{"a": -1e999, "b": 1}') == {"a": float("-inf"), "b": 1.0}
    assert parse_json(b'{"a": ' + b"9" * 5000 + b"}") == {"a": float("inf")}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(['"', ":", "{", "]", "\\", "a"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_no_valid_document_is_refused(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=3), st.data())
def test_no_duplicate_key_is_missed(value: dict[str, Any], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(sorted(value)))
    body = f"{{{json.dumps(twice)}: 0, {json.dumps(value)[1:]}"
    wrapped = data.draw(st.sampled_from(["{}", "[{}]", '{{"instances": [{}]}}', '{{"x": {}}}']))
    assert code_of(wrapped.format(body).encode()) == "duplicate_key"
