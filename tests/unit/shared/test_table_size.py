"""What a table would take is said before it is read, whatever its file promises."""

import io
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.tables.reading import read_table
from shared.tables.table_size import BYTES_A_CELL, OWN_BYTES
from tests.local_storage import peak_memory

CSV = DatasetSpec(name="n", source="t.csv", target="y")
PARQUET = DatasetSpec(name="n", source="t.parquet", target="y")
GIBIBYTE = 2**30


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def refusal(data: bytes, spec: DatasetSpec, memory_bytes: int = GIBIBYTE) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read_table(data, spec, memory_bytes)
    (problem,) = caught.value.problems
    return problem


def test_a_few_huge_cells_from_a_tiny_file_are_refused_before_they_are_made() -> None:
    word = pa.array(["a" * 20_000_000])
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), word)
    data = parquet(pa.table({"x": cells, "y": [float(i) for i in range(100)]}))
    assert len(data) < 100_000
    before = peak_memory(_own())
    problem = refusal(data, PARQUET)
    assert "train_memory_gib" in problem
    assert "1,907 MiB of text" in problem
    assert peak_memory(_own()) - before < 300 * 2**20


def test_fifty_million_rows_in_a_few_bytes_are_refused_by_their_footer() -> None:
    data = parquet(pa.table({"y": pa.nulls(50_000_000, pa.float32())}))
    assert len(data) < 1_000_000
    assert "50,000,000 cells" in refusal(data, PARQUET)


def test_a_csv_is_refused_by_its_cells() -> None:
    line = b"1," * 999 + b"1\n"
    problem = refusal(line * 3000, CSV)
    assert "3,000,000 cells" in problem
    assert f"{(OWN_BYTES + 3_000_000 * BYTES_A_CELL + 3 * 6_000_000) // 2**20:,} MiB of memory" in problem


def test_words_are_read_as_before_whether_they_stand_once_or_often() -> None:
    words = ["alpha", None, "beta"] * 40
    table = pa.table({"w": words, "y": [float(i) for i in range(120)]})
    encoded = table.set_column(0, "w", table["w"].dictionary_encode())
    found = [read_table(parquet(one), PARQUET).features["w"].tolist() for one in (table, encoded)]
    assert str(found[0]) == str(found[1])
    assert found[0][:1] == ["alpha"]


def _own() -> int:
    return os.getpid() if sys.platform == "linux" else pytest.skip("counts memory as Linux does")
