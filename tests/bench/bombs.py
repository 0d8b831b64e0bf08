"""Inputs without end for what parses foreign bytes: right ones, made to cost more than they are worth, and broken ones.

Each generator makes one input from chance; each reader reads it as its function does, and raises what it refuses with.
The same seed makes the same inputs.
"""

import gzip
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.watch.labels import TOO_LARGE, read_labels
from shared import layout
from shared.clock import utc_now
from shared.codec import decode, decode_gzip, encode
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.documents import Manifest
from shared.errors import IntegrityError, InvalidDataset, InvalidDocument
from shared.graph_rules import require_known
from shared.profiles import Holdout
from shared.serving.loaded_model import load
from shared.tables.reading import read_table
from tests.bad_graphs import REFUSED, changed
from tests.candidates import build, run_id
from tests.memory_store import MemoryStore
from tests.unit.batch.world import BatchWorld
from tests.unit.predict.promoted import ROW, promote

Refusals = (InvalidDataset, InvalidDocument, IntegrityError)
MEMORY_BYTES = 4 * 2**30
SPECS = {kind: DatasetSpec(name="n", source=f"t.{kind}", target="y") for kind in ("csv", "parquet")}
HOLDOUT_ITEMS = 50_000


@dataclass(frozen=True)
class Kind:
    """`function`: whose memory an input has. `make` gives an input, `read` reads it."""

    function: str
    make: Callable[[random.Random], bytes]
    read: Callable[[bytes], object]


