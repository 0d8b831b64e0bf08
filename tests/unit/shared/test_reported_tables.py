"""Tables that people reported, each by its name: refused with the lines and the line of spec that settles it, or read.

The reports are of: accounting format (tidyverse/readr#411, proompteng/bilig#46), Excel's dates (dataculturegroup/
DataBasic#87), inf (SauersML/gam#2495), NA (microsoft/FLAML#548), U+00A0 (DataTables/DataTablesSrc#167), long cells
(simonw/datasette-lite#84), a Parquet index (pandas-dev/pandas#64298), single precision (pola-rs/polars#15176), gaps in
whole numbers (pandas-dev/pandas#39480) and in dates (innobi/pantab#60), small and far targets (scikit-learn#14838,
dmlc/xgboost#10486), U+2212 (pola-rs/polars#28163), quotes left open.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

ROWS = 150
HOURS = [i % 21 for i in range(ROWS)]
REFUSED: dict[str, tuple[Callable[[int], str], str, list[str]]] = {
    "currency_and_accounting_negatives": (
        lambda i: f"($5,{i:03d}.00)" if i % 2 else f"$1,{i:03d}.50",
        "numbers that are not written plainly in lines 2, 3, 4",
        ['{ thousands = ",", unit = "$" }'],
    ),
    "dates_month_by_name": (
        lambda i: f"{i % 28 + 1:02d}-Feb-24",
        "dates, which are not read as they stand in lines 2, 3, 4",
        ['{ date_format = "%d-%b-%y" }'],
    ),
    "inf_in_a_fifth_of_a_numeric_feature": (
        lambda i: ["inf", "-inf", "Infinity"][i % 3] if i % 5 == 0 else str(HOURS[i]),
        "numbers, but not in lines 2, 7, 12",
        ['{ missing = ["-inf", "Infinity", "inf"] }'],
    ),
    "na_in_a_quarter_of_a_numeric_feature": (
        lambda i: "NA" if i % 4 == 0 else f"{i / 7:.2f}",
        "numbers, but not in lines 2, 6, 10",
        ['{ missing = ["NA"] }'],
    ),
    "question_marks_in_a_quarter_of_a_numeric_feature": (
        lambda i: "?" if i % 4 == 0 else f"{i / 7:.2f}",
        "numbers, but not in lines 2, 6, 10",
        ['{ missing = ["?"] }'],
    ),
    "nbsp_thousands": (
        lambda i: f"15\N{NO-BREAK SPACE}{i:03d}",
        "numbers that are not written plainly in lines 2, 3, 4",
        ['{ thousands = " " }'],
    ),
    "narrow_nbsp_thousands": (
        lambda i: f"15\N{NARROW NO-BREAK SPACE}{i:03d}",
        "numbers that are not written plainly in lines 2, 3, 4",
        ['{ thousands = " " }'],
    ),
    "unicode_minus_in_a_feature": (
        lambda i: f"\N{MINUS SIGN}{i + 1}" if i % 3 == 0 else str(i),
        "numbers that are not written plainly in lines 2, 5, 8",
        ['{ kind = "numeric" }'],
    ),
    "lakh_grouping": (
        lambda i: f"12,34,{i:03d}",
        "numbers that are not written plainly in lines 2, 3, 4",
        ['{ thousands = "," }'],
    ),
    "points_for_thousands_and_a_decimal_comma": (
        lambda i: f"1.{i:03d},56",
        "numbers that are not written plainly in lines 2, 3, 4",
        ['{ decimal = ",", thousands = "." }'],
    ),
    "a_few_words_among_dates": (
        lambda i: "soon" if i % 10 == 0 else f"2024-01-{i % 28 + 1:02d}",
        "dates, which are not read as they stand in lines 2, 12, 22",
        ['{ missing = ["..."] }'],
    ),
    "slash_dates": (
        lambda i: f"{i % 28 + 1:02d}/02/2024",
        "dates, which are not read as they stand in lines 2, 3, 4",
        ['{ date_format = "%d/%m/%Y" }'],
    ),
    "days_without_separators": (
        lambda i: f"202302{i % 28 + 1:02d}",
        "dates, which are not read as they stand in lines 2, 3, 4",
        ['{ date_format = "%Y%m%d" }'],
    ),
    "clock_times": (lambda i: f"{i % 24}:{i % 60:02d}", "times of day, which are not read", []),
}


def spec(kind: str = "csv", more: str = "") -> Any:
    return parse_spec(f'name = "n"\nsource = "data.{kind}"\ntarget = "points"\n{more}'.encode())


def frame(**columns: Any) -> pd.DataFrame:
    own = {"region": [*"xyz"] * (ROWS // 3), "course": [*"ab"] * (ROWS // 2), "hours": HOURS}
    return pd.DataFrame({**own, "points": [40 + i * 0.25 for i in range(ROWS)], **columns})


def read(table: pd.DataFrame, more: str = "", kind: str = "csv", **options: Any) -> Table:
    data = io.BytesIO()
    if kind == "csv":
        table.to_csv(data, index=False)
    else:
        table.to_parquet(data, **options)
    return read_table(data.getvalue(), spec(kind, more))


def told(table: pd.DataFrame) -> str:
    with pytest.raises(InvalidDataset) as refused:
        read(table)
    (only,) = refused.value.problems
    return only


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


@pytest.mark.parametrize("name", REFUSED)
def test_a_column_that_is_nearly_something_is_refused_with_what_settles_it(name: str) -> None:
    cell, what, lines = REFUSED[name]
    table = frame(hours=[cell(i) for i in range(ROWS)])
    message = told(table)
    assert message.startswith(f"feature 'hours' holds {what}")
    if "in line" in what:
        assert re.search(r" and \d+ more", message)  # how many cells, not only the first
    advised = re.findall(r"\[features\] hours = (\{ .+? \})", message)
    assert [line for line in lines if line in advised] == lines, message
    for line in advised:
        settled = read(
            table, f"[features]\nhours = {line.replace('...', 'soon')}\n"
        )  # a person's words are not printed
        assert kinds(settled)["hours"] == ("date" if what.startswith("dates") else "numeric")
    (kind,) = re.findall(r'or say kind = "(\w+)" in the spec', message)
    assert kinds(read(table, f'[features]\nhours = {{ kind = "{kind}" }}\n'))["hours"] == kind


def test_nearly_unique_text() -> None:
    (warning,) = read(frame(title=[f"title {max(i, 5)}" for i in range(ROWS)])).warnings
    assert warning.startswith("feature 'title' has 145 different texts in 150 rows")


def test_one_huge_cell_in_a_dropped_column() -> None:
    notes = ["x" * 20, *["x"] * (ROWS - 2), "x" * 140_000]
    table = read(frame(note=notes), 'drop = ["note"]\n')
    assert kinds(table) == {"region": "categorical", "course": "categorical", "hours": "numeric"}


def test_fifteen_hundred_columns() -> None:
    wide = pd.DataFrame(np.round(np.random.default_rng(0).normal(size=(60, 1_500)), 3)).add_prefix("c")
    table = read(wide.assign(points=[i * 0.5 for i in range(60)]))
    assert set(kinds(table).values()) == {"numeric"}
    assert len(table.columns) == 1_500


def test_parquet_features_saved_as_index() -> None:
    table = read(frame().set_index(["region", "course"]), kind="parquet")
    assert kinds(table) == {"hours": "numeric", "region": "categorical", "course": "categorical"}


def test_parquet_float32_column() -> None:
    doses = np.array([0.1, 0.2, 0.7] * 50, dtype=np.float32)
    read_back = read(frame(dose=doses), kind="parquet").features["dose"]
    assert (read_back.min(), read_back.max()) == (0.1, 0.7)


def test_parquet_integer_codes_with_nulls() -> None:
    codes = pd.array([None if i % 9 == 0 else i % 3 + 1 for i in range(ROWS)], dtype="Int64")
    table = read(frame(code=codes), '[features]\ncode = { kind = "categorical" }\n', "parquet")
    assert set(table.features["code"].dropna()) == {"1", "2", "3"}
    assert next(column.nullable for column in table.columns if column.name == "code")


def test_parquet_timestamps_with_nulls() -> None:
    days = pd.Series([None if i % 19 == 0 else pd.Timestamp(2024, 1, 1 + i % 28) for i in range(ROWS)])
    assert kinds(read(frame(day=days), kind="parquet"))["day"] == "date"


@pytest.mark.parametrize(
    ("factor", "offset"),
    [(1.0, 0.0), (1e-9, 0.0), (1.0, 1.7e9)],
    ids=["target_plain_for_comparison", "target_in_billionths", "target_with_a_huge_offset"],
)
def test_targets_of_any_unit_are_read_to_the_last_digit(factor: float, offset: float) -> None:
    """How they train is in tests/unit/train/test_target_units.py."""
    points = np.array([offset + factor * (10 + i * 0.0123) for i in range(ROWS)])
    assert read(frame(points=points)).target.tolist() == points.tolist()


HEADER, LINE = "a,b,points", "{},{},{}"


def lines_of(*places: tuple[int, str]) -> bytes:
    lines = [HEADER, *(LINE.format(i // 2, "xyz"[i % 3], i * 0.5) for i in range(ROWS))]
    for place, line in places:
        lines[place - 1] = line
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("closed", "what"),
    [(51, "39 row(s) between them are in one cell"), (12, "both lines are rows of their own")],
    ids=["forty lines later", "in the next line"],
)
def test_a_quote_opened_in_line_11_is_refused_with_where_it_is_closed(closed: int, what: str) -> None:
    data = lines_of((11, '5,"x,4.5'), (closed, '9,x",9.5'))
    with pytest.raises(InvalidDataset) as refused:
        read_table(data, spec())
    assert refused.value.problems == (f"a quote opened in line 11 is closed in line {closed}, and {what}",)


def test_a_quote_left_open_is_refused_of_two_columns_too() -> None:
    lines = ["b,points", *(f"{'xyz'[i % 3]},{i * 0.5}" for i in range(ROWS))]
    lines[10], lines[15] = '"x,4.5', 'y",5.5'
    with pytest.raises(InvalidDataset, match=r"a quote opened in line 11 is closed in line 16, and 4 row\(s\)"):
        read_table("\n".join(lines).encode(), spec())
    lines[10:16] = ['"well, so', "it is, or", 'not, then",5.5']  # no number stands where the target is
    (warning,) = read_table("\n".join(lines).encode(), spec()).warnings
    assert warning.startswith("column 'b' has 1 cell(s) of several lines, up to 3, which end in line 13; ")


def test_cells_of_several_lines_are_told_by_column() -> None:
    data = lines_of((11, '5,"x\nand\nso",4.5'), (21, '5,"one, two\nthree, four",4.5'))
    assert read_table(data, spec()).warnings == (
        "column 'b' has 2 cell(s) of several lines, up to 3, which end in lines 13, 24; "
        "if that is not meant, a quote is left open",
    )
    assert read_table(lines_of((11, "")), spec()).warnings == ()  # an empty line is none
