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
from numpy.typing import NDArray

from functions.predict.wire.payload import ARCHIVE
from shared.problems import Refusal, refuse

MOST_UNPACKED = 16 * 2**20
"""Bytes of all its parts: nearly every program writes 40 for a cell. The reader has a copy of them."""

MOST_CELLS = 100_000
"""The most cells of a workbook, however many a CSV may have: to read and refuse one takes 2 µs of a slow core."""

MOST_TAGS_READ = 6 * MOST_CELLS
"""The most tags of all parts, which the reader takes one after the other. A number is four, a formula or a text six."""

MOST_TEXT = 16 * 2**20
"""Characters of all cells that refer to shared texts: twice as many as a CSV may have."""

MOST_PARTS = 1000
MOST_TAGS = 2**18
"""The most tags of a part that has to be parsed here, which takes a microsecond for each."""

PIECE = 2**16
"""Bytes that are parsed in one call, which other threads wait for."""

BLOCK = 2**18
"""Bytes that are looked at as an array, for which other threads need not wait."""

_ENTRY = b"PK\x01\x02"
_LONGEST_NAME = len('<c r="XFD1048576"')
_REFERRING = re.compile(rb'\bt="s"[^<>]*><v>([0-9]{1,7})</v></c>')
_REFERRING_SOMEHOW = re.compile(rb"t\s*=\s*[\"']s[\"']")
_TAG_WITHIN_A_TAG = re.compile(rb"<[^<>]*<|<!")
_CELL_NAME = re.compile(r"([A-Za-z]{1,7})([0-9]{1,10})", re.ASCII)
_BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, expat.ExpatError),
    *(NotImplementedError, RuntimeError, OSError, EOFError, ValueError),
)
_ENDS_A_NAME = np.isin(np.arange(256), list(b" \t\r\n/>"))
Text = NDArray[np.uint8]
Places = NDArray[np.intp]

Handler = Callable[..., None]


@dataclass(frozen=True)
class Parts:
    """`archive`: the parts, packed anew. `most_bytes`: of the largest one."""

    archive: io.BytesIO
    most_bytes: int


@dataclass(frozen=True)
class Part:
    """One part, and how many cells and shared texts begin in it at most."""

    data: bytes
    cells: int
    texts: int


def measured(body: bytes, max_cells: int) -> Parts:
    """The parts in `body` that a workbook has. Raises Refusal: 400 for what is none, 413 for one that is too large."""
    if not body.startswith(ARCHIVE):
        raise malformed()
    if body.count(_ENTRY) > MOST_PARTS:
        raise too_large()
    try:
        parts = _unpacked(body, min(max_cells, MOST_CELLS))
        texts = _lengths([part for part in parts.values() if part.texts])
        for part in parts.values():
            if part.cells:
                _require_small(part.data, part.cells, min(max_cells, MOST_CELLS), texts)
    except _BROKEN as error:
        raise malformed() from error  # RuntimeError: it is encrypted
    most_bytes = max((len(part.data) for part in parts.values()), default=0)
    return Parts(_packed(parts), most_bytes)


def malformed() -> Refusal:
    """What a body is answered with that no workbook reader could open."""
    return refuse(400, "malformed_workbook", "the body is not an .xlsx workbook, or it is protected")


def too_large() -> Refusal:
    """What a workbook is answered with that unpacks to more than is read at once."""
    limits = "/schema tells max_workbook_cells and max_workbook_bytes, which it may unpack to"
    message = f"the workbook holds more than is read at once: send it in parts, or as CSV ({limits})"
    return refuse(413, "body_too_large", message)


# ---- the archive ---------------------------------------------------------------------------------------------------


def _unpacked(body: bytes, max_cells: int) -> dict[str, Part]:
    """The parts that are XML. Of two of one name the last one is there."""
    parts: dict[str, Part] = {}
    tags = 0
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED:
            raise too_large()
        for entry in archive.infolist():
            if entry.filename.lower().endswith((".xml", ".rels")):
                parts[entry.filename], found = _unpacked_part(archive, entry, max_cells, MOST_TAGS_READ - tags)
                tags += found
    return parts


