"""The line of spec that settles how a column is written. Where two would, both are shown: a person knows which."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from shared.cells import day_in
from shared.documents import CellFormat
from shared.tables.cells import number_in, writing_of

MOST_SHOWN = 3
DATE_FORMATS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y",
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y",
    "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%M:%S%z",
)  # fmt: skip
_UNIT = re.compile(r"[^\d\s.,'()+\-\u2212\u2019\u00a0\u2009\u202f]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PARTS = {",": ",", ".": ".", " ": " \u00a0\u2009\u202f", "'": "'\u2019"}


@dataclass(frozen=True)
class Advice:
    """Lines of [features], of which one settles how the column is written. `unfinished`: words stand in them as "...",
    which a person knows."""

    lines: tuple[str, ...] = ()
    unfinished: bool = False

    def __str__(self) -> str:
        """What to say, for the sentence of the problem."""
        if not self.lines:
            return ""
        said = "say " + " or ".join(f"[features] {line}" for line in self.lines)
        return f"{said} with the words that mean no value" if self.unfinished else said

    @property
    def ready(self) -> tuple[str, ...]:
        """The lines that need no word more."""
        return () if self.unfinished else self.lines


def to_read_numbers(name: str, cells: Iterable[str], form: CellFormat) -> Advice:
    """The marks by which every number among `cells` would be read."""
    numbers = [cell for cell in cells if writing_of(cell, form) in ("number", "marked")]
    units = {unit for cell in numbers for unit in _UNIT.findall(cell)} - {"e", "E"}
    if len(units) > 1:
        return Advice()
    marks = "".join(numbers)
    parts = ["", *(part for part, letters in _PARTS.items() if set(letters) & set(marks))]
    found = []
    for unit, thousands, decimal in itertools.product(units or {""}, parts, ".," if "," in marks else "."):
        asked = {"decimal": decimal, "thousands": thousands, "unit": unit}
        tried = replace(form, **asked, signs=True)
        if decimal != thousands and all(number_in(cell, tried) is not None for cell in numbers):
            settings = {key: value for key, value in asked.items() if value != getattr(form, key)}
            found.append(settings or {"kind": "numeric"})
    least = [option for option in found if not any(other.items() < option.items() for other in found)]
    return _say(name, least)


def to_read_missing(name: str, cells: Iterable[str], reads: Callable[[str], object]) -> Advice:
    """Which words mean no value, where all that interrupt the others are known to be such."""
    unread = [cell for cell in cells if reads(cell) is None]
    if all(writing_of(cell) == "missing" for cell in unread):
        return _say(name, [{"missing": sorted(unread)[:10]}])
    return _say(name, [{"missing": ["..."]}], unfinished=True)


def to_read_dates(name: str, cells: Iterable[str], form: CellFormat) -> Advice:
    """The forms in which every date among `cells` would be read, and whether words among them are to be named."""
    all_cells = list(cells)
    dates = [cell for cell in all_cells if writing_of(cell, form) in ("date", "number")]
    formats = [""] if all(day_in(cell, form) is not None for cell in dates) else list(_formats(dates, form))
    rest = {"missing": ["..."]} if len(dates) < len(all_cells) else {}
    return _say(
        name,
        [({"date_format": date_format} if date_format else {}) | rest for date_format in formats],
        unfinished=bool(rest),
    )


def _formats(dates: list[str], form: CellFormat) -> Iterator[str]:
    for date_format in DATE_FORMATS:
        tried = replace(form, date_format=date_format)
        if all(day_in(cell, tried) is not None for cell in dates):
            yield date_format


def _say(name: str, choices: list[dict[str, str | list[str]]], *, unfinished: bool = False) -> Advice:
    key = name if _BARE_KEY.fullmatch(name) else _toml(name)
    lines = [
        ", ".join(f"{k} = {_toml(value)}" for k, value in choice.items()) for choice in choices[:MOST_SHOWN] if choice
    ]
    return Advice(tuple(f"{key} = {{ {line} }}" for line in lines), unfinished)


def _toml(value: str | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
