"""`[reading]` and the format of a column: every message names the line of spec that settles it, and that line does."""

import datetime
import io
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from shared.cells import day_in, number_in, truth_in
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table

ROWS = 60
HEAD = 'name = "n"\nsource = "t.csv"\ntarget = "y"\n'
DAYS = [datetime.date(2023, 1, 1) + datetime.timedelta(days=11 * i) for i in range(ROWS)]


def table_of(cells: Sequence[str], targets: Sequence[str] = ()) -> bytes:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    ends = targets or [str(i * 0.5) for i in range(ROWS)]
    rows = [f'{cell},{"xyz"[i % 3]},"{end}"' for i, (cell, end) in enumerate(zip(quoted, ends, strict=True))]
    return "\n".join(["a,b,y", *rows]).encode()


def read(cells: Sequence[str], spec: str, targets: Sequence[str] = ()) -> Table:
    return read_table(table_of(cells, targets), parse_spec((HEAD + spec).encode()))


def told(cells: Sequence[str], spec: str = "", targets: Sequence[str] = ()) -> str:
    with pytest.raises(InvalidDataset) as refused:
        read(cells, spec, targets)
    return "\n".join(refused.value.problems)


def advised(message: str) -> list[str]:
    """Every line of spec that a message names."""
    return re.findall(r"\[features\] (\w+ = \{ .+? \})", message)


NUMBERS = {
    "$1,234.50": [f"${i % 9},{i:03d}.50" for i in range(ROWS)],
    "accounting": [f"(2,0{i:02d}.00)" if i % 3 else f"1,0{i:02d}.00" for i in range(ROWS)],
    "euro": [f"{i},50 €" for i in range(ROWS)],
    "percent": [f"{i / 2}%" for i in range(ROWS)],
    "minus": [f"\N{MINUS SIGN}{i}" if i % 2 else str(i) for i in range(ROWS)],
    "U+00A0": [f"1\N{NO-BREAK SPACE}2{i:02d}" for i in range(ROWS)],
    "U+202F": [f"1\N{NARROW NO-BREAK SPACE}2{i:02d}" for i in range(ROWS)],
    "1.234,56": [f"1.2{i:02d},56" for i in range(ROWS)],
    "lakh": [f"12,34,5{i:02d}" for i in range(ROWS)],
    "apostrophe": [f"1\N{RIGHT SINGLE QUOTATION MARK}2{i:02d}" for i in range(ROWS)],
    "1,234": [f"1,2{i:02d}" for i in range(ROWS)],
    "NA": ["NA" if i % 4 == 0 else str(i / 8) for i in range(ROWS)],
    "?": ["?" if i % 4 == 0 else str(i / 8) for i in range(ROWS)],
    "inf": ["inf" if i % 5 == 0 else str(i / 8) for i in range(ROWS)],
}


@pytest.mark.parametrize("place", ["a feature", "the target"])
def test_a_refusal_can_be_kept_as_json_and_has_the_lines_that_settle_it_beside_its_sentences(place: str) -> None:
    """msgspec writes no subclass of str, which is how a sentence carries its lines."""
    cells, targets = (NUMBERS["euro"], ()) if place == "a feature" else ([str(i) for i in range(ROWS)], NUMBERS["euro"])
    with pytest.raises(InvalidDataset) as refused:
        read(cells, "", targets)
    [sentence] = msgspec.json.decode(msgspec.json.encode(refused.value.problems))
    assert list(refused.value.lines) == advised(sentence) != []


@pytest.mark.parametrize("name", NUMBERS)
def test_the_line_that_a_message_names_makes_the_column_numbers(name: str) -> None:
    cells = NUMBERS[name]
    lines = advised(told(cells))
    assert len(lines) == (2 if name == "1,234" else 1), lines
    for line in lines:
        table = read(cells, f"[features]\n{line}")
        (column, _) = table.columns
        assert column.kind == "numeric"
        assert column.nullable == (name in ("NA", "?", "inf"))
        served = [number_in(cell, column.format) for cell in cells]
        assert [None if value != value else value for value in table.features["a"]] == served  # noqa: PLR0124 (NaN)


