"""Tables as people send them: each is read right, or refused with a sentence that says what to do; CSV and Parquet."""

import gzip
import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from functions.train.data.preprocessing import MAX_CATEGORIES, preprocessing
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

ROWS = 60
SPECS = {kind: DatasetSpec(name="n", source=f"t.{kind}", target="y") for kind in ("csv", "parquet")}
NUMBERS = [i % 7 for i in range(ROWS)]
WORDS = ["x", "y", "z"] * (ROWS // 3)
PLAIN = "write plain numbers, such as 0.72 for 72% and 1000 for 1,000"


def text(columns: dict[str, Sequence[Any]]) -> str:
    return pd.DataFrame(columns).to_csv(index=False)


def written(columns: dict[str, Sequence[Any]], kind: str) -> bytes:
    if kind == "csv":
        return text(columns).encode()
    data = io.BytesIO()
    pd.DataFrame(columns).to_parquet(data)
    return data.getvalue()


def outcome(data: bytes, kind: str) -> "Table | str":
    """The table, or every problem in one text."""
    try:
        return read_table(data, SPECS[kind])
    except InvalidDataset as refused:
        return "\n".join(refused.problems)


def first(value: Any, others: Sequence[Any]) -> list[Any]:
    return [value, *others[1:]]


REFUSED: dict[str, tuple[dict[str, Sequence[Any]], str]] = {
    "1,000 in a number column": (
        {"c": ["1,000" if i == 0 else str(i % 7) for i in range(ROWS)]},
        f"feature 'c' holds numbers that are not written plainly in line 2; {PLAIN}",
    ),
    "1,000 everywhere": ({"c": [f"{n + 1},000" for n in NUMBERS]}, "feature 'c' holds numbers that are not written"),
    "72% everywhere": ({"c": [f"{n}%" for n in NUMBERS]}, f"9 and 52 more; {PLAIN}"),
    "a decimal comma": ({"c": [f"{n},5" for n in NUMBERS]}, PLAIN),
    "72% in the target": (
        {"y": first("72%", [str(n) for n in NUMBERS])},
        f"'y' is not a finite number in line 2; {PLAIN}",
    ),
    "1,000 in the target": ({"y": first("1,000", [str(n) for n in NUMBERS])}, f"number in line 2; {PLAIN}"),
    "inf": ({"c": first(float("inf"), NUMBERS)}, "feature 'c' holds numbers, but not in line 2; correct them"),
    "1e999": ({"c": first("1e999", [str(n) for n in NUMBERS])}, "feature 'c' holds numbers, but not in line 2"),
    "inf in the target": ({"y": first(float("inf"), NUMBERS)}, "target 'y' is not a finite number in line 2"),
    "a missing target": ({"y": first(None, NUMBERS)}, "'y' is missing in line 2; fill it in or remove the rows"),
    "a constant target": ({"y": [1] * ROWS}, "the same value in every row: there is nothing to learn"),
    "duplicate headers": ({" a": NUMBERS}, "the header names 'a' more than once"),
    "dates": (
        {"c": [f"{1 + n}.5.2024" for n in NUMBERS]},
        'in lines 2, 3, 4, 5, 6, 7, 8, 9 and 52 more; say [features] c = { date_format = "%d.%m.%Y" }, turn them into',
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_what_to_do(name: str, kind: str) -> None:
    columns, sentence = REFUSED[name]
    found = outcome(written({"a": NUMBERS, "b": WORDS, "y": range(ROWS), **columns}, kind), kind)
    assert isinstance(found, str)
    assert sentence in found


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_twenty_rows_are_too_few(kind: str) -> None:
    found = outcome(written({"a": NUMBERS[:20], "y": range(20)}, kind), kind)
    assert found == "the table has 20 rows; at least 50 are needed"


GOOD: dict[str, Sequence[Any]] = {"a": NUMBERS, "b": WORDS, "y": range(ROWS)}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (text(GOOD).replace(",", ";").encode(), "the columns are separated by ';'; expected commas"),
        (text(GOOD).replace("z,5\n", "z,5,5\n").encode(), "line 7: the number of cells differs from the header's 3"),
        (
            text(GOOD).replace("x,0\n", "Zoë,0\n").encode("latin-1"),
            "not UTF-8 (first seen in line 2); save it as UTF-8",
        ),
        (text(GOOD).encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
        (b"a,b,y\n", "the file has a header but no rows"),
        (b"PK\x03\x04" + bytes(60), "the file is an Excel workbook or a ZIP file; save it as CSV (UTF-8)"),
        (b'{"a": 1, "b": "x", "y": 2}\n' * 60, "the file is JSON; save it as CSV"),
        (b'\xef\xbb\xbf [\n {"a": 1}]', "the file is JSON; save it as CSV"),
        (b"<!DOCTYPE html>\n<html>Sign in</html>", "the file is a web page or XML and no table"),
        (gzip.compress(text(GOOD).encode()), "the file is compressed by gzip; unpack it"),
        (written(GOOD, "parquet"), "the file is Parquet; let its name, and source in the spec, end in .parquet"),
    ],
    ids=[
        "semicolons",
        "ragged",
        "latin-1",
        "UTF-16",
        "header only",
        "Excel",
        "JSON lines",
        "JSON",
        "HTML",
        "gzip",
        "Parquet named .csv",
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_what_to_do(data: bytes, sentence: str) -> None:
    found = outcome(data, "csv")
    assert isinstance(found, str)
    assert sentence in found


def test_a_file_that_is_no_parquet_is_refused() -> None:
    assert "the file is not Parquet" in str(outcome(text(GOOD).encode(), "parquet"))
    nested = written({**GOOD, "c": [[1, 2]] * ROWS, "d": [b"x"] * ROWS}, "parquet")
    assert (
        outcome(nested, "parquet")
        == "'c', 'd': a cell must be one number or one text, not a list, bytes or a time span"
    )
    assert outcome(written({"a": [], "y": []}, "parquet"), "parquet") == "the table has 0 rows; at least 50 are needed"


def table(columns: dict[str, Sequence[Any]], kind: str) -> Table:
    found = outcome(written({**GOOD, **columns}, kind), kind)
    assert isinstance(found, Table), found
    return found


def test_a_byte_order_mark_is_passed_over() -> None:
    assert isinstance(found := outcome(b"\xef\xbb\xbf" + text(GOOD).encode(), "csv"), Table)
    assert list(found.features) == ["a", "b"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
class TestItIsReadRight:
    """What looks odd and is not wrong."""

    def test_spaces_around_headers(self, kind: str) -> None:
        assert "c" in table({" c ": NUMBERS}, kind).features

    def test_none_and_na_are_values(self, kind: str) -> None:
        found = table({"c": ["None", "NA", "null"] * 20}, kind)
        assert set(found.features["c"]) == {"None", "NA", "null"}

    def test_spellings_that_differ_in_case_are_merged(self, kind: str) -> None:
        found = table({"c": ["None", "none", "none", "other"] * 15}, kind)
        assert set(found.features["c"]) == {"none", "other"}
        assert "feature 'c': 1 spelling(s) that differ only in case were merged" in found.warnings

    def test_a_category_of_one_row(self, kind: str) -> None:
        assert "rare" in set(table({"c": first("rare", WORDS)}, kind).features["c"])

    def test_a_column_without_values_is_dropped(self, kind: str) -> None:
        found = table({"c": [None] * ROWS}, kind)
        assert (found.dropped, found.warnings) == (("c",), ("feature 'c' has no values and was dropped",))

    def test_a_constant_column_is_dropped(self, kind: str) -> None:
        found = table({"c": [1] * ROWS}, kind)
        assert (found.dropped, found.warnings) == (
            ("c",),
            ("feature 'c' has the same value in every row and was dropped",),
        )

    def test_truth_values_are_booleans(self, kind: str) -> None:
        found = table({"c": [True, False, None] * 20}, kind)
        assert found.features["c"].tolist()[:2] == [1.0, 0.0]
        assert (found.columns[-1].kind, found.columns[-1].nullable) == ("boolean", True)

    def test_days_are_dates(self, kind: str) -> None:
        days = [None, *pd.date_range("2024-02-25", periods=ROWS - 1)]
        found = table({"c": days, "d": [day and f"{day:%Y-%m-%dT%H:%MZ}" for day in days]}, kind)
        assert [column.kind for column in found.columns[-2:]] == ["date", "date"]
        assert found.features["c"].tolist()[1:6] == [19778, 19779, 19780, 19781, 19782]
        assert found.features["c"].equals(found.features["d"].rename("c"))

    def test_five_thousand_categories_have_a_bounded_width(self, kind: str) -> None:
        rows = 6_000
        data = written({"c": [f"c{i % 5_000}" for i in range(rows)], "y": range(rows)}, kind)
        found = outcome(data, kind)
        assert isinstance(found, Table)
        assert found.features["c"].nunique() == 5_000
        assert preprocessing(found.columns).fit_transform(found.features).shape[1] <= MAX_CATEGORIES

    def test_a_name_with_brackets(self, kind: str) -> None:
        assert "b[0]<5" in table({"b[0]<5": NUMBERS}, kind).features


def test_one_ragged_line_does_not_hide_what_is_wrong_with_the_others() -> None:
    lines = text({"c": ["72%", *NUMBERS[1:]], "w": WORDS, "y": NUMBERS}).splitlines()
    lines[6] += ",1"
    lines[20] = lines[20].rsplit(",", 1)[0] + ",?"
    said = outcome("\n".join(lines).encode(), "csv")
    assert isinstance(said, str)
    assert [line.split(" is ")[0].split(" holds ")[0] for line in said.splitlines()] == [
        "line 7: the number of cells differs from the header's 3",
        "target 'y'",
        "feature 'c'",
    ]
    assert "in line 21" in said  # the lines of the file, the ragged one counted


def test_where_most_lines_are_ragged_the_header_is_wrong() -> None:
    lines = text({"c": NUMBERS, "w": WORDS, "y": NUMBERS}).splitlines()
    said = outcome("\n".join([lines[0] + ",z", *lines[1:]]).encode(), "csv")
    assert said == "lines 2, 3, 4, 5, 6, 7, 8, 9 and 52 more: the number of cells differs from the header's 4"
