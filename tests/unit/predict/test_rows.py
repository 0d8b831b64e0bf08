"""The coercion table: the same for a single row, a batch and a CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.predict.wire.shape import batch_rows, single_row
from shared.documents import Feature
from shared.problems import Bounds, Refusal
from shared.serving.csv_table import parse_csv
from shared.serving.reading import ModelInput
from shared.serving.rows import RequestSchema
from shared.serving.table_rows import read_table
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, manifest

SCHEMA = RequestSchema(manifest(FIRST, {}))
NUMERIC = [feature.name for feature in FEATURES if feature.kind == "numeric"]
CATEGORICAL = [feature.name for feature in FEATURES if feature.kind == "categorical"]

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("gender", "male", "male"),
    ("gender", "MALE", "male"),
    ("gender", " \tMale\n", "male"),
    ("race_ethnicity", "GROUP a", "group A"),
    ("race_ethnicity", "group A", "group A"),
    ("parental_level_of_education", "bachelor\u2019s degree", "bachelor's degree"),
    ("parental_level_of_education", "Bachelor\u02bcs DEGREE", "bachelor's degree"),
    ("parental_level_of_education", "E\u0301COLE SUPE\u0301RIEURE", "école supérieure"),
    ("parental_level_of_education", "École supérieure", "école supérieure"),
    ("lunch", None, ""),
    ("lunch", "FREE/REDUCED", "free/reduced"),
    ("age", 5, 5.0),
    ("age", 25.0, 25.0),
    ("age", 15.25, 15.25),
    ("hours", None, float("nan")),
    ("hours", -1e300, -1e300),
    ("hours", 10**300, 1e300),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("gender", "other", "unknown_category"),
    ("gender", "", "unknown_category"),
    ("gender", "fe male", "unknown_category"),
    ("gender", "\uff4dale", "unknown_category"),
    ("gender", "male" * 100_000, "unknown_category"),
    ("gender", None, "null"),
    ("gender", 1, "wrong_type"),
    ("gender", True, "wrong_type"),
    ("gender", ["male"], "wrong_type"),
    ("gender", {"male": 1}, "wrong_type"),
    ("lunch", "", "unknown_category"),
    ("age", "15", "wrong_type"),
    ("age", True, "wrong_type"),
    ("age", [15], "wrong_type"),
    ("age", None, "null"),
    ("age", 4.999, "out_of_range"),
    ("age", 26, "out_of_range"),
    ("age", -(10**400), "out_of_range"),
    ("hours", float("inf"), "out_of_range"),
    ("hours", 10**400, "out_of_range"),
    ("hours", "", "wrong_type"),
]


def cell(inputs: ModelInput, name: str, row: int = 0) -> Any:
    if name in NUMERIC:
        return inputs.numeric[row, NUMERIC.index(name)]
    return inputs.categorical[row, CATEGORICAL.index(name)]


def problems(read: Any, *arguments: Any) -> list[tuple[str, str]]:
    with pytest.raises(Refusal) as caught:
        read(*arguments)
    assert caught.value.status == 422
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


def csv(rows: Sequence[Mapping[str, Any]], header: list[str] | None = None) -> bytes:
    names = header or list(rows[0])
    lines = [",".join(names)]
    for row in rows:
        lines.append(",".join("" if row[name] is None else f'"{row[name]}"' for name in row))
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(("name", "sent", "read"), ACCEPTED)
def test_a_cell_is_read_in_the_trained_spelling(name: str, sent: Any, read: Any) -> None:
    single = SCHEMA.read_row({**ROW, name: sent})
    batch = SCHEMA.read_rows([ROW, {**ROW, name: sent}])
    np.testing.assert_equal(cell(single, name), read)
    np.testing.assert_equal(cell(batch, name, 1), read)
    np.testing.assert_equal(cell(batch, name, 0), cell(SCHEMA.read_row(ROW), name))


@pytest.mark.parametrize(("name", "sent", "read"), [case for case in ACCEPTED if not isinstance(case[1], int)])
def test_a_cell_of_a_csv_is_read_like_one_of_json(name: str, sent: Any, read: Any) -> None:
    inputs = read_table(SCHEMA, parse_csv(csv([{**ROW, name: sent}]), 10))
    np.testing.assert_equal(cell(inputs, name), read)


@pytest.mark.parametrize(("name", "sent", "code"), REFUSED)
def test_a_cell_that_does_not_fit_is_refused(name: str, sent: Any, code: str) -> None:
    assert problems(SCHEMA.read_row, {**ROW, name: sent}) == [(f"/{name}", code)]
    assert problems(SCHEMA.read_rows, [ROW, ROW, {**ROW, name: sent}]) == [(f"/2/{name}", code)]


@pytest.mark.parametrize(("name", "sent"), [case[:2] for case in (*ACCEPTED, *REFUSED)])
def test_a_row_known_at_a_glance_is_read_as_any_other(name: str, sent: Any) -> None:
    """What is remembered by is exactly what the graph would read; what needs a closer look is not known."""
    row = {**ROW, name: sent}
    known = SCHEMA.known(row)
    if known is None:
        assert sent != ROW[name]
        return
    full, glance = SCHEMA.read_row(row), ModelInput.of(known)
    np.testing.assert_equal(glance.numeric, full.numeric)
    np.testing.assert_equal(glance.categorical, full.categorical)
    assert (glance.numeric.dtype, glance.categorical.dtype) == (full.numeric.dtype, full.categorical.dtype)


def test_the_plain_row_is_known_and_no_refused_cell_is() -> None:
    assert SCHEMA.known(ROW) is not None
    assert [case for case in REFUSED if SCHEMA.known({**ROW, case[0]: case[1]}) is not None] == []
    assert SCHEMA.known({**ROW, "surprise": 1}) is None
    assert SCHEMA.known({name: cell for name, cell in ROW.items() if name != "age"}) is None


@pytest.mark.parametrize("text", ["1_5", "0x0F", "nan", "inf", "15 years", "1,5", "１５", "--1", ".", "1e", "True"])
def test_a_numeric_cell_of_a_csv_must_parse_whole(text: str) -> None:
    table = parse_csv(csv([{**ROW, "age": text}]), 10)
    assert problems(read_table, SCHEMA, table) == [("/0/age", "wrong_type")]


@pytest.mark.parametrize("text", ["15", " 15 ", "+15", "15.", "15.0", "1.5e1", "150E-1"])
def test_a_number_of_a_csv_may_be_spelt_as_numbers_are(text: str) -> None:
    assert cell(read_table(SCHEMA, parse_csv(csv([{**ROW, "age": text}]), 10)), "age") == 15.0


def test_a_number_of_a_csv_beyond_double_precision_is_out_of_range() -> None:
    table = parse_csv(csv([{**ROW, "hours": "1e999"}]), 10)
    assert problems(read_table, SCHEMA, table) == [("/0/hours", "out_of_range")]


def test_an_empty_cell_of_a_csv_is_missing_and_refused_where_training_saw_none_missing() -> None:
    table = parse_csv(csv([{**ROW, "gender": None, "lunch": None}]), 10)
    assert problems(read_table, SCHEMA, table) == [("/0/gender", "null")]


def test_the_turkish_letters_are_not_i() -> None:
    feature = Feature(name="city", kind="categorical", nullable=False, imputed="izmir", categories=("izmir", "ISPARTA"))
    schema = RequestSchema(manifest(FIRST, {}, features=(feature,), aliases={}))
    assert schema.read_row({"city": "IZMIR"}).categorical[0, 0] == "izmir"
    assert schema.read_row({"city": "isparta"}).categorical[0, 0] == "ISPARTA"
    assert problems(schema.read_row, {"city": "İzmir"}) == [("/city", "unknown_category")]
    assert problems(schema.read_row, {"city": "ısparta"}) == [("/city", "unknown_category")]


def test_categories_that_differ_only_in_case_stay_apart_where_the_spelling_is_exact() -> None:
    feature = Feature(name="grade", kind="categorical", nullable=False, imputed="a", categories=("a", "A"))
    schema = RequestSchema(manifest(FIRST, {}, features=(feature,), aliases={}))
    assert [schema.read_row({"grade": grade}).categorical[0, 0] for grade in ("a", "A", " A ")] == ["a", "A", "A"]


def test_every_problem_of_a_row_is_listed_at_once() -> None:
    row = {"gender": "x", "age": "y", "Lunch": "standard", "race_ethnicity": None, "hours": 1}
    assert set(problems(SCHEMA.read_row, row)) == {
        ("/Lunch", "unknown_field"),
        ("/gender", "unknown_category"),
        ("/age", "wrong_type"),
        ("/race_ethnicity", "null"),
        ("/parental_level_of_education", "missing"),
        ("/lunch", "missing"),
    }


def test_problems_come_in_the_order_of_the_rows() -> None:
    rows = [{**ROW, "hours": "x"}, 7, {**ROW, "gender": "x", "surprise": 1}]
    assert problems(SCHEMA.read_rows, rows) == [
        ("/0/hours", "wrong_type"),
        ("/1", "not_an_object"),
        ("/2/surprise", "unknown_field"),
        ("/2/gender", "unknown_category"),
    ]


def test_at_most_a_hundred_problems_are_listed_and_they_are_the_first() -> None:
    rows = [dict(ROW)] * 5 + [{**ROW, "age": "x", "gender": 1}] * 500
    found = problems(SCHEMA.read_rows, rows)
    assert len(found) == 100
    assert found[-1][0].startswith("/54/")
    strangers = problems(SCHEMA.read_row, {**ROW, **{f"x{position}": 1 for position in range(500)}})
    assert len(strangers) == 100
    assert {code for _, code in strangers} == {"unknown_field"}


def test_a_refusal_says_what_would_have_been_accepted_and_never_what_was_sent() -> None:
    with pytest.raises(Refusal) as caught:
        SCHEMA.read_row({**ROW, "gender": "secret", "age": 4242, "lunch": {"secret": 1}})
    gender, age, lunch = caught.value.problems
    assert (gender.allowed, age.allowed) == (("female", "male"), Bounds(min=5, max=25))
    text = " ".join(problem.message for problem in (gender, age, lunch))
    assert "secret" not in text
    assert "4242" not in text


def test_a_long_list_of_categories_is_not_repeated_in_every_problem() -> None:
    many = tuple(f"c{position}" for position in range(101))
    feature = Feature(name="code", kind="categorical", nullable=False, imputed="c0", categories=many)
    schema = RequestSchema(manifest(FIRST, {}, features=(feature,), aliases={}))
    with pytest.raises(Refusal) as caught:
        schema.read_row({"code": "d"})
    assert caught.value.problems[0].allowed is None
    assert "101 categories" in caught.value.problems[0].message


def test_an_unknown_field_comes_with_the_nearest_known_one_and_its_name_is_cut() -> None:
    with pytest.raises(Refusal) as caught:
        SCHEMA.read_row({**ROW, "Gender": "male", "x" * 10_000: 1, "a/b~c": 1})
    near, long, escaped = caught.value.problems
    assert "'gender'" in near.message
    assert len(long.pointer) <= 66
    assert escaped.pointer == "/a~1b~0c"


def test_an_alias_stands_for_its_field_but_not_beside_it() -> None:
    row = {name: value for name, value in ROW.items() if name != "race_ethnicity"}
    assert cell(SCHEMA.read_row({**row, "race/ethnicity": "Group C"}), "race_ethnicity") == "group C"
    both = {**ROW, "race/ethnicity": "group C"}
    assert problems(SCHEMA.read_row, both) == [("/race~1ethnicity", "duplicate_field")]


@pytest.mark.parametrize("name", ["math_score", "math score", "reading_score", "reading score", "writing_score"])
def test_the_target_and_dropped_fields_are_ignored_with_a_warning(name: str) -> None:
    single = SCHEMA.read_row({**ROW, name: ["anything"]})
    assert [(warning.pointer, warning.code) for warning in single.warnings] == [(f"/{name}", "ignored")]
    batch = SCHEMA.read_rows([ROW, {**ROW, name: None}])
    assert [warning.pointer for warning in batch.warnings] == [f"/1/{name}"]
    table = read_table(SCHEMA, parse_csv(csv([{**ROW, name: "5"}, {**ROW, name: "x"}]), 10))
    assert [warning.pointer for warning in table.warnings] == [f"/{name}"]


def test_columns_of_a_csv_may_come_in_any_order_under_any_alias() -> None:
    row = {name: ROW[name] for name in reversed(list(ROW))}
    header = [name.replace("race_ethnicity", "race/ethnicity") for name in row]
    inputs = read_table(SCHEMA, parse_csv(csv([row], header), 10))
    straight = SCHEMA.read_row(ROW)
    np.testing.assert_equal(inputs.numeric, straight.numeric)
    np.testing.assert_equal(inputs.categorical, straight.categorical)


def test_a_column_that_a_csv_lacks_is_one_problem_however_many_rows() -> None:
    rows = [{"ages": 1, **{name: value for name, value in ROW.items() if name != "age"}}] * 3
    with pytest.raises(Refusal) as caught:
        read_table(SCHEMA, parse_csv(csv(rows), 10))
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/age", "missing")
    assert problem.message.endswith("is it 'ages'?")


def test_a_column_of_a_csv_that_the_model_does_not_know_passes_through_with_one_warning() -> None:
    rows = [{"name of pupil": "Ada", **ROW}] * 3
    read = read_table(SCHEMA, parse_csv(csv(rows), 10))
    assert (read.rows, [(warned.pointer, warned.code) for warned in read.warnings]) == (
        3,
        [("/name of pupil", "unknown_column")],
    )


@pytest.mark.parametrize("body", [b"name,class\nAda,7b\n", b"math_score,name\n1,Ada\n", b"name\n"])
def test_a_header_that_shares_nothing_with_the_model_is_refused(body: bytes) -> None:
    assert problems(read_table, SCHEMA, parse_csv(body, 10)) == [("", "no_known_column")]


def test_headers_are_matched_in_any_case_and_as_the_page_labels_them() -> None:
    header = ["GENDER", "Age", "race  Ethnicity", "Parental level of education", " LUNCH ", "hours"]
    read = read_table(SCHEMA, parse_csv(csv([dict(zip(header, ROW.values(), strict=True))]), 10))
    np.testing.assert_equal(read.categorical, SCHEMA.read_row(ROW).categorical)


def test_headers_of_two_fields_that_differ_in_case_alone_are_matched_by_it() -> None:
    fields = tuple(Feature(name=name, kind="numeric", nullable=False, imputed=0.0) for name in ("x", "X"))
    schema = RequestSchema(manifest(FIRST, {}, features=fields, aliases={}))
    assert read_table(schema, parse_csv(b"X,x\n1,2\n", 10)).numeric.tolist() == [[2.0, 1.0]]


def test_an_empty_unnamed_column_of_a_csv_is_ignored_with_a_warning() -> None:
    inputs = read_table(SCHEMA, parse_csv(csv([{**ROW, "": None}]), 10))
    assert (inputs.rows, [warning.code for warning in inputs.warnings]) == (1, ["ignored"])
    filled = read_table(SCHEMA, parse_csv(csv([{**ROW, "": "5"}]), 10))
    assert [(warning.pointer, warning.code) for warning in filled.warnings] == [("/", "unknown_column")]


def test_an_empty_batch_has_no_rows_at_either_door() -> None:
    for inputs in (SCHEMA.read_rows([]), read_table(SCHEMA, parse_csv(b"gender\n", 10))):
        assert (inputs.rows, inputs.numeric.shape, inputs.categorical.shape) == (0, (0, 2), (0, 4))


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_a_single_row_is_an_object(value: Any) -> None:
    assert problems(single_row, value) == [("", "not_an_object")]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, [("", "not_an_array")]),
        ("rows", [("", "not_an_array")]),
        ({}, [("/instances", "missing")]),
        ({"instances": None}, [("/instances", "wrong_type")]),
        ({"instances": {}}, [("/instances", "wrong_type")]),
        ({"instances": [], "parameters": {}}, [("/parameters", "unknown_field")]),
    ],
)
def test_a_batch_is_an_array_or_an_object_with_nothing_but_instances(value: Any, found: list[tuple[str, str]]) -> None:
    assert problems(batch_rows, value, 10) == found


LEARNT = (
    Feature(name="age", kind="numeric", nullable=False, imputed=1.0, min=10.0, max=20.0, lowest=-20.0, highest=50.0),
    Feature(name="city", kind="categorical", nullable=False, imputed="a", categories=("a", "b"), on_unknown="warn"),
)
LENIENT = RequestSchema(manifest(FIRST, {}, features=LEARNT, aliases={}))


@pytest.mark.parametrize("age", [10, 20, 15.5])
def test_a_number_within_the_range_that_training_saw_is_answered_without_a_word(age: float) -> None:
    assert LENIENT.read_row({"age": age, "city": "a"}).warnings == ()


@pytest.mark.parametrize("age", [9.99, 20.01, -20, 50])
def test_a_number_up_to_three_ranges_beyond_is_answered_with_a_warning(age: float) -> None:
    assert LENIENT.known({"age": age, "city": "a"}) is None
    single = LENIENT.read_row({"age": age, "city": "a"})
    (warned,) = single.warnings
    assert (warned.pointer, warned.code) == ("/age", "outside_training_range")
    assert warned.message == "outside the range that training saw, from 10 to 20"
    assert single.numeric.tolist() == [[age]]
    batch = LENIENT.read_rows([{"age": 15, "city": "a"}, {"age": age, "city": "a"}])
    assert ([warned.pointer for warned in batch.warnings], batch.numeric[1, 0]) == (["/1/age"], age)


@pytest.mark.parametrize("age", [-20.01, 50.01, 1e300])
def test_a_number_further_beyond_is_refused_with_the_limits(age: float) -> None:
    with pytest.raises(Refusal) as caught:
        LENIENT.read_row({"age": age, "city": "a"})
    (problem,) = caught.value.problems
    assert (problem.code, problem.allowed) == ("out_of_range", Bounds(min=-20, max=50))


def test_a_category_that_training_has_not_seen_is_answered_with_a_warning_where_the_spec_says_so() -> None:
    read = LENIENT.read_row({"age": 15, "city": " Nowhere "})
    assert [(warned.pointer, warned.code) for warned in read.warnings] == [("/city", "unknown_category")]
    assert read.categorical.tolist() == [["Nowhere"]]
    assert problems(LENIENT.read_row, {"age": 15, "city": " "}) == [("/city", "unknown_category")]


def test_rows_read_each_for_itself_tell_the_problems_of_those_that_have_some() -> None:
    rows = [{"age": 15, "city": "a"}, {"age": "x", "city": None}, 7, {"age": 21, "city": "b"}, {"city": "b", "z": 1}]
    read = LENIENT.read_rows(rows, each=True, prefix="/instances")
    assert (read.rows, read.numeric.tolist(), read.categorical.tolist()) == (2, [[15.0], [21.0]], [["a"], ["b"]])
    told = {row: [(problem.pointer, problem.code) for problem in found] for row, found in read.refused.items()}
    assert told == {
        1: [("/instances/1/age", "wrong_type"), ("/instances/1/city", "null")],
        2: [("/instances/2", "not_an_object")],
        4: [("/instances/4/z", "unknown_field"), ("/instances/4/age", "missing")],
    }
    assert [(row, [warned.pointer for warned in notes]) for row, notes in read.notes.items()] == [
        (3, ["/instances/3/age"])
    ]


def test_every_row_has_its_reason_however_many_there_are() -> None:
    read = LENIENT.read_rows([{"age": "x", "city": "a"}] * 1000, each=True)
    assert (read.rows, len(read.refused)) == (0, 1000)


def test_a_column_that_is_missing_refuses_the_table_although_rows_are_read_each_for_itself() -> None:
    with pytest.raises(Refusal) as caught:
        read_table(LENIENT, parse_csv(b"age,z\n1,1\nx,2\n", 10), each=True)
    assert [(problem.pointer, problem.code) for problem in caught.value.problems] == [("/city", "missing")]


CELLS = st.sampled_from(
    [sent for _, sent, _ in ACCEPTED] + [sent for _, sent, _ in REFUSED if sent != "male" * 100_000]
)


@given(st.lists(st.fixed_dictionaries({feature.name: CELLS for feature in FEATURES}), min_size=1, max_size=4))
def test_a_batch_is_read_as_its_rows_are_read_one_by_one(rows: list[dict[str, Any]]) -> None:
    alone: list[tuple[str, str]] = []
    for position, row in enumerate(rows):
        try:
            SCHEMA.read_row(row)
        except Refusal as refusal:
            alone += [(f"/{position}{problem.pointer}", problem.code) for problem in refusal.problems]
    try:
        inputs = SCHEMA.read_rows(rows)
    except Refusal as refusal:
        assert [(problem.pointer, problem.code) for problem in refusal.problems] == alone
    else:
        assert not alone
        np.testing.assert_equal(inputs.numeric, np.vstack([SCHEMA.read_row(row).numeric for row in rows]))
