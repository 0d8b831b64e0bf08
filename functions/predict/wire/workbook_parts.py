"""The parts of an .xlsx body, measured before they are read and packed anew, so that what is read is what was measured.

The reader lays a sheet out whole, takes any part of the archive for a sheet, and copies a shared text into each cell
that refers to it. Sheets as nearly every program writes them are measured by their cells' names; others, and those with
much text, by a parser of XML that keeps nothing.
"""

import functools
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.parsers import expat

import numpy as np

from shared.problems import Refusal, refuse

ARCHIVE = b"PK\x03\x04"
"""What every workbook begins with."""

MOST_UNPACKED = 48 * 2**20
"""Bytes of all its parts: some twenty times as much as the cells that are accepted need."""

MOST_TEXT = 16 * 2**20
"""Characters of all cells that refer to shared texts: twice as many as a CSV may have."""

MOST_PARTS = 1000
MOST_TAGS = 2**18
"""Of a part that has to be parsed here, which takes a microsecond for each."""

PIECE = 2**16
"""So much is looked at in one call, which other threads wait for."""

_ENTRY = b"PK\x01\x02"
_NAMED_CELL = re.compile(rb'[<:]c r="([A-Z]{1,3})([0-9]{1,7})"')
_SHARED_TEXT = re.compile(rb"[<:]si[\s/>]")
_REFERRING = re.compile(rb'\bt="s"[^<>]*><v>([0-9]{1,7})</v></c>')
_REFERRING_SOMEHOW = re.compile(rb"t\s*=\s*[\"']s[\"']")
_TAG_WITHIN_A_TAG = re.compile(rb"<[^<>]*<|<!")
_CELL_NAME = re.compile(r"([A-Za-z]{1,7})([0-9]{1,10})", re.ASCII)
_BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, expat.ExpatError),
    *(NotImplementedError, RuntimeError, OSError, EOFError, ValueError),
)
_ENDS_A_NAME = np.isin(np.arange(256), list(b" \t\r\n/>"))


Handler = Callable[..., None]


@dataclass(frozen=True)
class Parts:
    """`archive`: the parts, packed anew. `most_bytes`: of the largest one."""

    archive: bytes
    most_bytes: int


def measured(body: bytes, max_cells: int) -> Parts:
    """The parts in `body` that a workbook has. Raises Refusal: 400 for what is none, 413 for one that is too large."""
    if not body.startswith(ARCHIVE):
        raise malformed()
    if body.count(_ENTRY) > MOST_PARTS:
        raise too_large()
    try:
        parts = _unpacked(body, max_cells)
        texts = _lengths([part for part, _ in parts.values() if _has_texts(part)])
        for part, cells in parts.values():
            if cells:
                _require_small(part, cells, max_cells, texts)
    except _BROKEN as error:
        raise malformed() from error  # RuntimeError: it is encrypted
    return Parts(_packed(parts), max((len(part) for part, _ in parts.values()), default=0))


def malformed() -> Refusal:
    return refuse(400, "malformed_workbook", "the body is not an .xlsx workbook, or it is protected")


def too_large() -> Refusal:
    return refuse(413, "body_too_large", "the workbook unfolds to more than is accepted")


# ---- the archive ---------------------------------------------------------------------------------------------------


def _unpacked(body: bytes, max_cells: int) -> dict[str, tuple[bytes, int]]:
    """The parts that are XML, each with how many cells it has at most. Of two of one name the last one is there."""
    parts: dict[str, tuple[bytes, int]] = {}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED:
            raise too_large()
        for entry in archive.infolist():
            if entry.filename.lower().endswith((".xml", ".rels")):
                parts[entry.filename] = _unpacked_part(archive, entry, max_cells)
    return parts


def _unpacked_part(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_cells: int) -> tuple[bytes, int]:
    """As many bytes as the archive tells, which may be fewer than a reader would find that did not believe it.

    Unpacked twice: what has too many cells is never held as a whole.
    """
    cells, kept = 0, b""
    with archive.open(entry) as file:
        while piece := file.read(PIECE):
            cells += _cells_in(kept + piece)
            if cells > max_cells:
                raise too_large()
            kept = piece[-2:]
    return archive.read(entry), cells


def _cells_in(text: bytes) -> int:
    """At most so many cells begin in `text`, whatever the prefix of their name."""
    found = np.frombuffer(text, dtype=np.uint8)
    before, name, after = found[:-2], found[1:-1], found[2:]
    named = (name == ord("c")) & _ENDS_A_NAME[after]
    return int(np.count_nonzero(named & ((before == ord("<")) | (before == ord(":")))))


