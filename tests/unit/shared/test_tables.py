"""Reading a table: what is read right, what is dropped with a warning, what is refused with its lines."""

import io
import math

import pandas as pd
import pytest

from shared.dataset import DatasetSpec, FeatureSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

SPEC = DatasetSpec(name="n", source="t.csv", target="y")


def csv(header: str = "a,b,y", rows: int = 60, row: str = "{n},{word},{y}", **replaced: str) -> bytes:
    """A good table; `line_7="..."` replaces what stands in line 7 (the header is line 1)."""
    lines = [header] + [row.format(i=i, n=i - i % 2, word="xyz"[i % 3], y=i * 0.5) for i in range(rows)]
    for name, text in replaced.items():
        lines[int(name.removeprefix("line_")) - 1] = text
    return ("\n".join(lines) + "\n").encode()


def problems(data: bytes, spec: DatasetSpec = SPEC) -> str:
    with pytest.raises(InvalidDataset) as refused:
        read_table(data, spec)
    return "\n".join(refused.value.problems)


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


def test_numbers_and_words_are_told_apart() -> None:
    table = read_table(csv(), SPEC)
    assert kinds(table) == {"a": "numeric", "b": "categorical"}
    assert table.target.iloc[1] == 0.5


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbf" + csv(), csv().replace(b"\n", b"\r\n"), csv(header=' a ,"b", y '), csv() + b"\n\n"],
    ids=["byte order mark", "CRLF", "spaces and quotes in the header", "empty lines at the end"],
)
def test_spellings_of_the_same_table_are_read_alike(data: bytes) -> None:
    pd.testing.assert_frame_equal(read_table(data, SPEC).features, read_table(csv(), SPEC).features)


def test_only_the_empty_cell_is_missing() -> None:
    table = read_table(csv(line_2="0,None,0", line_3="1,NA,1", line_4="2,null,2", line_5=",,3"), SPEC)
    assert set(table.features["b"].dropna()) >= {"None", "NA", "null"}
    assert table.features["b"].isna().sum() == 1
    assert math.isnan(table.features["a"].iloc[3])
    assert [column.nullable for column in table.columns] == [True, True]


def test_a_quoted_comma_and_a_quoted_line_break_stay_in_the_cell() -> None:
    table = read_table(csv(line_2='0,"x, or\ny",0'), SPEC)
    assert table.features["b"].iloc[0] == "x, or\ny"


def test_aliases_name_the_columns() -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", aliases={"the target": "y", "B b": "b"})
    assert kinds(read_table(csv(header="a,B b,the target"), spec)) == {"a": "numeric", "b": "categorical"}


def test_spellings_that_differ_in_case_become_the_most_frequent_one() -> None:
    table = read_table(csv(line_2="0,X,0", line_3="1,X,1"), SPEC)
    assert set(table.features["b"]) == {"x", "y", "z"}
    assert any("'b'" in warning and "case" in warning for warning in table.warnings)


def test_codes_with_leading_zeros_stay_categories() -> None:
    table = read_table(csv(row="0{n:02d},{word},{y}", line_3="000,y,0.5"), SPEC)
    assert kinds(table)["a"] == "categorical"


def test_the_spec_decides_a_kind() -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", features={"a": FeatureSpec(kind="categorical")})
    assert kinds(read_table(csv(), spec))["a"] == "categorical"


