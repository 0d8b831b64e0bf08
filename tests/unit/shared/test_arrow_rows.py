"""Columns of a file against the same cells row by row, as /predict_batch reads them: one input, one set of problems."""

import datetime
import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.documents import CellFormat, Feature
from shared.serving.arrow_rows import ArrowInput, meaningless, read_arrow
from shared.serving.columns import column
from shared.serving.reading import ModelInput
from shared.serving.rows import RequestSchema
from shared.serving.sent_table import SentTable
from shared.serving.table_rows import read_table
from tests.candidates import build, run_id

FEATURES = (
    Feature(name="hours", kind="numeric", nullable=True, imputed=5.0, min=0.0, max=10.0, lowest=-5.0, highest=20.0),
    Feature(name="lunch", kind="categorical", nullable=True, imputed="free", categories=("free", "standard", "größer")),
    Feature(name="age", kind="numeric", nullable=False, imputed=5.0),
    Feature(name="city", kind="categorical", nullable=False, imputed="x", categories=("x", "1"), on_unknown="warn"),
)
SCHEMA = RequestSchema(build(run_id(1), features=FEATURES).manifest)
NAMES = [feature.name for feature in FEATURES]

ODD_NUMBERS = (
    *("", " ", " 7 ", "\t3", "nan", "inf", "-Infinity", "1e400", "1e-400", "+5", ".5", "5.", "1,5", "1.000,5", "1_0"),
    *("0x1A", "٣", "1d5", "-0", "--1", "1 2", "None", "NA", "true", "1e5", "9" * 400, "5.0000000000000001", "5\n"),
)
ODD_WORDS = (
    *("free", "standard", "größer", "GRÖSSER", " free ", "Standard", "", "  ", "none", "nan", "1", "1.0", "x", "X"),
    *("y", "ı", "f\u200bree"),
)
NUMBERS = st.one_of(st.floats(-30, 30).map(repr), st.integers(-3, 12).map(str), st.sampled_from(ODD_NUMBERS))
WORDS = st.sampled_from(ODD_WORDS)
CELLS = st.tuples(NUMBERS, WORDS, NUMBERS, WORDS)


def by_rows(rows: list[tuple[str, ...]], *, decimal_comma: bool = False) -> ModelInput:
    return read_table(SCHEMA, SentTable(tuple(NAMES), rows, None, decimal_comma), each=True)


def require_same(found: ArrowInput, rows: ModelInput) -> None:
    np.testing.assert_array_equal(found.numeric, rows.numeric)
    assert found.categorical.tolist() == rows.categorical.tolist()
    told = {row: [(p.pointer, p.code, p.message) for p in problems] for row, problems in rows.refused.items()}
    assert {row: [(p.pointer, p.code, p.message) for p in entry] for row, entry in found.refused.items()} == told


@settings(max_examples=300, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=40), st.booleans())
def test_texts_are_read_as_predict_batch_reads_the_same_table(rows: list[tuple[str, ...]], decimal_comma: bool) -> None:
    columns = {name: pa.array(cells) for name, cells in zip(NAMES, zip(*rows, strict=True), strict=True)}
    found = read_arrow(SCHEMA, columns, len(rows), decimal_comma=decimal_comma)
    expected = by_rows(rows, decimal_comma=decimal_comma)
    require_same(found, expected)
    if not expected.refused:
        codes = Counter(
            (warned.pointer.rsplit("/")[-1], warned.code) for notes in expected.notes.values() for warned in notes
        )
        assert found.warned == codes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.none() | st.floats(width=64, allow_nan=True), st.none() | WORDS), min_size=1, max_size=30))
def test_typed_cells_are_read_as_json_reads_them(rows: list[tuple[float | None, str | None]]) -> None:
    numbers, words = zip(*rows, strict=True)
    columns = {"hours": pa.array(numbers, pa.float64()), "lunch": pa.array(words, pa.string())}
    columns |= {"age": pa.array(numbers, pa.float64()), "city": pa.array(words, pa.string()).dictionary_encode()}
    plain = [None if number is None or number != number else number for number in numbers]  # noqa: PLR0124
    texts = [word if word and word.strip() else None for word in words]
    sent = [dict(zip(NAMES, (n, w, n, w), strict=True)) for n, w in zip(plain, texts, strict=True)]
    require_same(read_arrow(SCHEMA, columns, len(rows)), SCHEMA.read_rows(sent, each=True))


def one(name: str, array: pa.Array) -> tuple[Any, list[str]]:
    """Read one cell of a feature; the value and the codes of its problems."""
    fine = {"hours": pa.array([5.0]), "lunch": pa.array(["free"]), "age": pa.array([1]), "city": pa.array(["x"])}
    found = read_arrow(SCHEMA, {**fine, name: array}, 1)
    refused = [problem.code for problem in found.refused.get(0, [])]
    side, names = (found.numeric, NAMES[0::2]) if name in NAMES[0::2] else (found.categorical, NAMES[1::2])
    return (None if refused else side[0, names.index(name)]), refused


@pytest.mark.parametrize(
    ("array", "number"),
    [
        (pa.array([0.1], pa.float32()), 0.1),
        (pa.array([0.1], pa.float16()), 0.1),
        (pa.array([7], pa.int8()), 7.0),
        (pa.array([2**53 + 1], pa.int64()), float(2**53 + 1)),
        (pa.array([2**64 - 1], pa.uint64()), float(2**64 - 1)),
        (pa.array(["1.25"]).cast(pa.decimal128(5, 2)), 1.25),
        (pa.array(["3"]).dictionary_encode(), 3.0),
        (pa.array(["3"], pa.large_string()), 3.0),
    ],
    ids=str,
)
def test_a_number_of_any_type_is_the_number_that_it_was_written_as(array: pa.Array, number: float) -> None:
    cell, refused = one("age", array)
    if pa.types.is_float16(array.type):
        assert cell == pytest.approx(number, rel=1e-3)
    else:
        assert (cell, refused) == (number, [])


