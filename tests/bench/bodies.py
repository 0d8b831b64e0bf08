"""Bodies without end for `make torture`: the same seed makes the same ones."""

import json
import random
from collections.abc import Callable, Iterator, Mapping

from tests.bad_bodies import CSV, FAR, JSON, SIZE, WORKBOOK, many_cells, workbook
from tests.unit.predict.promoted import ROW


def _document(chance: random.Random, size: int) -> bytes:
    item = _value(chance, chance.randrange(5))
    text = json.dumps(item, ensure_ascii=chance.random() < 0.5)
    many = ",".join([text] * max(1, size // (len(text) + 1)))
    return {0: f"[{many}]", 1: f'{{"instances":[{many}]}}', 2: f'{{"a":[{many}]}}', 3: many}[
        chance.randrange(4)
    ].encode()


def _value(chance: random.Random, depth: int) -> object:
    if depth == 0:
        return chance.choice(
            [None, True, 1, -1.5e300, "", '\\"', "ü" * chance.randrange(50), 10 ** chance.randrange(400)]
        )
    if chance.random() < 0.5:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(6))]
    names = [*ROW, "", "a" * chance.randrange(1, 300)]
    return {chance.choice(names): _value(chance, depth - 1) for _ in range(chance.randrange(6))}


def _table(chance: random.Random, size: int) -> bytes:
    delimiter = chance.choice(",;\t|")
    width = int(2 ** chance.uniform(0, 14))
    names = [chance.choice([*ROW, f"c{number}"]) for number in range(width)]
    line = delimiter.join(chance.choice(["1", "x", '"', '"a,b"', "", "1,5"]) for _ in range(width))
    lines = [delimiter.join(names), *[line] * max(1, size // (len(line) + 1))]
    return chance.choice(["\n", "\r\n", "\r"]).join(lines).encode(chance.choice(["utf-8", "utf-16", "cp1252"]))


def _workbook(chance: random.Random, size: int) -> bytes:
    """A sheet of any size, whose cells refer, say where they are, or do not, beside anything else that XML may hold."""
    rows = max(1, size // 2048)
    parts = (
        lambda: many_cells(rows, chance.randrange(1, 80)),
        lambda: b"<row>%b</row>" % (b"<c><v>1</v></c>" * chance.randrange(1, 300)) * rows,
        lambda: b'<row><c t="s"><v>%d</v></c></row>' % chance.randrange(9) * rows,
        lambda: b"<x:row><x:c r='%b'/></x:row>" % chance.choice((b"A1", b"XFD1048576", b"1A", b"")) * rows,
        lambda: b"<!--%b-->" % (b"-" * chance.randrange(size)),
        lambda: b" " * chance.randrange(16 * size),
        lambda: FAR,
    )
    sheet = b"".join(chance.choice(parts)() for _ in range(chance.randrange(1, 4)))
    texts = tuple(b"x" * int(2 ** chance.uniform(0, 20)) for _ in range(chance.randrange(9)))
    place = chance.choice(("worksheets/sheet1.xml", "sheet.xml", "sharedStrings.xml"))
    return workbook(sheet, sheet=place, texts=texts, sheets=chance.choice((1, 1, 3, 200)))


MAKERS: Mapping[str, Callable[[random.Random, int], bytes]] = {JSON: _document, CSV: _table, WORKBOOK: _workbook}


def generated(seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Bodies without end, of random shapes: JSON of any nesting, tables and workbooks of any width, and each of them
    broken somewhere."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    while True:
        size = int(2 ** chance.uniform(10, 23))
        kind = chance.choice(tuple(MAKERS))
        body = MAKERS[kind](chance, size)
        if chance.random() < 0.5:
            place = chance.randrange(len(body))
            body = body[:place] + bytes([chance.randrange(256)]) * chance.randrange(1, 9) + body[place:]
        yield f"seed {seed}", kind, body[:SIZE]
