"""Bodies without end for `make torture`: the same seed makes the same ones."""

import json
import random
from collections.abc import Iterator

from tests.bad_bodies import CSV, JSON, SIZE
from tests.unit.predict.promoted import ROW


def generated(seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Bodies without end, of random shapes: JSON of any nesting, tables of any width, and both broken somewhere."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    while True:
        size = int(2 ** chance.uniform(10, 23))
        kind = chance.choice((JSON, CSV))
        body = _table(chance, size) if kind == CSV else _document(chance, size)
        if chance.random() < 0.5:
            place = chance.randrange(len(body))
            body = body[:place] + bytes([chance.randrange(256)]) * chance.randrange(1, 9) + body[place:]
        yield f"seed {seed}", kind, body[:SIZE]


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
