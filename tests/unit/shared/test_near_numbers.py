"""Tables as programs and people write them: what is nearly a number is told and never guessed.

The writings are those of public reports: spreadsheets' accounting format (tidyverse/readr#411), U+2212 (pola-rs/polars
#28163), French thousands (globalizejs/globalize#288), R's NA (microsoft/FLAML#548), index columns (dask/dask#3104),
whole numbers with gaps (pandas-dev/pandas#39480), single precision (pola-rs/polars#15176).
"""

import csv
import datetime
import io

import pandas as pd
import pytest

from shared.dataset import DatasetSpec, FeatureSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

ROWS = 60
SPEC = DatasetSpec(name="n", source="t.csv", target="y")
PARQUET = DatasetSpec(name="n", source="t.parquet", target="y")


def table_of(cells: list[str], header: str = "a,b,y") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header.split(","))
    writer.writerows([cell, "xyz"[i % 3], i * 0.5] for i, cell in enumerate(cells))
    return text.getvalue().encode()


def parquet_of(frame: pd.DataFrame) -> bytes:
    data = io.BytesIO()
    frame.assign(y=[i * 0.5 for i in range(len(frame))]).to_parquet(data)
    return data.getvalue()


def problem(data: bytes, spec: DatasetSpec = SPEC) -> str:
    with pytest.raises(InvalidDataset) as refused:
        read_table(data, spec)
    (only,) = refused.value.problems
    return only


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


