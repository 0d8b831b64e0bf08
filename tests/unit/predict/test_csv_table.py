"""A CSV as a table, or why it is none."""

import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.problems import Refusal
from shared.serving import csv_table
from shared.serving.csv_table import SAMPLE_CHARACTERS, delimiter_in, parse_csv


@pytest.mark.parametrize(
    "body",
    [
        b'a,b\r\n1,"x, y"\r\n2,z\r\n',
        b'a,b\n1,"x, y"\n2,z',
        b'\xef\xbb\xbfa,b\n1,"x, y"\n2,z\n',
        b'"a"," b "\n"1","x, y"\n\n"2","z"\n\n',
    ],
)
def test_usual_spellings_of_one_table_are_read_alike(body: bytes) -> None:
    table = parse_csv(body, 10)
    assert (table.header, table.rows) == (("a", "b"), [["1", "x, y"], ["2", "z"]])


def test_a_header_alone_is_an_empty_table() -> None:
    assert parse_csv(b"a,b\n", 10).rows == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"\xef\xbb\xbf\r\n", "empty_body"),
        (b"a,b\n1\n", "ragged_row"),
        (b"a,b\n1,2,3\n", "ragged_row"),
        (b"a,b\n1,\0\n", "malformed_csv"),
        (b'a,b\n1,"2\n', "malformed_csv"),
        (b'a,b\n1,"2"3\n', "malformed_csv"),
        (b"a,a\n1,2\n", "duplicate_header"),
        (b"a, a\n1,2\n", "duplicate_header"),
        (b"a\n\x81\n", "invalid_utf8"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(body: bytes, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_csv(body, 10)
    assert (caught.value.status, caught.value.problems[0].code) == (400, code)


def test_every_ragged_row_is_named_as_a_spreadsheet_counts_it() -> None:
    with pytest.raises(Refusal) as caught:
        parse_csv(b'a,b\n1,"x\ny"\n2\n3,4\n5\n', 10)
    assert [problem.message[:5] for problem in caught.value.problems] == ["row 3", "row 5"]
    assert [problem.row for problem in caught.value.problems] == [3, 5]
    assert [problem.pointer for problem in caught.value.problems] == ["/1", "/3"]


def test_one_row_too_many_is_too_large() -> None:
    assert len(parse_csv(b"a\n1\n2\n", 2).rows) == 2
    assert len(parse_csv(b"a\n1\n2\n" + b"\n" * 100, 2).rows) == 2
    with pytest.raises(Refusal) as caught:
        parse_csv(b"a\n1\n2\n3\n", 2)
    assert caught.value.status == 413


@given(st.text('a,";\r\n\x85\u2028', max_size=60))
def test_lines_end_where_they_do_in_a_file(text: str) -> None:
    assert list(csv.reader(csv_table._lines(text))) == list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("opening", [b'a,b\n"', b'"'])
def test_a_quote_that_is_never_closed_takes_no_more_than_a_few_times_the_body(opening: bytes) -> None:
    body = opening + b"1;" * 2**20
    parse_csv(b"a,b\n1,2\n", 10)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal):
            parse_csv(body, 10)
        assert tracemalloc.get_traced_memory()[1] < 3.5 * len(body)
    finally:
        tracemalloc.stop()


def test_what_parts_the_cells_is_told_by_the_beginning_of_a_text() -> None:
    assert delimiter_in("a;b\n" + "1;2\n" * SAMPLE_CHARACTERS) == ";"
    assert delimiter_in("a;b\n" + "1;2,5\n" * 3 + '"' + "1,2\n" * SAMPLE_CHARACTERS) == ";"
