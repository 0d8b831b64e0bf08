"""What is said of a request's cells: why one is refused, or what is unusual of one that is answered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.problems import Bounds

_JSON_NAMES: Mapping[type, str] = {bool: "a boolean", str: "text", dict: "an object", list: "an array"}


class Absent:
    """The cell of a field that the row does not have."""


class Skipped:
    """The cell of a row or a column about which a problem was found already."""


ABSENT = Absent()
SKIPPED = Skipped()


@dataclass(frozen=True)
class Defect:
    """Why a cell was refused."""

    code: str
    message: str
    allowed: tuple[str, ...] | Bounds | None = None


@dataclass(frozen=True)
class Unusual:
    """A cell that is answered although training has not seen its like, with what to tell the caller."""

    cell: float | str
    code: str
    message: str


Findings = Iterator[tuple[int, Defect | Unusual]]
"""What there is to say of cells, with their positions."""

_FINDINGS = frozenset({Defect, Unusual})


def has_findings(cells: Sequence[object]) -> bool:
    """Whether anything is to be said of accepted cells."""
    return not _FINDINGS.isdisjoint(map(type, cells))


def accepted_cells(found: Sequence[object], missing: float | str) -> list[object]:
    """The graph's cells of what was accepted, `missing` where there is a defect."""
    if not has_findings(found):
        return list(found)
    return [missing if type(cell) is Defect else cell.cell if type(cell) is Unusual else cell for cell in found]


def findings_in(found: Sequence[object]) -> Findings:
    """What there is to say of what was accepted."""
    return ((position, cell) for position, cell in enumerate(found) if isinstance(cell, Defect | Unusual))


def without_value(cell: object, expected: str, allowed: tuple[str, ...] | Bounds | None) -> Defect | None:
    """What to say of a cell that is neither text nor a number where one is expected; None where all was said."""
    if cell is None:
        message = f"expected {expected}, found null; the training data had no missing values here"
        return Defect("null", message, allowed)
    if cell is ABSENT:
        return Defect("missing", f"this field is required; expected {expected}", allowed)
    if cell is SKIPPED:
        return None
    return Defect("wrong_type", f"expected {expected}, found {_JSON_NAMES.get(type(cell), 'a number')}", allowed)
