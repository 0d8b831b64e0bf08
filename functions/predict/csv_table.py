"""A CSV body as a header and rows of text, or the reason why it is none. Line 1 is the header."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.dataset import normalized
from shared.problems import Problem, Refusal, json_pointer, refuse, shortened

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class CsvTable:
    """Header names as compared (stripped, normalised) and rows of equally many cells, as sent."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def parse_csv(body: bytes, max_rows: int) -> CsvTable:
    """The table in `body`, comma-separated, UTF-8 with or without BOM, blank lines skipped.

    Raises Refusal: 400 for what is no such table, with every ragged row; 413 for more than `max_rows` rows.
    """
    lines = csv.reader(io.StringIO(_text(body), newline=""), strict=True)
    rows: list[list[str]] = []
    ragged: list[Problem] = []
    try:
        header = _header(next((line for line in lines if line), []))
        for line in lines:
            if not line:
                continue
            if len(line) != len(header):
                ragged.append(_ragged(len(rows), lines.line_num, len(line), len(header)))
            rows.append(line)
            if len(rows) > max_rows:
                raise too_many_rows(max_rows)
    except csv.Error as error:
        raise refuse(400, "malformed_csv", f"line {lines.line_num} is not valid CSV: {error}") from None
    if ragged:
        raise Refusal(400, ragged)
    return CsvTable(header, rows)


def too_many_rows(max_rows: int) -> Refusal:
    """The refusal of a batch, of whichever format, that has more than `max_rows` rows."""
    return refuse(413, "too_many_rows", f"the batch has more than the {max_rows} rows that are accepted")


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse(400, "invalid_utf8", "the body is not valid UTF-8") from None
    if not text.strip():
        raise refuse(400, "empty_body", "expected CSV with a header line, found an empty body")
    if "\0" in text:
        raise refuse(400, "malformed_csv", "the body holds NUL characters; expected CSV text")
    return text


def _header(line: list[str]) -> tuple[str, ...]:
    for delimiter, name in _OTHER_DELIMITERS.items():
        if len(line) == 1 and delimiter in line[0]:
            raise refuse(400, "wrong_delimiter", f"expected commas between the columns, found {name}")
    header = tuple(normalized(name) for name in line)
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise Refusal(
            400,
            [
                Problem(json_pointer(name), "duplicate_header", f"the header {shortened(name)!r} stands twice")
                for name in twice
            ],
        )
    return header


def _ragged(row: int, line: int, found: int, expected: int) -> Problem:
    return Problem(json_pointer(row), "ragged_row", f"line {line} has {found} cells, the header has {expected}")
