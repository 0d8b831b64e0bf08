"""How the spec says that cells are written, in `[reading]` for every column or for one in `[features]`."""

import datetime
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from shared.documents import CellFormat, Kind

TRUE_WORDS = ("true", "yes", "y", "t", "1", "on")
FALSE_WORDS = ("false", "no", "n", "f", "0", "off")
"""Read as truth values where the spec says kind = "boolean"; of themselves only true and false are."""


class FormatSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How cells are written, as `CellFormat` has it; what is not given is as programs write it."""

    missing: tuple[str, ...] | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal["", ",", ".", " ", "'"] | None = None
    unit: str | None = None
    date_format: str | None = None
    true: tuple[str, ...] | None = None
    false: tuple[str, ...] | None = None

    @property
    def format_kind(self) -> Kind | None:
        """The only kind that is written so, where there is one."""
        if self.date_format is not None:
            return "date"
        if self.true or self.false:
            return "boolean"
        return "numeric" if self.marks_numbers else None

    @property
    def marks_numbers(self) -> bool:
        """Whether it says anything of how numbers are written."""
        return not (self.decimal is None and self.thousands is None and self.unit is None)


class ReadingSpec(FormatSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the cells of every column are written, and what to do with rows that have no target."""

    rows_without_target: Literal["refuse", "drop"] = "refuse"


def cell_format(own: FormatSpec, every: FormatSpec, kind: Kind | None) -> CellFormat:
    """The format of a column of `kind`, None where that is inferred: as its `own` says, else as that of `every`."""
    keys = FormatSpec.__struct_fields__
    given = {key: getattr(every, key) if getattr(own, key) is None else getattr(own, key) for key in keys}
    usual = kind == "boolean" and not (given["true"] or given["false"])
    settings = {key: value for key, value in given.items() if value is not None}
    signs = kind == "numeric" or own.marks_numbers or every.marks_numbers
    words = {"true": TRUE_WORDS, "false": FALSE_WORDS} if usual else {}
    return CellFormat(signs=signs, **(settings | words))


def format_rules(form: CellFormat, where: str) -> Iterator[tuple[bool, str]]:
    """What must hold of a format, each with the sentence for where it does not."""
    yield form.decimal != form.thousands, f"{where}: decimal and thousands must differ; say both"
    yield (
        form.date_format is None or _names_a_day(form.date_format),
        f"{where}.date_format must tell year, month and day as strptime does, such as %d/%m/%Y",
    )
    yield not set(form.true) & set(form.false), f"{where}: true and false have a word in common"
    yield not re.search(r"[\d.,()]", form.unit), f"{where}.unit must have no digit, point, comma or bracket"


def _names_a_day(date_format: str) -> bool:
    day = datetime.datetime(2024, 5, 31)  # noqa: DTZ001 (a day has no zone)
    try:
        return datetime.datetime.strptime(day.strftime(date_format), date_format).date() == day.date()  # noqa: DTZ007
    except ValueError:
        return False
