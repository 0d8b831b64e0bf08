"""Footers of Parquet that Arrow must not be given: each of these ends a process that opens it.

Apache Arrow 24 goes down a schema by recursion: `NodePtr GroupNode::FromParquet` and `SchemaDescriptor::BuildTree` in
cpp/src/parquet/schema.cc.
"""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.watch.labels import read_labels
from shared import parquet_footer
from shared.clock import utc_now
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.parquet_footer import BadFooter, require_readable_file
from shared.serving.loaded_model import load
from shared.tables.reading import read_table
from tests.bench.bombs import nested_parquet
from tests.memory_store import MemoryStore
from tests.unit.batch.world import BatchWorld
from tests.unit.predict.promoted import promote

TOO_DEEP = "the file's columns are nested more than 1000 levels deep; write a flat table"


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("twice", [False, True])
def test_columns_within_columns_without_end_are_refused_by_every_function_that_reads_tables(twice: bool) -> None:
    data = nested_parquet(100_000, twice=twice)
    with pytest.raises(InvalidDataset, match=TOO_DEEP):
        read_table(data, DatasetSpec(name="n", source="t.parquet", target="y"))
    bucket = MemoryStore()
    promote(bucket)
    with pytest.raises(InvalidDataset, match=TOO_DEEP):
        read_labels(data, "labels/a.parquet", load(bucket, "staging").manifest, utc_now(), [])
    assert BatchWorld().answer("a.parquet", data).rejection["problems"] == [TOO_DEEP]


FLAT = pa.table({"a": [1.5, None], "b": ["x", None], "c": pa.array([True, False])})
TABLES = {
    "flat": (FLAT, 1),
    "list of structs": (pa.table({"a": [[{"b": [1]}]], "c": [1]}), 6),
    "map": (pa.table({"m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32()))}), 3),
    "wide": (pa.table({f"c{place}": [place] * 40 for place in range(200)}), 1),
    "struct beside struct": (pa.table({"a": [{"b": {"c": 1}}], "d": [{"e": 1}], "f": [1]}), 3),
    "dates": (pa.table({"d": pa.array([1, 2], pa.timestamp("us", "UTC")), "e": pa.array([1, 2], pa.date32())}), 1),
}
"""Tables with their levels, a list having two of its own; what Arrow itself says of most of them is checked below."""


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("options", [{}, {"row_group_size": 1}, {"version": "1.0"}, {"store_schema": False}], ids=str)
def test_the_levels_of_files_as_they_are_written_are_told(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, levels = TABLES[name]
    data = parquet(table, **options)
    columns = pq.ParquetFile(io.BytesIO(data)).schema
    assert max(columns.column(place).path.count(".") + 1 for place in range(len(columns.names))) == levels
    monkeypatch.setattr(parquet_footer, "HARMLESS_BYTES", 0)
    monkeypatch.setattr(parquet_footer, "MOST_NESTED", levels)
    require_readable_file(data)
    monkeypatch.setattr(parquet_footer, "MOST_NESTED", levels - 1)
    with pytest.raises(BadFooter):
        require_readable_file(data)


def test_a_footer_that_ends_anywhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_footer, "HARMLESS_BYTES", 0)
    data = parquet(FLAT)
    size = parquet_footer.footer_bytes(data[-8:])
    footer = data[-8 - size : -8]
    for end in range(1, size, 7):
        with pytest.raises(BadFooter):
            parquet_footer.require_readable(footer[:end])


def test_the_footers_that_are_not_looked_at_are_read_by_arrow_however_deep_they_are() -> None:
    data = nested_parquet(parquet_footer.HARMLESS_BYTES // 8 - 5)
    require_readable_file(data)
    assert pq.ParquetFile(io.BytesIO(data)).schema_arrow.names == ["a"]
