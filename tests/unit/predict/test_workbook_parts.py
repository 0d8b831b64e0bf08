"""A workbook that would unfold to more than is accepted is refused before its reader sees it, however it is written.

The reader, python-calamine, ends the process where its memory does not suffice: what is not refused here ends the test.
"""

import contextlib
import io
import random
import zipfile

import pytest

from functions.predict.wire import workbook_parts
from functions.predict.wire.workbook import parse_workbook
from functions.predict.wire.workbook_parts import MOST_PARTS, PIECE, _tags
from shared.problems import Refusal
from tests.bad_bodies import FAR, NAMELESS, REFERRING, WORKBOOK, archive, many_cells, workbook
from tests.bench.bodies import MAKERS
from tests.bench.bombs import broken

MAX_CELLS = 2**19
LONG = b"x" * 1_000_000


def lying() -> bytes:
    """An archive that tells a smaller size of its sheet than there is, with the checksum of so much."""
    told, real = b'<worksheet><sheetData><row r="1"><c r="A1"><v>1</v></c>', b" " * 100 + FAR
    body = bytearray(workbook(b""))
    with zipfile.ZipFile(io.BytesIO(bytes(body))) as packed:
        parts = {entry.filename: packed.read(entry) for entry in packed.infolist()}
    parts["xl/worksheets/sheet1.xml"] = told + real
    whole, short = io.BytesIO(), io.BytesIO()
    for file, content in ((whole, told + real), (short, told)):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in {**parts, "xl/worksheets/sheet1.xml": content}.items():
                packed.writestr(name, data)
    with zipfile.ZipFile(whole) as packed, zipfile.ZipFile(short) as other:
        real_entry, told_entry = (one.getinfo("xl/worksheets/sheet1.xml") for one in (packed, other))
    for field, size in (("CRC", 4), ("file_size", 4)):
        was = getattr(real_entry, field).to_bytes(size, "little")
        body = bytearray(whole.getvalue().replace(was, getattr(told_entry, field).to_bytes(size, "little")))
        whole = io.BytesIO(bytes(body))
    return bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        workbook(FAR),
        workbook(FAR, sheet="other/sheet.xml"),
        workbook(NAMELESS),
        workbook(b"<row r='1'><c r='A1'/><c r='XFD1048576'><v>1</v></c></row>"),
        workbook(b'<row><c r="A1"/><c s="1"\n r = "XFD1048576"><v>1</v></c></row>'),
        workbook(b'<row><c r="A1"/><c r="xfd1048576"><v>1</v></c></row>'),
        workbook(b'<row r="4294967295"><c><v>1</v></c></row>'),
        workbook(b'<row><c><v>1</v></c><!--<row >--><c r="A1"/></row><row r="999999"><c/></row>'),
        workbook(b"<row>" + b"<c/>" * 2 * MAX_CELLS + b"</row>"),
        workbook(b"<row>" + b"<x:c\t/>" * 2 * MAX_CELLS + b"</row>"),
        workbook(many_cells(3000, 200)),
        workbook(REFERRING * 100, texts=(LONG,)),
        workbook(b"".join(b'<row><c r="A%d" t="s"><v>1</v></c></row>' % n for n in range(1, 99)), texts=(b"", LONG)),
        workbook(b"<row><c t='s'><v>0</v></c></row>" * 100, texts=(LONG,)),
        workbook(b'<row><c t="s"><v>1</v><v>0</v></c></row>' * 100, texts=(LONG, b"")),
        workbook(REFERRING * 100, texts=(b"<!--</si>-->".join([b"x" * 1000] * 1000),)),
        workbook(b" " * 2**22, sheets=900),
        workbook(many_cells(2700, 100)),
        workbook(b"<row/>" * 2_000_000),
        workbook(REFERRING, texts=(LONG,)),
        workbook(b'<row><c t="inlineStr"><is><t>%b</t></is></c></row>' % LONG),
        workbook(b"<!--" + b"x" * 2**25 + b"-->"),
    ],
    ids=range(22),
)
def test_what_unfolds_too_far_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_workbook(body, 100, MAX_CELLS)
    assert (caught.value.status, caught.value.problems[0].code) == (413, "body_too_large")


