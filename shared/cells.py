"""What one cell of text says, by what the spec tells of its column: a number, a day or a truth value.

The same rules at training and at serving, so that a file that was read there is read here. A day is a number: days
since 1970-01-01, with the time of day as a fraction.
"""

import datetime
import math
import re
from collections.abc import Mapping
from functools import lru_cache

from shared.documents import Cell, CellFormat, Feature
from shared.spelling import folded, normalized

PLAIN = CellFormat()
"""A file that writes as programs do: 1234.5, 2024-05-31, true; only the empty cell is missing."""

SURE_DIGITS = 12
"""Of the digits of a computed number so many are told; the last of double precision are noise."""

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 (days have no zone; what has one is turned into UTC)
_DAY = datetime.timedelta(days=1)
FIRST_DAY, LAST_DAY = (float((day - _EPOCH.date()).days) for day in (datetime.date.min, datetime.date.max))

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
ISO_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+]00:?00)?)?"
_ISO_DAY = re.compile(ISO_DAY)
_SEPARATORS: Mapping[str, str] = {",": ",", ".": "[.]", " ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]"}
"""What parts thousands, by how the spec writes it; a space is any of those that typesetting has."""


def is_missing(cell: str, form: CellFormat) -> bool:
    """Whether the cell is empty, or a word that the spec says to mean so."""
    plain = cell.strip()
    return not plain or (bool(form.missing) and normalized(plain) in map(normalized, form.missing))


def number_in(cell: str, form: CellFormat = PLAIN) -> float | None:
    """The number that the whole cell is, infinite where it is beyond double precision; None where it is none.

    In a column that the spec calls numeric or tells the marks of, U+2212 is a minus sign and (5) is -5.
    """
    if _NUMBER.fullmatch(cell) and form.decimal == ".":
        return float(cell)
    if form.decimal == "." and not (form.thousands or form.unit or form.signs):
        return None
    found = _marked(form.decimal, form.thousands, form.unit).fullmatch(cell.strip())
    if found is None or not (found["whole"] or found["part"]):
        return None
    signs = [sign for sign in (found["sign"], found["inner"], found["open"]) if sign]
    if bool(found["open"]) != bool(found["close"]) or len(signs) > 1 or (found["before"] and found["after"]):
        return None
    whole = re.sub(r"\D", "", found["whole"], flags=re.ASCII)
    size = float(f"{whole or '0'}.{found['part'] or '0'}{found['power'] or ''}")
    return size if signs in ([], ["+"]) else -size


def day_in(cell: str, form: CellFormat = PLAIN) -> float | None:
    """The days since 1970-01-01 that the cell is by the spec's format, else by ISO 8601; a time of day is a fraction.

    A moment with an offset is taken in UTC; of ISO's, only UTC itself may be said.
    """
    try:
        if form.date_format is not None:
            moment = datetime.datetime.strptime(cell.strip(), form.date_format)  # noqa: DTZ007 (see below)
        elif _ISO_DAY.fullmatch(cell.strip()):
            moment = datetime.datetime.fromisoformat(cell.strip())
        else:
            return None
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return (moment - _EPOCH) / _DAY


def number_of(cell: Cell) -> float:
    """What a model reads of a cell that is no category: NaN for none, 0 or 1 for a truth value, days for a date's text.

    Raises ValueError for other text.
    """
    if isinstance(cell, str):
        days = day_in(cell)
        if days is None:
            raise ValueError("expected a number, a truth value or a date")
        return days
    return math.nan if cell is None else float(cell)


def truth_in(cell: str, form: CellFormat = PLAIN) -> bool | None:
    """True or false, in any case; other words where `form` has them."""
    return _truths(form).get(folded(cell))


def day_text(days: float) -> str:
    """The day as ISO 8601 writes it, with its time where it has one."""
    moment = _EPOCH + datetime.timedelta(microseconds=round(days * 86_400_000_000))
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat()


def without_noise(value: float, size: float = 0.0) -> float:
    """A number computed from others of up to `size`, without the last digits that only floats have: 0.3 for 0.1 + 0.2,
    and 0 for 2.1 - 3 * (2.8 - 2.1). Whole numbers stay."""
    size = max(abs(value), size)
    if value.is_integer() or not 0.0 < size < math.inf:
        return value
    return round(value, SURE_DIGITS - 1 - math.floor(math.log10(size))) + 0.0


def written(value: bool | float | str, feature: Feature) -> str:
    """The value as a text file writes it that is read by the feature's format."""
    form = feature.format
    if feature.kind == "boolean":
        return (form.true or ("true",))[0] if value else (form.false or ("false",))[0]
    if feature.kind == "date":
        days = day_in(str(value))
        given = form.date_format
        return str(value) if given is None or days is None else (_EPOCH + days * _DAY).strftime(given)
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if abs(value) < 1e15 and value.is_integer() else f"{value:g}".replace(".", form.decimal)


@lru_cache(maxsize=256)
def _truths(form: CellFormat) -> Mapping[str, bool]:
    words = dict.fromkeys(("true", *form.true), True) | dict.fromkeys(("false", *form.false), False)
    return {folded(word): truth for word, truth in words.items()}


@lru_cache(maxsize=256)
def _marked(decimal: str, thousands: str, unit: str) -> re.Pattern[str]:
    part = _SEPARATORS.get(thousands, "")
    grouped = rf"\d{{1,3}}(?:{part}\d{{2,3}})*{part}\d{{3}}|" if part else ""
    named = f"(?:{re.escape(unit)})?"
    return re.compile(
        rf"(?P<open>\()?\s*(?P<sign>[+\-\u2212])?\s*(?P<before>{named})\s*(?P<inner>[+\-\u2212])?\s*"
        rf"(?P<whole>{grouped}\d*)(?:{re.escape(decimal)}(?P<part>\d*))?(?P<power>[eE][+-]?\d+)?"
        rf"\s*(?P<after>{named})\s*(?P<close>\))?",
        re.ASCII,
    )
