"""Output to whatever terminal or file it goes to: what its encoding lacks is spelled out, not a traceback.

A command calls `prepare` before anything is printed.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
import unicodedata
from typing import Mapping  # noqa: UP035 (doctor reads this file with old Pythons)

SPELLED = "spelled"
"""The name of the error handler, as `codecs` knows it."""

SPELLINGS: Mapping[str, str] = {
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{MIDDLE DOT}": "*",
    "\N{BULLET}": "*",
    "\N{SECTION SIGN}": "section ",
    "\N{EURO SIGN}": "EUR",
    "\N{MICRO SIGN}": "u",
    "\N{GREEK CAPITAL LETTER DELTA}": "delta ",
    "\N{GREEK SMALL LETTER ALPHA}": "alpha",
    "\N{LATIN SMALL LETTER SHARP S}": "ss",
}
"""What is not found by taking accents and typographic forms away."""


def prepare() -> None:
    """Let standard output and error write any text in the encoding that they have."""
    codecs.register_error(SPELLED, spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLED)


def printable(text: str) -> str:
    """`text` without what steers a terminal: it may come from the bucket, from whoever wrote there."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)


def json_text(value: object, indent: int | None = None) -> str:
    """`value` as JSON that standard output can write as it stands: spelled words would be other words."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def spelled(error: UnicodeError) -> tuple[str, int]:
    """The handler: ASCII for what cannot be encoded, a question mark where there is none. Raises other errors."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    if character in SPELLINGS:
        return SPELLINGS[character]
    if (drawn := unicodedata.name(character, "")).startswith("BOX DRAWINGS "):  # tables and frames
        return "+" if " AND " in drawn else "|" if drawn.endswith((" VERTICAL", " UP", " DOWN")) else "-"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"