def broken(chance: random.Random, data: bytes) -> bytes:
    """`data` as it is, cut, with bytes changed, or with a piece of it repeated."""
    how = chance.randrange(4)
    if not data or how == 0:
        return data
    place = chance.randrange(len(data))
    if how == 1:
        return data[:place]
    if how == 2:
        other = bytearray(data)
        for _ in range(chance.randrange(1, 9)):
            other[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(other)
    piece = data[place : place + chance.randrange(1, 65)]
    return data[:place] + piece * chance.randrange(1, 5000) + data[place:]


# ---- tables and specs ------------------------------------------------------------------------------------------

CELLS = ("1", "1.5", "", "x", "1,5", "1e999", "nan", "-0", '"a,b"', '"', "2026-01-05", "é" * 50, "0" * 400, "\x00")


def csv_table(chance: random.Random) -> bytes:
    """Any width and height, a target in most, any encoding and end of line."""
    width, size = int(2 ** chance.uniform(0, 12)), int(2 ** chance.uniform(8, 21))
    delimiter = chance.choice(",,,;\t|")
    names = [
        chance.choice(("y", f"c{place}", f"c{place % 7}", "x" * chance.randrange(1, 300))) for place in range(width)
    ]
    names[chance.randrange(width)] = "y"
    if chance.random() < 0.2:  # nothing is wrong with it
        return "\n".join(["c0,y", *(f"{place % 7},{place}" for place in range(size // 8))]).encode()
    line = delimiter.join(chance.choice(CELLS) for _ in range(width))
    lines = [delimiter.join(names), *[line] * max(1, size // (len(line) + 1))]
    text = chance.choice(("\n", "\r\n", "\r")).join(lines)
    return broken(chance, text.encode(chance.choice(("utf-8", "utf-8-sig", "utf-16", "cp1252")), errors="replace"))


def _cells(chance: random.Random, rows: int) -> pa.Array:
    text = "x" * int(2 ** chance.uniform(0, 22))
    makers: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.array([1.5] * rows),
        lambda: pa.array([2**62 + 1] * rows),
        lambda: pa.nulls(rows),
        lambda: pa.array([float("inf")] * rows, pa.float32()),
        lambda: pa.array([text] * rows) if rows * len(text) < 2**24 else pa.array(["x"] * rows),
        lambda: pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text])),
        lambda: pa.array([[1, 2]] * rows),
        lambda: pa.array([{"a": 1}] * rows),
        lambda: pa.array([10**15] * rows, pa.timestamp("us")),
        lambda: pa.array([b"\xff"] * rows),
    )
    return chance.choice(makers)()


def nested_parquet(levels: int, *, twice: bool = False) -> bytes:
    """A file of one column within `levels` groups; its schema is that of a flat file first, where it comes `twice`.

    Thrift's compact protocol, written by hand: a library that writes such a file goes down it as well.
    """
    flat, deep = _schema(1), _schema(levels)
    rest = b"\x16\x00" + b"\x19\x0c"  # no rows, no row groups
    # a field's head with its own number, where one comes that came before: list (9), 2 (folded: 4)
    footer = b"\x15\x02\x19" + (flat + b"\x09\x04" + deep if twice else deep) + rest + b"\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _schema(levels: int) -> bytes:
    group, leaf = b"\x35\x02\x18\x01a\x15\x02\x00", b"\x15\x02\x25\x02\x18\x01x\x00"
    root = b"\x48\x06schema\x15\x02\x00"
    count, size = levels + 1, b""
    while count > 127:
        size, count = size + bytes([count & 127 | 128]), count >> 7
    return b"\xfc" + size + bytes([count]) + root + group * (levels - 1) + leaf


def parquet_table(chance: random.Random) -> bytes:
    """Any types; cells of which one stands in the file and many in the table; groups within groups."""
    if chance.random() < 0.05:
        return nested_parquet(int(2 ** chance.uniform(0, 18)), twice=chance.random() < 0.5)
    rows = int(2 ** chance.uniform(0, 17))
    arrays = [_cells(chance, rows) for _ in range(chance.randrange(1, 6))]
    names = [chance.choice(("y", f"c{place}", "__index_level_0__", "")) for place in range(len(arrays))]
    target = io.BytesIO()
    coding: Any = chance.choice(("snappy", "zstd", "none"))
    try:
        pq.write_table(pa.Table.from_arrays(arrays, names=names), target, compression=coding)
    except pa.ArrowException:  # not everything can be written
        return b"PAR1" * chance.randrange(1, 9)
    return broken(chance, target.getvalue())


def spec(chance: random.Random) -> bytes:
    """A spec with more of everything than anybody writes: dots, brackets, keys, lists, numbers that are none."""
    much = int(2 ** chance.uniform(2, 15))
    parts = (
        'name = "n"\nsource = "t.csv"\ntarget = "y"',
        f"{'.'.join(['a'] * much)} = 1",
        f"x = {'[' * much}{']' * much}",
        f"[{'.'.join(['features'] * (much % 40))}]",
        "\n".join(f"k{place} = 1" for place in range(much)),
        "drop = [" + '"x",' * much + "]",
        f"[features.{'f' * (much % 2000)}]\nmin = {chance.choice(('inf', 'nan', '1e999', '-0.0', '9' * 400))}",
        f"[gate]\nmax_drop = {chance.choice(('nan', '-inf', 'true', '1979-05-27'))}",
        "[[features]]\n" * (much % 3000),
    )
    return broken(chance, "\n".join(chance.choices(parts, k=chance.randrange(1, 5))).encode())


# ---- files of rows and of labels -------------------------------------------------------------------------------


def rows_file(chance: random.Random) -> bytes:
    """Rows of the model's columns, and whatever else makes a table: short ones, endless ones, cells of any length."""
    if chance.random() < 0.4:
        return csv_table(chance) if chance.random() < 0.5 else parquet_table(chance)
    names, cells = [*ROW, "math_score"], [*map(str, ROW.values()), "1"]
    count = int(2 ** chance.uniform(0, 12))
    if chance.random() < 0.5:
        long = pa.array(["x" * int(2 ** chance.uniform(0, 18))])
        columns = {name: pa.array([cell] * count) for name, cell in zip(names, cells, strict=True)}
        columns[chance.choice([*names, "note"])] = pa.DictionaryArray.from_arrays(
            pa.array([0] * count, pa.int32()), long
        )
        target = io.BytesIO()
        pq.write_table(pa.table(columns), target, store_schema=chance.random() < 0.5)
        return broken(chance, target.getvalue())
    names += [f"c{place}" for place in range(int(2 ** chance.uniform(0, 13)) - 1)]
    line = chance.choice((",".join(cells + [""] * (len(names) - len(cells))), "a", "", '"a', "a," * len(names)))
    lines = "\n".join([",".join(names), *[line] * count])
    return broken(chance, (lines + chance.choice(("", "a," * int(2 ** chance.uniform(0, 24))))).encode())


def _read_rows(data: bytes) -> object:
    """As the function does, every row's fault tolerated."""
    answer = BatchWorld(settings={}).answer(f"a.{_kind(data)}", data, tolerate="1")
    if layout.BATCH_REJECTED in answer.files:
        raise InvalidDataset(answer.rejection["problems"])
    return answer.success


def _read_labels(data: bytes) -> object:
    try:
        return read_labels(data, f"labels/a.{_kind(data)}", _served(), utc_now(), [])
    except MemoryError:  # told beside the file, as whatever else is wrong with it
        raise InvalidDataset([TOO_LARGE]) from None


def _kind(data: bytes) -> str:
    return "parquet" if data.startswith(b"PAR1") else "csv"


@cache
def _served() -> Manifest:
    bucket = MemoryStore()
    promote(bucket)
    return load(bucket, "staging").manifest


# ---- what train leaves for validate ----------------------------------------------------------------------------


@cache
def _manifest() -> bytes:
    return encode(build(run_id(1)).manifest)


def document(chance: random.Random) -> bytes:
    """A manifest, with a piece of it in another's place, or much of it."""
    found: dict[str, Any] = json.loads(_manifest())
    name = chance.choice(list(found))
    much = int(2 ** chance.uniform(0, 18))
    others: tuple[Callable[[], object], ...] = (
        lambda: [found[name]] * (much % 300),
        lambda: {str(place): place for place in range(much)},
        lambda: [[]] * much,
        lambda: "x" * much,
        lambda: 10 ** (much % 400),
        lambda: found[chance.choice(list(found))],
    )
    found[name] = chance.choice(others)()
    return broken(chance, json.dumps(found).encode())


def zipped(chance: random.Random) -> bytes:
    """Rows held out, or anything else, packed once or twice, up to a thousand times as large unpacked."""
    size = int(2 ** chance.uniform(4, 27))
    texts = (b'{"columns":{"age":[', b'{"target":[', b"[" * 1000, b"\x00", b" ")
    plain = chance.choice(texts) + chance.choice((b"1,", b"[],", b'"",', b"null,", b" ")) * (size // 4)
    data = gzip.compress(plain, compresslevel=1, mtime=0)
    return broken(chance, gzip.compress(data, mtime=0) if chance.random() < 0.1 else data)


def graph(chance: random.Random) -> bytes:
    """A real graph, changed as somebody might who means no good, or anywhere."""
    change = chance.choice([change for change, _ in REFUSED.values()])
    return broken(chance, changed(change if chance.random() < 0.5 else lambda _: None))


def _read_holdout(data: bytes) -> object:
    return decode_gzip(data, Holdout, "holdout.json.gz", max_items=HOLDOUT_ITEMS)


KINDS: Mapping[str, Kind] = {
    "CSV": Kind("train", csv_table, lambda data: read_table(data, SPECS["csv"], MEMORY_BYTES)),
    "Parquet": Kind("train", parquet_table, lambda data: read_table(data, SPECS["parquet"], MEMORY_BYTES)),
    "TOML": Kind("train", spec, parse_spec),
    "rows": Kind("batch", rows_file, _read_rows),
    "labels": Kind("watch", rows_file, _read_labels),
    "manifest": Kind("validate", document, lambda data: decode(data, Manifest, "manifest.json")),
    "gzip": Kind("validate", zipped, _read_holdout),
    "ONNX": Kind("validate", graph, require_known),
}


def inputs(kind: str, seed: int) -> Iterator[bytes]:
    """Inputs of a kind, without end."""
    chance = random.Random(f"{kind} {seed}")  # noqa: S311 - repeatable, not secret
    while True:
        yield KINDS[kind].make(chance)


def requests_of(seed: int) -> Iterator[bytes]:
    """What may arrive at a port: heads that are right, cut, doubled, contradictory or none."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    body = b'{"age": 1}'
    lines = (
        b"Content-Length: 10",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Expect: 100-continue",
        b"Connection: keep-alive, close",
        b"Upgrade: h2c",
        b"Content-Type: application/json",
        b"Content-Type: \xff\xfe",
        b" folded: x",
        b"X: " + b"a" * 20_000,
        b"no colon",
        b"Host: a\x00b",
    )
    while True:
        method = chance.choice((b"POST", b"GET", b"TRACE", b"CONNECT", b"PRI", b"\x16\x03\x01", b"P" * 9000, b""))
        path = chance.choice((b"/predict", b"/predict_batch", b"/" + b"a" * 9000, b"*", b"//", b"/%00", b"http://x/"))
        version = chance.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""))
        head = [method + b" " + path + b" " + version, *chance.choices(lines, k=chance.randrange(6))]
        yield broken(chance, b"\r\n".join([*head, b"", b""]) + chance.choice((body, b"", b"5\r\nhello\r\n0\r\n\r\n")))