@pytest.mark.parametrize(("array", "text"), [(pa.array([1]), "1"), (pa.array(["x"], pa.large_string()), "x")])
def test_a_code_in_digits_is_the_category_that_is_written_so(array: pa.Array, text: str) -> None:
    assert one("city", array) == (text, [])


def test_a_column_without_any_value_is_missing() -> None:
    assert np.isnan(one("hours", pa.nulls(1))[0])
    assert one("age", pa.nulls(1))[1] == ["null"]
    assert one("lunch", pa.nulls(1))[0] == ""


@pytest.mark.parametrize(
    "kind", [pa.bool_(), pa.date32(), pa.timestamp("us"), pa.list_(pa.int64()), pa.binary(), pa.duration("s")]
)
def test_a_type_that_no_number_can_be_read_from_is_told(kind: pa.DataType) -> None:
    assert meaningless(column(FEATURES[0]), kind)
    assert str(kind) in str(meaningless(column(FEATURES[0]), kind))


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.binary(), pa.struct([("a", pa.int64())])])
def test_a_type_that_no_category_can_be_read_from_is_told(kind: pa.DataType) -> None:
    assert meaningless(column(FEATURES[1]), kind)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.dictionary(pa.int8(), pa.string()), pa.null()])
def test_types_that_a_feature_can_be_read_from_are_fine(kind: pa.DataType) -> None:
    assert meaningless(column(FEATURES[1]), kind) is None


def test_a_value_of_the_dictionary_that_no_row_has_is_no_problem() -> None:
    unused = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(["free", "nothing known"]))
    assert one("lunch", unused) == ("free", [])


def test_pointers_count_from_the_first_row_of_the_file_and_hold_no_value() -> None:
    columns = {"hours": pa.array(["1", "secret"]), "lunch": pa.array(["free", "free"])}
    columns |= {"age": pa.array(["1", "2"]), "city": pa.array(["x", "x"])}
    found = read_arrow(SCHEMA, columns, 2, first=40_000)
    assert [problem.pointer for problem in found.refused[1]] == ["/40001/hours"]
    assert "secret" not in json.dumps([problem.message for problem in found.refused[1]])
    assert found.answered.tolist() == [0]


OTHERS = (
    Feature(name="sold", kind="date", nullable=True, imputed="2024-01-01", min=19_000.0, max=20_000.0, lowest=-7e5,
            highest=2.9e6, format=CellFormat(date_format="%d.%m.%Y", missing=("k.A.",))),
    Feature(name="at", kind="date", nullable=False, imputed="2024-01-01", min=19_000.0, max=20_000.0),
    Feature(name="lift", kind="boolean", nullable=True, imputed=True, format=CellFormat(true=("ja",), false=("nein",))),
    Feature(name="price", kind="numeric", nullable=True, imputed=5.0, min=0.0, max=1e6,
            format=CellFormat(decimal=",", thousands=".", unit="€", signs=True, missing=("k.A.",))),
    Feature(name="size", kind="numeric", nullable=True, imputed=5.0, min=0.0, max=9.0,
            format=CellFormat(missing=("?",))),
)  # fmt: skip
OTHER_SCHEMA = RequestSchema(replace(build(run_id(1), features=FEATURES).manifest, features=OTHERS))
ODD_CELLS = (
    *("", " ", "k.A.", "?", "31.05.2024", "2024-05-31", "31.02.2024", "2024-05-31T10:00:00Z", "1.1.1900", "ja", "JA"),
    *("nein", "true", "False", "1", "0", "1.234,50 €", "(5)", "-5", "7", "7.5", "7,5", "1e3", "nan"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(ODD_CELLS)] * len(OTHERS)), min_size=1, max_size=20), st.booleans())
def test_texts_of_every_kind_and_format_are_read_as_predict_batch_reads_them(
    rows: list[tuple[str, ...]], decimal_comma: bool
) -> None:
    names = tuple(feature.name for feature in OTHERS)
    columns = {name: pa.array(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
    expected = read_table(OTHER_SCHEMA, SentTable(names, rows, None, decimal_comma), each=True)
    require_same(read_arrow(OTHER_SCHEMA, columns, len(rows), decimal_comma=decimal_comma), expected)


def test_typed_dates_and_truth_values_are_read_by_their_type() -> None:
    days = [datetime.date(2024, 5, 31), None, datetime.date(2022, 1, 8)]
    moments = [datetime.datetime(2024, 5, 31, 12, tzinfo=datetime.UTC)] * 3
    columns = {
        "sold": pa.array(days),
        "at": pa.array(moments, pa.timestamp("us", "Europe/Berlin")),
        "lift": pa.array([True, None, False]),
        "price": pa.array([1.5, 2.5, None]),
        "size": pa.array([1, None, 3]),
    }
    assert [meaningless(column(f), columns[f.name].type) for f in OTHERS] == [None] * 5
    found = read_arrow(OTHER_SCHEMA, columns, 3)
    expected = [[19874, 19874.5, 1, 1.5, 1], [np.nan, 19874.5, np.nan, 2.5, np.nan], [19000, 19874.5, 0, np.nan, 3]]
    np.testing.assert_array_equal(found.numeric, expected)
    assert meaningless(column(OTHERS[0]), pa.int64()) == "expected dates, found a column of type int64"
    assert meaningless(column(OTHERS[2]), pa.float64()) == "expected truth values, found a column of type double"
