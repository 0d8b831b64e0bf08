"""A bucket with batches behind it, as the tests drive it: drop files, deliver events, look at what came out."""

import csv
import io
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.dataflow import Connect, client
from functions.batch.main import Batcher
from functions.batch.settings import BatchSettings
from shared import layout, logs
from shared.store import ObjectInfo, Store
from tests.memory_store import MemoryStore
from tests.unit.predict.promoted import FEATURES, FIRST, promote
from tests.unit.validate.world import BUCKET, attributes, resource

NAMES = [feature.name for feature in FEATURES]
HEADER = ["id", *NAMES]
SMALL = {"part_rows": 100, "part_bytes": 4000}


def rows(count: int, seed: int = 1) -> list[list[str]]:
    """Rows of the promoted model as text, an id in front; some cells are empty, in another spelling or unusual."""
    chosen = random.Random(seed)  # noqa: S311 - rows of a test
    found = []
    for number in range(count):
        row = [f"r-{number}"]
        for feature in FEATURES:
            if feature.nullable and chosen.random() < 0.1:
                row.append("")
            elif feature.categories:
                word = chosen.choice(feature.categories)
                row.append(word.upper() if chosen.random() < 0.05 else word)
            else:
                row.append(str(round(chosen.uniform(5, 25), 3)))
        found.append(row)
    return found


def as_csv(table: Sequence[Sequence[str]], header: Sequence[str] = HEADER, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header, *table])
    return text.getvalue().encode()


def as_parquet(table: Sequence[Sequence[str]], header: Sequence[str] = HEADER, **options: Any) -> bytes:
    """The same table with types: numbers as numbers, empty cells as null."""
    numeric = {feature.name for feature in FEATURES if feature.kind == "numeric"}
    columns: dict[str, pa.Array] = {}
    for position, name in enumerate(header):
        cells = [row[position] or None for row in table]
        columns[name] = (
            pa.array([float(c) if c else None for c in cells], pa.float64())
            if name in numeric
            else pa.array(cells, pa.string())
        )
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, **options)
    return target.getvalue()


@dataclass
class BatchWorld:
    """`bucket` with a run in production. `settings` replace those of the function."""

    bucket: MemoryStore = field(default_factory=MemoryStore)
    settings: Mapping[str, Any] = field(default_factory=lambda: dict(SMALL))
    clock: Callable[[], float] = time.monotonic
    connect: Connect = client

    def __post_init__(self) -> None:
        if self.bucket.stat(layout.pointer("production")) is None:
            promote(self.bucket, "production", FIRST)

    def drop(self, name: str, data: bytes, **metadata: str) -> ObjectInfo:
        """Upload a file below `batch/in/`, as people do."""
        return self.bucket.write(
            layout.BATCH_INPUT + name, data, if_generation=None, content_type="text/csv", metadata=metadata
        )

    def deliver(self, info: ObjectInfo, store: Store | None = None) -> list[dict[str, Any]]:
        """Deliver the event of an object; returns the lines logged for it."""
        return self.receive(resource(info.name, info.generation), store)

    def receive(self, data: object, store: Store | None = None) -> list[dict[str, Any]]:
        stream, outer = io.StringIO(), logs.LOGGER.handlers
        logs.configure("batch", stream=stream)
        try:
            Batcher(
                BatchSettings(bucket=BUCKET, **self.settings), store or self.bucket, self.clock, self.connect
            ).receive(attributes(), data)
        finally:
            logs.LOGGER.handlers = outer  # deliveries nest where one interrupts another
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    def answer(self, name: str, data: bytes, **metadata: str) -> "Answer":
        """Drop a file, deliver its event, and collect what came of it."""
        info = self.drop(name, data, **metadata)
        self.deliver(info)
        return self.collect(info)

    def collect(self, info: ObjectInfo) -> "Answer":
        folder = layout.batch_folder(info.name, info.generation)
        found = {
            entry.name.removeprefix(folder): self.bucket.read(entry.name).data for entry in self.bucket.list(folder)
        }
        return Answer(found)


@dataclass(frozen=True)
class Answer:
    """The objects of one answer by their name in its folder."""

    files: Mapping[str, bytes]

    @property
    def success(self) -> dict[str, Any]:
        assert layout.BATCH_REJECTED not in self.files, self.rejection
        loaded: dict[str, Any] = json.loads(self.files[layout.SUCCESS])
        return loaded

    @property
    def rejection(self) -> dict[str, Any]:
        assert layout.SUCCESS not in self.files
        loaded: dict[str, Any] = json.loads(self.files[layout.BATCH_REJECTED])
        return loaded

    @property
    def plan(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.files[layout.PLAN])
        return loaded

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files.get(layout.BATCH_ERRORS, b"").splitlines()]

    @property
    def parts(self) -> list[str]:
        return sorted(name for name in self.files if name.startswith("part-"))

    def records(self) -> list[dict[str, Any]]:
        """The rows of all parts, in order; numbers as floats, what is empty as None."""
        found: list[dict[str, Any]] = []
        for entry in self.success["parts"]:
            data = self.files[entry["name"]]
            if entry["name"].endswith(".parquet"):
                found += pq.read_table(io.BytesIO(data)).to_pylist()
            else:
                found += [_typed(row) for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]
        return found


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    numbers = ("prediction", "interval_low", "interval_high", "risk_probability")
    return {
        name: (None if cell == "" else float(cell)) if name in numbers else int(cell) if name == "row" else cell
        for name, cell in row.items()
    }
