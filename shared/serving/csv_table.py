"""A CSV body as a table, as spreadsheet programs of any country save it, or the reason why it is none.

Read without being told: UTF-8 and UTF-16 by their marks, Windows-1252 where it is no UTF-8; commas, semicolons, tabs or
bars between the cells; a `sep=` line; decimal commas where commas do not part the cells.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from shared.problems import Refusal, refuse
from shared.serving.sent_table import Record, SentTable, assemble, filled

DELIMITERS = ",;\t|"
SAMPLE_LINES = 50
SAMPLE_CHARACTERS = 2**19
"""What parts the cells is told from so much of a text: a quote that is never closed makes one cell of all the rest."""

CHARSETS = frozenset({"utf-8", "utf-16", "cp1252", "iso8859-1", "ascii"})
"""Charsets that may be declared, by Python's names for them."""

SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def parse_csv(body: bytes, max_rows: int, charset: str | None = None) -> SentTable:
    """The table in `body`, in the declared `charset` or that which it shows.

    Raises Refusal: 400 for what is no such table, with every ragged row; 413 for more than `max_rows` rows.
    """
    text = _text(body, charset)
    separator = SEPARATOR_LINE.match(text)
    delimiter = separator.group(1) if separator else delimiter_in(text)
    records = filled(
        _records(text[separator.end() :] if separator else text, delimiter, 2 if separator else 1), max_rows
    )
    return assemble(records, max_rows, decimal_comma=delimiter != "," and has_decimal_commas(records))


def has_decimal_commas(records: Iterable[Record]) -> bool:
    """Whether a cell is a number with a comma, where commas do not part the cells."""
    return any(_WITH_COMMA.fullmatch(cell.strip()) for _, cells in records for cell in cells)


def _records(text: str, delimiter: str, first: int) -> Iterator[Record]:
    lines = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    try:
        yield from enumerate(lines, first)
    except csv.Error as error:
        line = lines.line_num + first - 1
        raise refuse(400, "malformed_csv", f"line {line} is not valid CSV: {error}") from None


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, one at a time: a file in memory would keep four bytes for each character."""
    if text.count("\r") > text.count("\r\n"):  # some lines end with it alone
        yield from (found.group() for found in _LINE.finditer(text))
        return
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def delimiter_in(text: str) -> str:
    """What parts the most lines into equally many cells, more than one; of equals, the widest, then the comma."""

    sample = text[:SAMPLE_CHARACTERS]

    def parted(delimiter: str) -> tuple[int, int]:
        lines = csv.reader(_lines(sample), delimiter=delimiter)
        widths: Counter[int] = Counter()
        try:
            for line, _ in zip(lines, range(SAMPLE_LINES), strict=False):
                widths[len(line)] += 1
        except csv.Error:  # told where the whole is read
            pass
        alike = [(count, width) for width, count in widths.items() if width > 1]
        return max(alike, default=(0, 0))

    return max(DELIMITERS, key=parted)


def _text(body: bytes, charset: str | None) -> str:
    if not body.strip():
        raise refuse(400, "empty_body", "expected a table with a header line, found an empty body")
    text = _decoded(body, charset)
    if not text.strip():
        raise refuse(400, "empty_body", "expected a table with a header line, found an empty body")
    if "\0" in text:
        raise refuse(400, "malformed_csv", "the body holds NUL characters; expected CSV text")
    if text.lstrip()[0] in "[{" and _is_json(body):
        raise refuse(400, "json_as_csv", "the body is JSON; send it with the Content-Type application/json")
    return text


def _decoded(body: bytes, charset: str | None) -> str:
    encoding = next((name for mark, name in _MARKS.items() if body.startswith(mark)), charset)
    try:
        return body.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding is not None or b"\0" in body:
            raise _undecodable(encoding or "utf-8") from None
    try:
        return body.decode("cp1252")
    except UnicodeDecodeError:
        raise _undecodable("utf-8") from None


def _undecodable(encoding: str) -> Refusal:
    name = encoding.removesuffix("-sig").upper()
    return refuse(400, f"invalid_{name.lower().replace('-', '')}", f"the body is not valid {name}")


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8)), dict | list)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