def test_two_lines_that_read_other_numbers_are_both_named() -> None:
    cells = NUMBERS["1,234"]
    assert {read(cells, f"[features]\n{line}").features["a"].iloc[0] for line in advised(told(cells))} == {1.2, 1200.0}


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d-%b-%y",
        "%b %d, %Y",
        "%b %d %Y",
        "%d %B %Y",
        "%Y/%m/%d",
        "%Y%m%d",
        "%d/%m/%Y %H:%M",
    ],
)
def test_the_line_that_a_message_names_makes_the_column_dates(form: str) -> None:
    cells = [day.strftime(form) for day in DAYS]
    (line,) = advised(told(cells))
    table = read(cells, f"[features]\n{line}")
    assert table.columns[0].kind == "date"
    assert [int(day) for day in table.features["a"]] == [(day - datetime.date(1970, 1, 1)).days for day in DAYS]
    assert [day_in(cell, table.columns[0].format) for cell in cells] == table.features["a"].tolist()


def test_words_among_dates_and_numbers_are_named_by_the_person_and_never_printed() -> None:
    assert "s3cret" not in told([str(i / 8) if i % 30 else "s3cret" for i in range(ROWS)])
    dates = ["soon" if i % 10 == 0 else day.isoformat() for i, day in enumerate(DAYS)]
    assert 'say [features] a = { missing = ["..."] }' in told(dates)
    table = read(dates, '[features]\na = { missing = ["soon"] }')
    assert (table.columns[0].kind, table.features["a"].isna().sum()) == ("date", 6)


def test_what_is_told_for_all_columns_is_overruled_by_a_column_and_holds_for_the_target() -> None:
    targets = [f"{i},5" for i in range(ROWS)]
    cells = [f"{i % 7}.5" for i in range(ROWS)]
    assert '[features] y = { decimal = "," }' in told(cells, targets=targets)
    assert read(cells, '[features]\ny = { decimal = "," }', targets).target.tolist()[:2] == [0.5, 1.5]
    assert "feature 'a' holds numbers that are not written plainly" in told(cells, '[reading]\ndecimal = ","', targets)
    assert advised(told(cells, '[reading]\ndecimal = ","', targets)) == ['a = { decimal = "." }']
    table = read(cells, '[reading]\ndecimal = ","\n[features]\na = { decimal = "." }', targets)
    assert (table.features["a"].iloc[1], table.target.iloc[1]) == (1.5, 1.5)


def test_words_for_missing_hold_in_every_column() -> None:
    cells = ["NA" if i % 4 == 0 else "?" if i % 4 == 1 else str(i / 8) for i in range(ROWS)]
    table = read(cells, '[reading]\nmissing = ["NA", "?", "z"]')
    assert table.features.isna().sum().tolist() == [30, 20]
    assert [column.kind for column in table.columns] == ["numeric", "categorical"]


