"""The documents: round trips, and refusal of everything that is not one."""

import gzip
import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import (
    decode,
    decode_gzip,
    digest,
    encode,
    encode_gzip,
)
from shared.decisions import Check, Decision, Pointer
from shared.documents import SCHEMA_VERSION, HoldoutScores
from shared.errors import InvalidDocument
from shared.profiles import Golden, Holdout

POINTER = Pointer(
    schema_version=SCHEMA_VERSION,
    stage="staging",
    run_id="20260105T070000Z-0123abcd",
    manifest_sha256="0" * 64,
    promoted_at=datetime(2026, 1, 5, 7, tzinfo=UTC),
    previous_run_id=None,
    decision=Decision(
        passed=True, checks=(Check(name="r2", passed=True, observed=0.2, threshold=0.1, reason="R² 0.2 ≥ 0.1"),)
    ),
)


def altered(**changes: object) -> bytes:
    return json.dumps({**json.loads(encode(POINTER)), **changes}).encode()


def test_a_pointer_survives_the_round_trip() -> None:
    assert decode(encode(POINTER), Pointer, "p") == POINTER


def test_equal_documents_have_equal_bytes() -> None:
    holdout = Holdout(columns={"a": [1.0, None], "b": ["x", None]}, target=[1.0, 2.0])
    assert encode_gzip(holdout) == encode_gzip(holdout)
    assert decode_gzip(encode_gzip(holdout), Holdout, "h") == holdout


def test_unknown_fields_of_the_same_version_are_ignored() -> None:
    assert decode(altered(added_later=[1]), Pointer, "p") == POINTER


def test_a_newer_version_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidDocument, match=r"schema_version 2 is newer than 1.*deploy newer code"):
        decode(altered(schema_version=2, stage={"shape": "of the future"}), Pointer, "p")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        altered(schema_version="1"),
        altered(schema_version=True),
        altered(schema_version=0),
        altered(run_id="20261399T070000Z-0123abcd"),
        altered(run_id="../20260105T070000Z-0123abcd"),
        altered(run_id="20260105T070000Z-0123abcd\n"),
        altered(stage="prod"),
        altered(decision={"passed": "yes", "checks": []}),
    ],
)
def test_what_is_not_a_pointer_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match=r"^staging/current\.json: "):
        decode(data, Pointer, "staging/current.json")


@pytest.mark.parametrize("number", [b'"0.5"', b"true", b"NaN", b"Infinity", b"1e400", b"null", b"[0.5]"])
def test_a_score_that_is_not_a_finite_number_is_refused(number: bytes) -> None:
    with pytest.raises(InvalidDocument):
        decode(b'{"r2": ' + number + b', "mae": 1.0, "rmse": 1.0}', HoldoutScores, "scores")


def test_a_number_that_is_not_finite_is_never_written() -> None:
    with pytest.raises(ValueError, match=r"HoldoutScores\.r2 is nan"):
        encode(HoldoutScores(r2=float("nan"), mae=1.0, rmse=1.0))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidDocument, match="differ in length"):
        decode(b'{"columns": {"a": [1], "b": [1, 2]}, "target": [1]}', Holdout, "h")
    with pytest.raises(InvalidDocument, match="1 rows but 2 predictions"):
        decode(b'{"rows": [{"a": 1}], "predictions": [1, 2]}', Golden, "g")


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_truncated_gzip_is_refused(cut: int) -> None:
    data = encode_gzip(Holdout(columns={"a": [1.0]}, target=[1.0]))
    with pytest.raises(InvalidDocument):
        decode_gzip(data[:cut], Holdout, "h")


def test_a_gzip_bomb_is_refused_without_unfolding_it() -> None:
    with pytest.raises(InvalidDocument, match="over the limit"):
        decode_gzip(gzip.compress(b" " * (80 * 2**20)), Holdout, "h")


@given(st.lists(st.one_of(st.none(), st.text(), st.floats(allow_nan=False, allow_infinity=False))))
def test_any_column_survives(column: list[float | str | None]) -> None:
    holdout = Holdout(columns={"c": column}, target=[0.0] * len(column))
    try:
        data = encode_gzip(holdout)
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    assert decode_gzip(data, Holdout, "h") == holdout


def test_a_digest_is_of_all_the_bytes() -> None:
    assert digest(b"abc").size == 3
    assert digest(b"abc").sha256 != digest(b"abd").sha256


def test_values_are_counted_before_they_are_made() -> None:
    """65 kB of gzip once unfolded to 64 MiB of text, and that to 1.4 GB of values."""
    bomb = gzip.compress(b'{"columns":{"a":[' + b"1," * 3_000_000 + b'1]},"target":[1]}')
    assert len(bomb) < 20_000
    found = r"^holdout\.json\.gz: 1[0-9]{5} values or more, at most 500 are expected"
    with pytest.raises(InvalidDocument, match=found):
        decode_gzip(bomb, Holdout, "holdout.json.gz", max_items=500)
    tracemalloc.start()
    with pytest.raises(InvalidDocument):
        decode_gzip(bomb, Holdout, "holdout.json.gz", max_items=500)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


def test_commas_within_texts_are_no_values() -> None:
    holdout = Holdout(columns={"a": ["x, y, \\", 'a "quoted", one'] * 200}, target=[1.0] * 400)
    assert decode_gzip(encode_gzip(holdout), Holdout, "h", max_items=900) == holdout