def _packed(parts: Mapping[str, tuple[bytes, int]]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, (part, _) in parts.items():
            if name != "content.xml":  # another program's file
                archive.writestr(name, part)
    return packed.getvalue()


# ---- its sheets and texts ------------------------------------------------------------------------------------------


def _require_small(part: bytes, cells: int, max_cells: int, texts: Sequence[int]) -> None:
    """Raises Refusal (413) where the rectangle that a sheet spans has too many cells, or their texts are too long."""
    named, rows, columns = _span(part)
    length = cells * max(texts, default=0)
    if length > MOST_TEXT:
        length = _referred(part, texts)
    if named != cells or length < 0:
        sheet = _Sheet(texts, max_cells)
        _parse(part, sheet.begin, sheet.end, sheet.character_data)
    elif rows * columns > max_cells or length > MOST_TEXT:
        raise too_large()


def _referred(part: bytes, texts: Sequence[int]) -> int:
    """The length of the texts that cells refer to, -1 where one does so in another way than nearly every program."""
    found: list[int] = []
    somehow = 0
    for start, end in _tags(part, b"<c "):
        found += map(int, _REFERRING.findall(part, start, end))
        somehow += len(_REFERRING_SOMEHOW.findall(part, start, end))
    if len(found) != somehow:
        return -1
    counts = np.bincount(np.minimum(found, len(texts)), minlength=len(texts))[: len(texts)]
    return int(counts @ np.asarray(texts, dtype=np.int64))


def _span(part: bytes) -> tuple[int, int, int]:
    """How many cells tell their place as nearly every program writes it; the rows and columns that those span."""
    count = rows = columns = 0
    for start, end in _tags(part):
        found = _NAMED_CELL.findall(part, start, end)
        count += len(found)
        rows = max(rows, *map(int, {row for _, row in found}), 0)
        columns = max(columns, *map(_column, {letters for letters, _ in found}), 0)
    return count, rows, columns


def _tags(part: bytes, tag: bytes = b"<") -> Iterator[tuple[int, int]]:
    """Pieces of `part` that begin where a tag does."""
    start = 0
    while start < len(part):
        end = start + PIECE
        if end < len(part):
            end = max(part.rfind(tag, start + 1, end), 0) or part.find(tag, end)
        end = len(part) if end < 0 else min(end, len(part))
        yield start, end
        start = end


def _column(letters: bytes) -> int:
    return functools.reduce(lambda column, letter: 26 * column + letter - 64, letters, 0)


def _has_texts(part: bytes) -> bool:
    return (b"<si" in part or b":si" in part) and _SHARED_TEXT.search(part) is not None


def _lengths(parts: Sequence[bytes]) -> list[int]:
    """The lengths of the shared texts, in the order in which cells refer to them."""
    if len(parts) > 1:
        raise malformed()
    if not parts:
        return []
    texts = parts[0].split(b"</si>")[:-1]
    pieces = list(_tags(parts[0]))
    begun = sum(len(_SHARED_TEXT.findall(parts[0], start, end)) for start, end in pieces)
    if begun == len(texts) and not any(_TAG_WITHIN_A_TAG.search(parts[0], start, end + 1) for start, end in pieces):
        return list(map(len, texts))  # with their tags, so at least as long
    found = _Texts()
    _parse(parts[0], found.begin, None, found.character_data)
    return found.lengths


def _parse(part: bytes, begin: Handler, end: Handler | None, text: Handler) -> None:
    """Call the handlers for a part. Raises Refusal, ExpatError."""
    if part.count(b"<") > MOST_TAGS:
        raise too_large()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.StartDoctypeDeclHandler = _no_doctype
    for start in range(0, len(part), PIECE):
        parser.Parse(part[start : start + PIECE], False)
    parser.Parse(b"", True)


def _no_doctype(*_: object) -> None:
    raise malformed()


def _local(name: str) -> str:
    return name[name.rfind(":") + 1 :]


class _Texts:
    """The shared texts of a workbook, by their lengths."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def begin(self, name: str, _attributes: object) -> None:
        if _local(name) == "si":
            self.lengths.append(0)

    def character_data(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(text)


class _Sheet:
    """Refuses a sheet as soon as it spans too many cells, or its shared texts, each as often as a cell refers to it,
    are too long.
    """

    def __init__(self, texts: Sequence[int], max_cells: int) -> None:
        self._texts, self._max_cells = texts, max_cells
        self._rows = self._columns = self._row = self._column = self._length = 0
        self._refers = False
        self._value: list[str] = []

    def begin(self, name: str, attributes: Mapping[str, str]) -> None:
        kind = _local(name)
        if kind == "row":
            said = attributes.get("r")
            self._row, self._column = int(said[:20]) if said else self._row + 1, 0
        elif kind == "c":
            self._refers = attributes.get("t") == "s"
            self._place(attributes.get("r"))
        elif kind == "v":
            self._value = []

    def end(self, name: str) -> None:
        if self._refers and _local(name) == "v":
            place = int("".join(self._value)[:20])
            self._length += self._texts[place] if 0 <= place < len(self._texts) else 0
            if self._length > MOST_TEXT:
                raise too_large()

    def character_data(self, text: str) -> None:
        if self._refers:
            self._value.append(text)

    def _place(self, name: str | None) -> None:
        row, self._column = self._row, self._column + 1
        if name is not None:
            found = _CELL_NAME.fullmatch(name)
            if found is None:
                raise malformed()
            row, self._column = int(found[2]), _column(found[1].upper().encode())
        self._rows, self._columns = max(self._rows, row), max(self._columns, self._column)
        if self._rows * self._columns > self._max_cells:
            raise too_large()