@pytest.mark.parametrize(
    ("header", "row", "warning"),
    [
        ("a,b,y,", "{n},{word},{y},", "without a name"),
        ("a,b,y,c", "{n},{word},{y},", "'c' has no values"),
        ("a,b,y,c", "{n},{word},{y},same", "'c' has the same value"),
    ],
)
def test_a_column_without_information_is_dropped_with_a_warning(header: str, row: str, warning: str) -> None:
    table = read_table(csv(header=header, row=row), SPEC)
    assert list(kinds(table)) == ["a", "b"]
    assert any(warning in found for found in table.warnings)
    assert table.dropped == (("c",) if "c" in header else ())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"a,b,y\n", "a header but no rows"),
        (csv(rows=49), "49 rows; at least 50"),
        (csv().replace(b",", b";"), "separated by ';'; expected commas"),
        (csv(header="a,b,b,y", row="1,{n},{word},{y}"), "the header names 'b' more than once"),
        (csv(header="a,b,Y"), "target names 'y', which the table does not have; did you mean 'Y'?"),
        (csv(line_7="5,z"), "line 7: the number of cells differs from the header's 3"),
        (csv(line_7="5,z,1,1", line_9="1"), "lines 7, 9: the number of cells"),
        (csv(line_7='5,"z,1'), "quote"),
        (csv(line_7="5,z\0,1"), "line 7 holds a NUL byte"),
        (csv().decode().encode("utf-16"), "UTF-16"),
        (csv(line_7="5,Zoë,1").decode().encode("latin-1"), "not UTF-8 (first seen in line 7)"),
        (csv(line_7="5,z,inf"), "target 'y' is not a finite number in line 7"),
        (csv(line_7="5,z,1e999"), "target 'y' is not a finite number in line 7"),
        (csv(line_7="5,z,72%"), "target 'y' is not a finite number in line 7"),
        (csv(line_7='5,z,"1,000"'), "target 'y' is not a finite number in line 7"),
        (csv(line_7="5,z,1_000"), "target 'y' is not a finite number in line 7"),
        (csv(line_7="5,z,"), "target 'y' is missing in line 7"),
        (csv(row="{n},{word},5"), "the same value in every row"),
        (csv(line_7="five,z,1"), "feature 'a' holds numbers, but not in line 7"),
        (csv(line_7="inf,z,1"), "feature 'a' holds numbers, but not in line 7"),
        (csv(header="a,b,y,", line_7="5,z,1,stray", row="{n},{word},{y},"), "column 4 has values but no name"),
        (csv(header="y", row="{y}"), "no usable feature is left"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_lines(data: bytes, sentence: str) -> None:
    assert sentence in problems(data)


def test_a_drop_name_that_no_column_bears_is_refused_with_the_nearest() -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", drop=("bb",))
    assert "drop names 'bb', which the table does not have; did you mean 'b'?" in problems(csv(), spec)


def test_every_problem_is_named_at_once() -> None:
    found = problems(csv(line_4="x,z,", line_7="5,z,oops", line_9="y,z,3"))
    assert "missing in line 4" in found
    assert "not a finite number in line 7" in found
    assert "lines 4, 9" in found


def test_a_long_list_of_lines_is_cut() -> None:
    assert "and 52 more" in problems(csv(row="{n},{word},x"))


def test_a_value_outside_its_range_is_refused() -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", features={"a": FeatureSpec(kind="numeric", max=57.0)})
    assert "feature 'a' is above 57 in lines 60, 61" in problems(csv(), spec)


def test_no_value_of_a_row_stands_in_a_message() -> None:
    assert "s3cret" not in problems(csv(line_7="s3cret,z,s3cret"))


def test_parquet_reads_like_csv() -> None:
    spec = DatasetSpec(name="n", source="t.parquet", target="y")
    frame = pd.DataFrame(
        {"a": [i // 2 for i in range(60)], "b": [*["x", None, "z"] * 20], "y": [i * 0.5 for i in range(60)]}
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    table = read_table(buffer.getvalue(), spec)
    assert kinds(table) == {"a": "numeric", "b": "categorical"}
    assert table.features["b"].isna().sum() == 20
    assert "not Parquet" in problems(b"PAR1 no", spec)


@pytest.mark.parametrize(
    ("day", "advice"),
    [
        ("11/05/2024", '[features] b = { date_format = "%d/%m/%Y" } or [features] b = { date_format = "%m/%d/%Y" }'),
        ("31/05/2024", '[features] b = { date_format = "%d/%m/%Y" }'),
        ("11.5.24", '[features] b = { date_format = "%d.%m.%y" }'),
        ("2024-05-11T10:00:00+02:00", '[features] b = { date_format = "%Y-%m-%dT%H:%M:%S%z" }'),
    ],
)
def test_dates_that_might_be_others_are_refused_with_the_line_that_settles_it(day: str, advice: str) -> None:
    data = csv(row=f"{{n}},{day},{{y}}")
    assert "feature 'b' holds dates, which are not read as they stand" in problems(data)
    assert f"; say {advice}, turn them into numbers" in problems(data)
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={"b": FeatureSpec(kind="categorical")})
    assert read_table(data, asked).features.columns.tolist() == ["a"]  # it is the same day in every row


def test_words_that_are_all_different_are_dropped_as_an_identifier_unless_the_spec_wants_them() -> None:
    data = csv(header="a,id,b,y", row="{n},s{i},{word},{y}")
    table = read_table(data, SPEC)
    assert list(table.features.columns) == ["a", "b"]
    assert table.dropped == ("id",)
    assert table.warnings == ("feature 'id' has another value in every row, as an identifier has, and was dropped",)
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={"id": FeatureSpec(kind="categorical")})
    assert "id" in read_table(data, asked).features


@pytest.mark.parametrize(
    ("header", "row", "kept"),
    [
        ("a,c,b,y", "{n},1{i:03d},{word},{y}", False),  # consecutive
        ("a,student_id,b,y", "{n},9{i}7,{word},{y}", False),  # named as an identifier
        ("a,ID,b,y", "{n},9{i}7,{word},{y}", False),
        ("a,paid,b,y", "{n},9{i}7,{word},{y}", True),  # may be an amount
        ("a,student_id,b,y", "{n},{n},{word},{y}", True),  # not all different
        ("a,id,b,y", "{n},{i}.5,{word},{y}", True),  # a measurement
    ],
)
def test_whole_numbers_that_count_or_name_the_rows_are_dropped(header: str, row: str, kept: bool) -> None:
    name = header.split(",")[1]
    table = read_table(csv(header=header, row=row), SPEC)
    assert (name in table.features) == kept
    assert any("as an identifier has" in warning for warning in table.warnings) != kept
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={name: FeatureSpec(kind="numeric")})
    assert name in read_table(csv(header=header, row=row), asked).features


def test_whole_numbers_are_numbers_however_few_and_the_spec_may_call_them_categories() -> None:
    data = csv(header="a,b,y", row="1,{word},{y}", line_3="2,x,1", line_4="3,x,1")
    assert kinds(read_table(data, SPEC))["a"] == "numeric"
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={"a": FeatureSpec(kind="categorical")})
    assert set(read_table(data, asked).features["a"]) == {"1", "2", "3"}