def test_rows_without_a_target_are_refused_or_dropped_as_the_spec_asks() -> None:
    cells = [str(i // 2) for i in range(ROWS)]
    targets = ["" if i in (3, 5) else str(i * 0.5) for i in range(ROWS)]
    assert (
        'missing in lines 5, 7; fill it in or remove the rows, or say [reading] rows_without_target = "drop"'
        in told(cells, targets=targets)
    )
    table = read(cells, '[reading]\nrows_without_target = "drop"', targets)
    assert (len(table.target), len(table.features), len(table.contents)) == (58, 58, 58)
    assert table.warnings[0] == "2 row(s) without a target were dropped, as the spec asks"
    few = ["" if i > 20 else str(i) for i in range(ROWS)]
    assert "the table has 21 rows; at least 50" in told(cells, '[reading]\nrows_without_target = "drop"', few)


def test_words_for_missing_in_the_target_are_named_and_its_rows_dropped() -> None:
    """As R writes flights that never arrived."""
    cells = [str(i // 2) for i in range(ROWS)]
    targets = ["NA" if i in (3, 5) else str(i * 0.5) for i in range(ROWS)]
    lines = advised(told(cells, targets=targets))
    assert lines == ['y = { missing = ["NA"] }']
    spec = f'[reading]\nrows_without_target = "drop"\n[features]\n{lines[0]}'
    assert len(read(cells, spec, targets).target) == 58


def test_a_target_is_of_numbers_so_that_its_minus_signs_are_read() -> None:
    cells = [str(i // 2) for i in range(ROWS)]
    targets = [f"\N{MINUS SIGN}{i}" if i % 2 else f"({i})" for i in range(ROWS)]
    assert read(cells, "", targets).target.tolist() == [-float(i) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        ("yes no", 'a = { kind = "boolean" }'),
        ("Y N", 'a = { kind = "boolean" }'),
        ("1 0", 'a = { kind = "boolean" }'),
        ("true false", ""),
        ("TRUE FALSE", 'a = { kind = "boolean" }'),
        ("ja nein", 'a = { true = ["ja"], false = ["nein"] }'),
    ],
)
def test_truth_values_are_read_by_their_words(words: str, spec: str) -> None:
    yes, no = words.split()
    table = read([yes if i % 3 else no for i in range(ROWS)], f"[features]\n{spec}" if spec else "")
    assert table.columns[0].kind == "boolean"
    assert table.features["a"].tolist()[:4] == [0.0, 1.0, 1.0, 0.0]
    assert truth_in(yes, table.columns[0].format) is True


def test_a_column_that_is_not_what_the_spec_calls_it_is_refused_with_its_lines() -> None:
    words = ["yes" if i % 3 else "no" for i in range(ROWS)]
    assert read(words, "").columns[0].kind == "categorical"
    found = told([*words[:-1], "perhaps"], '[features]\na = { kind = "boolean" }')
    assert "feature 'a' is boolean in the spec, but neither true nor false in line 61; name its words" in found
    for kind, what in (("date", "a date"), ("numeric", "a number")):
        found = told(words, f'[features]\na = {{ kind = "{kind}" }}')
        assert found.startswith(f"feature 'a' is to hold {what} by the spec, and holds none in lines 2, 3")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ('[reading]\nthousands = "."', "reading: decimal and thousands must differ; say both"),
        ('[reading]\ndecimal = ";"', "Invalid enum value ';'"),
        ('[reading]\ndate_format = "%d/%m"', "reading.date_format must tell year, month and day"),
        ('[features]\na = { date_format = "DD/MM/YYYY" }', "features.a.date_format must tell year, month and day"),
        ('[features]\na = { true = ["x"], false = ["x"] }', "features.a: true and false have a word in common"),
        ('[features]\na = { unit = "1," }', "features.a.unit must have no digit, point, comma or bracket"),
        ('[features]\na = { kind = "date", min = 3 }', "features.a: only numbers have bounds"),
        ('[features]\ny = { kind = "numeric" }', "features.y is the target"),
        ('[reading]\nmising = ["NA"]', "unknown key 'reading.mising'; did you mean 'reading.missing'?"),
        ('[reading]\nrows_without_target = "keep"', "Invalid enum value 'keep'"),
    ],
)
def test_a_wrong_format_is_refused_with_advice(spec: str, sentence: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        parse_spec((HEAD + spec).encode())
    assert sentence in str(refused.value)


def test_parquet_numbers_are_read_by_their_type_whatever_the_spec_says_of_text() -> None:
    frame = pd.DataFrame({"a": [i / 4 for i in range(ROWS)], "t": [f"{i},5" for i in range(ROWS)], "y": range(ROWS)})
    data = io.BytesIO()
    frame.to_parquet(data)
    spec = parse_spec((HEAD.replace(".csv", ".parquet") + '[reading]\ndecimal = ","').encode())
    features = read_table(data.getvalue(), spec).features
    assert features.iloc[3].tolist() == [0.75, 3.5]


def test_the_readme_s_example_is_a_spec() -> None:
    text = (Path(__file__).resolve().parents[3] / "functions" / "train" / "README.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[reading]" in block)
    spec = parse_spec((HEAD + block).encode())
    forms = {name: spec.format_of(name) for name in ("price", "sold", "heated")}
    assert (number_in("1.234,5 €", forms["price"]), number_in("(5)", forms["price"])) == (1234.5, -5)
    assert day_in("31.05.2024", forms["sold"]) == 19874
    assert (truth_in("Yes", forms["heated"]), truth_in("0", forms["heated"])) == (True, False)
    assert [spec.kind_of(name) for name in ("price", "sold", "heated")] == ["numeric", "date", "boolean"]
