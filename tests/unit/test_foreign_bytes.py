"""What parses bytes of others refuses what it cannot read: a short `make torture` of each kind, and what it found."""

import io
import itertools
import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.watch import labels
from functions.watch.labels import read_labels
from shared import codec
from shared.clock import utc_now
from shared.codec import decode
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.decisions import Pointer
from shared.errors import InvalidDataset, InvalidDocument
from shared.serving.loaded_model import load
from shared.tables.reading import read_table
from tests.bench.bombs import KINDS, Refusals, inputs, requests_of
from tests.memory_store import MemoryStore
from tests.unit.batch.world import BatchWorld, as_csv, rows
from tests.unit.predict.promoted import ROW, promote

ROOT = Path(__file__).resolve().parents[2]
TRIED = {"CSV": 6, "Parquet": 60, "TOML": 60, "rows": 12, "labels": 30, "manifest": 100, "gzip": 12, "ONNX": 60}
_ENDS = np.array([0, 1, 2, 3], dtype=np.int32).tobytes()
NO_TEXT = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(_ENDS), pa.py_buffer(b"\xff\xfe\xc9")])
"""Three cells of text as Parquet holds it, and none of them is UTF-8."""


def parquet(columns: dict[str, object]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_generated_inputs_are_read_or_refused(kind: str) -> None:
    outcomes = []
    for data in itertools.islice(inputs(kind, seed=1), TRIED[kind]):
        try:
            KINDS[kind].read(data)
            outcomes.append("read")
        except Refusals:
            outcomes.append("refused")
    assert outcomes.count("refused") > len(outcomes) // 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_makes_the_same_inputs(kind: str) -> None:
    one, other = (list(itertools.islice(inputs(kind, seed=3), 3)) for _ in range(2))
    assert one == other
    assert next(requests_of(3)) == next(requests_of(3))


def test_text_that_is_no_utf_8_is_told_by_its_column() -> None:
    data = parquet({"c": NO_TEXT, "y": [1, 2, 3]})
    with pytest.raises(InvalidDataset, match="'c' holds text that is not UTF-8"):
        read_table(data, DatasetSpec(name="n", source="t.parquet", target="y"))


def test_a_batch_of_such_text_is_refused_once_and_not_delivered_for_ever() -> None:
    columns: dict[str, object] = {name: [cell] * 3 for name, cell in ROW.items()}
    answer = BatchWorld().answer("a.parquet", parquet({**columns, "gender": NO_TEXT}))
    assert answer.rejection["reason"] == "malformed_parquet"


def test_a_number_of_too_many_digits_is_told() -> None:
    with pytest.raises(InvalidDataset, match=r"data.toml holds a number of more digits than can be read"):
        parse_spec(b"min = " + b"9" * 5000, "data.toml")


def test_labels_that_would_take_the_memory_of_the_watch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "infra" / "terraform" / "watch.tf").read_text(encoding="utf-8")
    (given,) = re.findall(r'memory += "(\d+)Gi"', text)
    assert int(given) * 2**30 == labels.MEMORY_BYTES
    bucket = MemoryStore()
    promote(bucket)
    manifest = load(bucket, "staging").manifest
    monkeypatch.setattr(labels, "MEMORY_BYTES", 512 * 2**20 + 1)
    with pytest.raises(InvalidDataset, match="takes more memory than there is; divide it"):
        read_labels(as_csv(rows(5)), "labels/a.csv", manifest, utc_now(), [])


@pytest.mark.parametrize("cell", [b'"",', b'"\\"",', b'"\\\\",', b"[],", b'",",'], ids=repr)
def test_values_are_counted_before_they_are_made_and_in_little_memory(cell: bytes) -> None:
    many = codec.MAX_ITEMS + 10
    with pytest.raises(InvalidDocument, match="values or more, at most 1000000 are expected"):
        decode(b"[" + cell * many + b"1]", Pointer, "x")
    commas_within = b'{"schema_version": "' + b",\\\\" * many + b'"}'
    with pytest.raises(InvalidDocument, match="not a valid Pointer"):
        decode(commas_within, Pointer, "x")


def test_a_text_that_never_ends_takes_no_longer_than_another() -> None:
    begun = time.process_time()
    with pytest.raises(InvalidDocument):
        decode(b'["' + b'\\",' * 2**20, Pointer, "x")
    assert time.process_time() - begun < 5.0, "looking for its end again from each quote would take hours"