@pytest.mark.parametrize("day", ["2024-05-11", "2024-05-11T10:00:00Z", "2024-05-11 10:00"])
def test_days_as_iso_writes_them_are_dates_and_the_spec_may_call_them_words(day: str) -> None:
    data = csv(row=f"{{n}},{day},{{y}}", line_3="0,2024-05-12,1")
    assert kinds(read_table(data, SPEC))["b"] == "date"
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={"b": FeatureSpec(kind="categorical")})
    assert set(read_table(data, asked).features["b"]) == {day, "2024-05-12"}


def test_truth_values_are_booleans_and_the_spec_may_call_them_words() -> None:
    spelled = csv(line_2="0,TRUE,0").replace(b",x,", b",true,").replace(b",z,", b",false,").replace(b",y,", b",false,")
    assert read_table(spelled, SPEC).features["b"].tolist()[:3] == [1.0, 0.0, 0.0]
    words = DatasetSpec(name="n", source="t.csv", target="y", features={"b": FeatureSpec(kind="categorical")})
    assert set(read_table(spelled, words).features["b"]) == {"true", "false"}
    frame = pd.DataFrame(
        {"a": [i // 2 for i in range(60)], "b": [i % 3 == 0 for i in range(60)], "y": [i * 0.5 for i in range(60)]}
    )
    data = io.BytesIO()
    frame.to_parquet(data)
    table = read_table(data.getvalue(), DatasetSpec(name="n", source="t.parquet", target="y"))
    assert kinds(table)["b"] == "boolean"
    assert table.features["b"].tolist()[:4] == [1.0, 0.0, 0.0, 1.0]
