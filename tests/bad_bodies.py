"""Bodies that cost more to refuse than to send, each of at most `size` bytes: by name, the type and the bytes."""

import io
import zipfile
from collections.abc import Iterator, Sequence

from functions.predict.wire.workbook_parts import MOST_CELLS, MOST_TAGS_READ

JSON = "application/json"
CSV = "text/csv"
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SIZE = 8 * 2**20


FAR = b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>'
NAMELESS = b'<row r="1">' + b"<c><v>1</v></c>" * 1000 + b'</row><row r="1048576"><c><v>1</v></c></row>'
REFERRING = b'<row><c t="s"><v>0</v></c></row>'


def _filled(opening: bytes, item: bytes, closing: bytes, size: int) -> bytes:
    room = (size - len(opening) - len(closing) - len(item)) // (len(item) + 1)
    return opening + (item + b",") * room + item + closing


def bad_bodies(size: int = SIZE) -> Iterator[tuple[str, str, bytes]]:
    """Every kind once."""
    arrays = {
        "texts": b'"a"',
        "longer texts": b'"abc"',
        "empty objects": b"{}",
        "empty arrays": b"[]",
        "numbers": b"1.5",
        "objects": b'{"a":1}',
        "nested objects": b'{"a":{"a":[{}]}}',
        "escapes": b'"\\\\\\""',
        "infinities": b"1e999",
        "nulls": b"null",
    }
    for name, item in arrays.items():
        yield f"array of {name}", JSON, _filled(b"[", item, b"]", size)
    yield "one key again and again", JSON, _filled(b"{", b'"a":1', b"}", size)
    yield "rows of equal keys", JSON, _filled(b"[", b'{"a":1,"a":1}', b"]", size)
    yield "deep arrays", JSON, b"[" * (size // 2) + b"]" * (size // 2)
    yield "deep objects", JSON, b'{"a":' * (size // 8) + b"1" + b"}" * (size // 8)
    yield "an error at the end", JSON, _filled(b"[", b'{"a":1.5}', b",]", size)
    yield "an endless text", JSON, b'["' + b"a" * (size - 3)
    yield "backslashes", JSON, b'["' + b"\\" * (size - 4) + b'"]'
    yield "wide characters", JSON, b'["' + "\U0001f600".encode() * ((size - 4) // 4) + b'"]'
    keys = b",".join(b'"k%07d":1' % number for number in range(size // 16))
    yield "strange keys", JSON, b"{" + keys + b"}"
    yield "numbers of thousands of digits", JSON, _filled(b'{"a":', b"9" * 100_000, b"}", size)[:size]
    few = size // 17  # as many values as are accepted, in rows of no more than that, in one row, or in a few bytes
    yield "values just below", JSON, b"[" + b",".join([b'"a"'] * few) + b"]"
    yield "values within another array", JSON, b"[[" + b",".join([b'"a"'] * few) + b"]]"
    yield "containers just below", JSON, b"[" + b",".join([b'{"a":{"a":[{}]}}'] * (few // 5)) + b"]"
    yield "keys twice just below", JSON, b"[" + b",".join([b'{"a":1,"a":1}'] * (few // 4)) + b"]"
    yield "one text of all", JSON, b'[{"a":"' + b"a" * (size - 11) + b'"}]'
    yield "instances of texts", JSON, _filled(b'{"instances":[', b'"a"', b"]}", size)
    yield "cells", CSV, b"a,b\n" + b"1," * ((size - 4) // 2)
    yield "lines", CSV, b"a,b\n" + b"1,2\n" * ((size - 4) // 4)
    yield "lines just below", CSV, b"a,b\n" + b"1,2\n" * (size // 30)
    yield "one line just below", CSV, b"a,b\n" + b"1," * (size // 15)
    yield "empty lines", CSV, b"a,b\n" + b"\n" * (size - 4)
    yield "an open quote", CSV, b'a,b\n"' + b"1," * ((size - 6) // 2)
    yield "tabs", CSV, b"a\tb\n" + b"1\t" * ((size - 4) // 2)
    yield "headers", CSV, b",".join(b"h%07d" % number for number in range(size // 9))
    yield "zeros", CSV, b"\0" * size
    yield "a far cell", WORKBOOK, workbook(FAR)
    yield "a sheet of zeros", WORKBOOK, workbook(b"<row/>" * 30_000_000)
    yield "a far row of nameless cells", WORKBOOK, workbook(NAMELESS)
    yield "a far cell in other quotes", WORKBOOK, workbook(b"<row><c r='A1'/><c r='XFD1048576'><v>1</v></c></row>")
    yield "a far cell in another folder", WORKBOOK, workbook(FAR, sheet="other/sheet.xml")
    yield "a long text in every cell", WORKBOOK, workbook(REFERRING * 10_000, texts=(b"x" * 1_000_000,))
    yield "many cells", WORKBOOK, workbook(many_cells(6000, 200))
    yield "cells just below", WORKBOOK, workbook(many_cells(MOST_CELLS // 200, 200))
    yield "tags just below", WORKBOOK, workbook(b"<row/>" * (MOST_TAGS_READ - 1000))
    yield "bytes just below", WORKBOOK, workbook(b"<!--" + b"x" * (2**24 - 4096) + b"-->")
    yield "a text just below", WORKBOOK, workbook(REFERRING, texts=(b"x" * (2**24 - 4096),))
    yield "an archive of anything", WORKBOOK, archive({"xl/worksheets/sheet1.xml": b"\0" * (200 * 2**20)})
    yield "no archive", WORKBOOK, b"PK\x03\x04" + b"\0" * (size - 4)


def many_cells(rows: int, columns: int) -> bytes:
    """Rows of numbers, as a sheet has them."""
    letters = [_letters(column) for column in range(columns)]
    lines = []
    for row in range(1, rows + 1):
        cells = b"".join(b'<c r="%b%d"><v>1</v></c>' % (letter, row) for letter in letters)
        lines.append(b'<row r="%d">%b</row>' % (row, cells))
    return b"".join(lines)


def _letters(column: int) -> bytes:
    name = b""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = bytes([65 + rest]) + name
    return name


def workbook(
    rows: bytes, *, sheet: str = "worksheets/sheet1.xml", texts: Sequence[bytes] = (), sheets: int = 1
) -> bytes:
    """A workbook of one part with these rows at `sheet`, as `sheets` sheets; `texts`: what its cells may refer to."""
    main = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    relations = b'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    office = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    names = b"".join(
        b'<sheet name="s%d" sheetId="%d" r:id="rId1"/>' % (number, number) for number in range(1, sheets + 1)
    )
    shared = b"".join(b"<si><t>%b</t></si>" % text for text in texts)
    return archive(
        {
            "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
            "_rels/.rels": b'<Relationships %b><Relationship Id="rId1" Type="%b/officeDocument" '
            b'Target="xl/workbook.xml"/></Relationships>' % (relations, office),
            "xl/workbook.xml": b'<workbook %b xmlns:r="%b"><sheets>%b</sheets></workbook>' % (main, office, names),
            "xl/_rels/workbook.xml.rels": b'<Relationships %b><Relationship Id="rId1" Type="%b/worksheet" '
            b'Target="%b"/></Relationships>' % (relations, office, sheet.encode()),
            f"xl/{sheet}": b"<worksheet %b><sheetData>%b</sheetData></worksheet>" % (main, rows),
            **({"xl/sharedStrings.xml": b"<sst %b>%b</sst>" % (main, shared)} if texts else {}),
        }
    )


def archive(parts: dict[str, bytes]) -> bytes:
    """A compressed archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return packed.getvalue()
