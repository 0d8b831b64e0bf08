"""Cells of text by the format that the spec tells: each reads one way or not at all; what is written is read back."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cells import PLAIN, day_in, day_text, is_missing, number_in, number_of, truth_in, written
from shared.documents import CellFormat, Feature

GERMAN = CellFormat(decimal=",", thousands=".", signs=True)
DOLLARS = CellFormat(thousands=",", unit="$", signs=True)
FRENCH = CellFormat(decimal=",", thousands=" ", unit="€", signs=True)


@pytest.mark.parametrize(
    ("cell", "form", "number"),
    [
        ("1234.5", PLAIN, 1234.5),
        ("-1e3", PLAIN, -1000),
        ("1,5", PLAIN, None),
        ("1_000", PLAIN, None),
        ("nan", PLAIN, None),
        ("", PLAIN, None),
        ("1.234,56", GERMAN, 1234.56),
        ("1234,56", GERMAN, 1234.56),
        ("1.5", GERMAN, None),  # neither grouped as thousands are, nor with the decimal mark
        ("12.345.678", GERMAN, 12345678),
        ("1,234.50", DOLLARS, 1234.5),
        ("$1,234.50", DOLLARS, 1234.5),
        ("($2,000.00)", DOLLARS, -2000),
        ("-$5", DOLLARS, -5),
        ("$-5", DOLLARS, -5),
        ("5 $", DOLLARS, 5),
        ("$5$", DOLLARS, None),
        ("(-5)", DOLLARS, None),
        ("(5", DOLLARS, None),
        ("1,23", DOLLARS, None),
        ("12,34,567", DOLLARS, 1234567),
        ("1\N{NO-BREAK SPACE}234,5 €", FRENCH, 1234.5),
        ("1\N{NARROW NO-BREAK SPACE}234", FRENCH, 1234),
        ("\N{MINUS SIGN}5", CellFormat(signs=True), -5),
        ("\N{MINUS SIGN}5", PLAIN, None),
        ("5%", CellFormat(unit="%", signs=True), 5),
        ("1\N{RIGHT SINGLE QUOTATION MARK}234", CellFormat(thousands="'", signs=True), 1234),
        ("-", DOLLARS, None),
        ("$", DOLLARS, None),
    ],
)
def test_a_number_is_read_one_way_or_not_at_all(cell: str, form: CellFormat, number: float | None) -> None:
    assert number_in(cell, form) == number


@pytest.mark.parametrize(
    ("cell", "form", "day"),
    [
        ("2024-05-31", PLAIN, "2024-05-31"),
        ("2024-05-31T10:30", PLAIN, "2024-05-31T10:30:00"),
        ("2024-05-31 10:30:00Z", PLAIN, "2024-05-31T10:30:00"),
        ("2024-05-31T10:30:00+00:00", PLAIN, "2024-05-31T10:30:00"),
        ("2024-05-31T10:30:00+02:00", PLAIN, None),
        ("2024-02-30", PLAIN, None),
        ("20240531", PLAIN, None),
        ("31/05/2024", PLAIN, None),
        ("31/05/2024", CellFormat(date_format="%d/%m/%Y"), "2024-05-31"),
        ("2024-05-31", CellFormat(date_format="%d/%m/%Y"), None),
        ("31-May-24", CellFormat(date_format="%d-%b-%y"), "2024-05-31"),
        ("2024-05-31T01:00:00+02:00", CellFormat(date_format="%Y-%m-%dT%H:%M:%S%z"), "2024-05-30T23:00:00"),
    ],
)
def test_a_day_is_read_by_its_format_and_by_iso_alone_where_none_is_told(
    cell: str, form: CellFormat, day: str | None
) -> None:
    days = day_in(cell, form)
    assert (days if days is None else day_text(days)) == day


@given(st.datetimes())
def test_a_moment_is_the_same_number_when_it_was_written_and_read_again(moment: datetime.datetime) -> None:
    days = day_in(moment.isoformat())
    assert days is not None
    assert day_in(day_text(days)) == pytest.approx(days, abs=2e-11 * 86_400)


@given(st.dates())
def test_a_day_is_the_same_text_when_it_was_read_and_written_again(day: datetime.date) -> None:
    days = day_in(day.isoformat())
    assert days == (day - datetime.date(1970, 1, 1)).days
    assert day_text(days) == day.isoformat()


def test_words_of_truth_and_of_nothing_are_those_that_are_told() -> None:
    german = CellFormat(true=("ja",), false=("nein",), missing=("k.A.",))
    assert [truth_in(cell, german) for cell in ("Ja", "NEIN", "true", "yes")] == [True, False, True, None]
    assert [truth_in(cell) for cell in ("TRUE", " false", "1", "")] == [True, False, None, None]
    assert [is_missing(cell, german) for cell in ("", "  ", " k.A. ", "K.A.")] == [True, True, True, False]


def test_what_a_model_reads_of_a_cell() -> None:
    assert [number_of(cell) for cell in (True, 2.5, "1970-01-03")] == [1.0, 2.5, 2.0]
    assert math.isnan(number_of(None))
    with pytest.raises(ValueError, match="a number, a truth value or a date"):
        number_of("soon")


@pytest.mark.parametrize(
    ("value", "feature", "text"),
    [
        (1.5, Feature(name="f", kind="numeric", nullable=False, imputed=0.0, format=GERMAN), "1,5"),
        (True, Feature(name="f", kind="boolean", nullable=False, imputed=True), "true"),
        (
            False,
            Feature(name="f", kind="boolean", nullable=False, imputed=True, format=CellFormat(false=("nein",))),
            "nein",
        ),
        (
            "2024-05-31",
            Feature(name="f", kind="date", nullable=False, imputed="", format=CellFormat(date_format="%d/%m/%Y")),
            "31/05/2024",
        ),
        ("2024-05-31", Feature(name="f", kind="date", nullable=False, imputed=""), "2024-05-31"),
        ("a, b", Feature(name="f", kind="categorical", nullable=False, imputed=""), "a, b"),
    ],
)
def test_a_value_is_written_as_its_file_writes_it(value: bool | float | str, feature: Feature, text: str) -> None:
    assert written(value, feature) == text