def _unpacked_part(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_cells: int, max_tags: int) -> tuple[Part, int]:
    """A part, of the size that the archive says, and how many tags it has. A reader that does not believe the archive
    may find more bytes."""
    pieces: list[bytes] = []
    cells = texts = tags = 0
    kept = b""
    with archive.open(entry) as file:
        while piece := file.read(BLOCK):
            looked_at = np.frombuffer(kept + piece, dtype=np.uint8)
            cells += len(_begun(looked_at[max(len(kept) - 2, 0) :], b"c"))
            texts += len(_begun(looked_at, b"si"))
            begun = piece.count(b"<")
            tags += begun
            endless = not begun and len(piece) == BLOCK  # a text, a comment or a tag that no program writes
            if cells > max_cells or tags > max_tags or endless:
                raise too_large()
            pieces.append(piece)
            kept = piece[-3:]
    return Part(b"".join(pieces), cells, texts), tags


def _begun(text: Text, name: bytes) -> Places:
    """Where in `text`, from its second byte on, a tag of this name has its name, whatever the prefix of that."""
    after = len(name)
    places = np.flatnonzero(text[1 : len(text) - after] == name[0]) + 1
    for offset, letter in enumerate(name[1:], 1):
        places = places[text[places + offset] == letter]
    before = text[places - 1]
    found: Places = places[_ENDS_A_NAME[text[places + after]] & ((before == ord("<")) | (before == ord(":")))]
    return found


def _packed(parts: dict[str, Part]) -> io.BytesIO:
    """The parts packed anew; each is gone from `parts` as soon as it is there."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        while parts:
            name, part = parts.popitem()
            if name != "content.xml":  # another program's file
                archive.writestr(name, part.data)
    packed.seek(0)
    return packed


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
    places = np.minimum(np.asarray(found, dtype=np.int64), len(texts))
    counts = np.bincount(places, minlength=len(texts))[: len(texts)]
    return int(counts @ np.asarray(texts, dtype=np.int64))


def _span(part: bytes) -> tuple[int, int, int]:
    """How many cells tell their place as nearly every program writes it; the rows and columns that those span."""
    count = rows = columns = 0
    for start in range(0, len(part), BLOCK):
        size = min(BLOCK + _LONGEST_NAME + 1, len(part) - start)
        text = np.frombuffer(part, dtype=np.uint8, count=size, offset=start)
        found, row, column = _spanned(text, _begun(text, b"c"))
        count, rows, columns = count + found, max(rows, row), max(columns, column)
    return count, rows, columns


def _spanned(text: Text, cells: Places) -> tuple[int, int, int]:
    """How many of the cells whose tags begin at `cells`, within a block, have a name such as `AB12`; the last row and
    the last column among those names."""
    cells = cells[(cells <= BLOCK) & (cells + _LONGEST_NAME < len(text))]
    for offset, letter in enumerate(b' r="', 1):
        cells = cells[text[cells + offset] == letter]
    at = cells + 5
    columns, rows = np.zeros_like(at), np.zeros_like(at)
    for _ in range(3):
        letters = text[at]
        named = (letters >= ord("A")) & (letters <= ord("Z"))
        columns, at = np.where(named, 26 * columns + letters - 64, columns), at + named
    for _ in range(7):
        digits = text[at]
        named = (digits >= ord("0")) & (digits <= ord("9"))
        rows, at = np.where(named, 10 * rows + digits - 48, rows), at + named
    whole = (text[at] == ord('"')) & (columns > 0) & (rows > 0)
    return int(np.count_nonzero(whole)), int(rows[whole].max(initial=0)), int(columns[whole].max(initial=0))


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


def _lengths(parts: Sequence[Part]) -> list[int]:
    """The lengths of the shared texts, in the order in which cells refer to them."""
    if len(parts) > 1:
        raise malformed()
    if not parts:
        return []
    part = parts[0].data
    texts = part.split(b"</si>")[:-1]
    if parts[0].texts == len(texts) and not any(
        _TAG_WITHIN_A_TAG.search(part, start, end + 1) for start, end in _tags(part)
    ):
        return list(map(len, texts))  # with their tags, so at least as long
    found = _Texts()
    _parse(part, found.begin, None, found.character_data)
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