@pytest.mark.parametrize(
    "written",
    [
        "$1,2{i:02d}.50", "(2,0{i:02d}.00)", "($5)", "-$5", "5 €", "\N{MINUS SIGN}{i}", "1\N{NO-BREAK SPACE}2{i:02d}",
        "1\N{NARROW NO-BREAK SPACE}2{i:02d}", "1.2{i:02d},56", "12,34,5{i:02d}",
        "1\N{RIGHT SINGLE QUOTATION MARK}2{i:02d}",
        "{i}%", "{i},5", "1,2{i:02d},000",
    ],
)  # fmt: skip
@pytest.mark.parametrize("every", [1, 2, 4], ids=["all", "half", "a quarter"])
def test_numbers_with_marks_are_refused_however_many_there_are(written: str, every: int) -> None:
    cells = [written.format(i=i) if i % every == 0 else str(i // 2) for i in range(ROWS)]
    told = problem(table_of(cells))
    assert told.startswith("feature 'a' holds numbers that are not written plainly in lines 2, ")


@pytest.mark.parametrize("word", ["NA", "N/A", "?", "-", "inf", "-inf", "Infinity", "nan", "NULL", "None", "missing"])
@pytest.mark.parametrize("every", [2, 4, 20])
def test_a_word_for_missing_does_not_make_numbers_categories(word: str, every: int) -> None:
    cells = [word if i % every == 0 else str(i // 2) for i in range(ROWS)]
    assert problem(table_of(cells)).startswith("feature 'a' holds numbers, but not in lines 2, ")


def test_words_among_many_different_numbers_are_told() -> None:
    cells = ["absent" if i % 4 == 0 else str(i / 8) for i in range(ROWS)]
    assert problem(table_of(cells)).startswith("feature 'a' holds numbers, but not in lines 2, 6, ")


@pytest.mark.parametrize("words", ["0 1 2 3+", "1-2 3-4 5", "None low high", "I II III", "A1 B2 C3", "555-1 555-9 x"])
def test_codes_and_words_stay_categories(words: str) -> None:
    choices = words.split()
    table = read_table(table_of([choices[i % len(choices)] for i in range(ROWS)]), SPEC)
    assert kinds(table) == {"a": "categorical", "b": "categorical"}


@pytest.mark.parametrize("form", ["%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%Y%m%d", "%d/%m/%Y", "%Y-%m-%d"])
@pytest.mark.parametrize("every", [ROWS, 4], ids=["all", "words among them"])
def test_days_in_any_form_are_refused(form: str, every: int) -> None:
    start = datetime.date(2023, 1, 1)
    cells = [(start + datetime.timedelta(days=i // 2)).strftime(form) for i in range(ROWS)]
    if every < ROWS and form != "%Y%m%d":
        cells[::every] = ["soon"] * len(cells[::every])
    if (form, every) == ("%Y-%m-%d", ROWS):
        assert kinds(read_table(table_of(cells), SPEC))["a"] == "date"
        return
    told = problem(table_of(cells))
    assert told.startswith("feature 'a' holds dates, which are not read")
    assert form == "%Y-%m-%d" or f'date_format = "{form}"' in told


@pytest.mark.parametrize("days", [2, 3])
@pytest.mark.parametrize("other", ["{i}", "{i}:30", "NA", "{i},5"])
def test_a_column_without_a_word_is_no_choice_of_words_whatever_stands_in_it(days: int, other: str) -> None:
    cells = [f"2024-01-{i % 28 + 1:02d}" if i % days == 0 else other.format(i=i // 5) for i in range(ROWS)]
    assert problem(table_of(cells)).startswith("feature 'a' holds ")


def test_times_of_day_are_refused() -> None:
    cells = [f"{i % 24}:{i % 30:02d}" for i in range(ROWS)]
    assert problem(table_of(cells)).startswith("feature 'a' holds times of day, which are not read")


def test_days_as_numbers_are_read_where_the_spec_says_so() -> None:
    cells = [f"202301{1 + i % 28:02d}" for i in range(ROWS)]
    assert 'or say kind = "numeric" in the spec' in problem(table_of(cells))
    asked = DatasetSpec(name="n", source="t.csv", target="y", features={"a": FeatureSpec(kind="numeric")})
    assert kinds(read_table(table_of(cells), asked))["a"] == "numeric"


def test_nearly_unique_texts_are_told() -> None:
    cells = [f"title {i if i > 3 else 0}" for i in range(120)]
    (warning,) = read_table(table_of(cells), SPEC).warnings
    assert warning.startswith("feature 'a' has 117 different texts in 120 rows")


def test_a_quote_left_open_does_not_swallow_rows() -> None:
    rows = table_of([str(i // 2) for i in range(ROWS)]).decode().splitlines()
    rows[10] = '5,"x,4.5'
    rows[20] = '9,x",9.5'
    told = problem("\n".join(rows).encode())
    assert told == "a quote opened in line 11 is closed in line 21, and 9 row(s) between them are in one cell"


def test_a_text_of_several_lines_stays_in_its_cell() -> None:
    rows = [f'{i // 2},"{"xyz"[i % 3]}, or\nso\n",{i * 0.5}' for i in range(ROWS)]
    assert kinds(read_table("\n".join(["a,b,y", *rows]).encode(), SPEC))["b"] == "categorical"


def test_a_cell_of_any_length_is_read_and_the_limit_of_the_process_stays() -> None:
    before = csv.field_size_limit()
    cells = [str(i // 2) for i in range(ROWS)]
    data = table_of(cells).replace(b",x,", b"," + b"x" * 140_000 + b",", 1)
    assert kinds(read_table(data, SPEC)) == {"a": "numeric", "b": "categorical"}
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("labels", [list(range(ROWS)), list(range(ROWS))[::-1], list(range(0, 3 * ROWS, 3))])
def test_the_row_labels_that_pandas_writes_are_dropped_and_told(labels: list[int]) -> None:
    frame = pd.DataFrame({"a": [i // 2 for i in range(ROWS)], "y": [i * 0.5 for i in range(ROWS)]}, index=labels)
    again = pd.read_csv(io.StringIO(frame.to_csv())).to_csv(index=False)
    for data in (frame.to_csv(), again):
        table = read_table(data.encode(), SPEC)
        assert list(table.features) == ["a"]
        assert "holds row labels, as pandas writes them, and was dropped" in table.warnings[0]
    assert list(read_table(parquet_of(frame.drop(columns="y")), PARQUET).features) == ["a"]


def test_parquet_keeps_what_is_in_an_index() -> None:
    frame = pd.DataFrame({"region": [*"xyz"] * 20, "course": [*"ab"] * 30, "hours": [i // 2 for i in range(ROWS)]})
    table = read_table(parquet_of(frame.set_index(["region", "course"])), PARQUET)
    assert kinds(table) == {"region": "categorical", "course": "categorical", "hours": "numeric"}


def test_parquet_whole_numbers_with_gaps_stay_whole() -> None:
    codes = pd.array([None if i % 5 == 0 else i % 3 + 1 for i in range(ROWS)], dtype="Int64")
    big = pd.array([None if i == 0 else 2**53 + i % 7 for i in range(ROWS)], dtype="Int64")
    asked = {name: FeatureSpec(kind="categorical") for name in ("code", "big")}
    spec = DatasetSpec(name="n", source="t.parquet", target="y", features=asked)
    features = read_table(parquet_of(pd.DataFrame({"code": codes, "big": big})), spec).features
    assert set(features["code"].dropna()) == {"1", "2", "3"}
    assert set(features["big"].dropna()) == {str(2**53 + i) for i in range(7)}


def test_parquet_single_precision_reads_as_it_is_written() -> None:
    doses = pd.Series([0.1, 0.2, 0.7] * 20, dtype="float32")
    assert set(read_table(parquet_of(pd.DataFrame({"dose": doses})), PARQUET).features["dose"]) == {0.1, 0.2, 0.7}


def test_parquet_days_are_dates_with_gaps_too_and_times_are_told() -> None:
    days = pd.Series([None if i % 6 == 0 else pd.Timestamp(2024, 1, 1 + i % 28) for i in range(ROWS)])
    for column in (days, days.dt.date, days.dt.tz_localize("Europe/Berlin")):
        table = read_table(parquet_of(pd.DataFrame({"day": column})), PARQUET)
        assert (table.columns[0].kind, table.columns[0].nullable) == ("date", True)
        assert table.features["day"].iloc[1] // 1 == 19723 + 1 - (column is not days and column.dtype != object)
    times = [datetime.time(i % 24, 30) for i in range(ROWS)]
    assert "feature 'at' holds times of day" in problem(parquet_of(pd.DataFrame({"at": times})), PARQUET)
    spans = pd.to_timedelta([f"{i}h" for i in range(ROWS)])
    assert "a list, bytes or a time span" in problem(parquet_of(pd.DataFrame({"took": spans})), PARQUET)