@pytest.mark.parametrize(
    "body",
    [
        workbook(b'<row><c r="1A"><v>1</v></c></row>'),
        workbook(b"<row><c></row>"),
        workbook(REFERRING * 100, texts=(b'</t><t x="</si>">'.join([b"x" * 1000] * 1000),)),
        b"anything before it" + workbook(b"<row/>"),
    ],
    ids=range(4),
)
def test_what_is_no_workbook_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_workbook(body, 100, MAX_CELLS)
    assert (caught.value.status, caught.value.problems[0].code) == (400, "malformed_workbook")


def test_what_is_read_is_what_was_measured_whatever_the_archive_tells_of_its_sizes() -> None:
    try:
        table = parse_workbook(lying(), 100, MAX_CELLS)
    except Refusal as refusal:
        assert refusal.problems[0].code == "malformed_workbook"
    else:
        assert len(table.rows) < 100


def test_an_archive_of_very_many_parts_is_refused_before_they_are_listed() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(MOST_PARTS + 1):
            archive.writestr(f"xl/{number}.xml", b"")
    with pytest.raises(Refusal) as caught:
        parse_workbook(packed.getvalue(), 100, MAX_CELLS)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "rows",
    [
        b'<row r="1"><c r="B1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row><row r="2"><c r="B2"><v>5</v></c>'
        b'<c r="C2"><v>6.5</v></c></row>',
        b'<row><c/><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row><row><c/><c><v>5</v></c><c><v>6.5</v></c></row>',
        b"<row><c r='B1' t='s'><v>0</v></c><c t='s'><v>1</v></c></row>"
        b"<row><c r='B2'><v>5</v></c><c><v>6.5</v></c></row>",
    ],
    ids=["named", "nameless", "other quotes"],
)
def test_a_sheet_is_read_alike_however_its_cells_are_named(rows: bytes) -> None:
    table = parse_workbook(workbook(rows, texts=(b"age", b"hours")), 100, MAX_CELLS)
    assert (table.header, table.rows) == (("", "age", "hours"), [["", "5", "6.5"]])


def test_a_long_text_may_stand_in_few_of_very_many_cells() -> None:
    rows = b'<row r="1"><c r="A1" t="s"><v>1</v></c></row>' + b"".join(
        b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (row, row) for row in range(2, 301)
    )
    assert len(parse_workbook(workbook(rows, texts=(b"x", LONG[:100_000])), 300, MAX_CELLS).rows) == 299


@pytest.mark.parametrize("before", range(24))
def test_cells_are_found_wherever_the_blocks_end(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_parts, "BLOCK", 24)
    part = b"<" * before + b'<x:c  r="A1"/><c r="AB12" s="1"/><c r="XFD1048576"/><c/><ccc/><c r="B3"></c>' + b"<" * 24
    assert workbook_parts._span(part) == (3, 1048576, 16384)
    unpacked = workbook_parts._unpacked(archive({"a.xml": part + b"<si/><x:si >"}), 100)
    assert (unpacked["a.xml"].cells, unpacked["a.xml"].texts) == (5, 2)


def test_numbers_may_stand_beside_texts_that_no_cell_refers_to() -> None:
    with pytest.raises(Refusal) as caught:
        parse_workbook(workbook(many_cells(20, 10), texts=(LONG[:100_000],)), 100, MAX_CELLS)
    assert caught.value.problems[0].code == "duplicate_header"  # it was read


@pytest.mark.parametrize("seed", range(4))
def test_whatever_looks_like_a_workbook_is_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for _ in range(10):
        body = broken(chance, MAKERS[WORKBOOK](chance, int(2 ** chance.uniform(10, 18))))
        with contextlib.suppress(Refusal):
            parse_workbook(body, 100, MAX_CELLS)


def test_a_part_is_cut_only_where_a_tag_begins() -> None:
    for part in (b"<c/>" * PIECE, b"<" + b"a" * (2 * PIECE) + b"<c/>", b"a" * 3 * PIECE, b"<c/>", b""):
        pieces = [part[start:end] for start, end in _tags(part)]
        assert b"".join(pieces) == part
        assert all(piece.startswith(b"<") for piece in pieces[1:])
