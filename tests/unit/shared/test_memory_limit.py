"""The functions of files are held below their container's memory: what unfolds beyond it is refused, and ends nothing.

`setrlimit(2)`: RLIMIT_DATA bounds private writable memory, that of `mmap` included, since Linux 4.7.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch import settings
from functions.watch import labels
from shared.memory_limit import SHARE
from tests.unit.predict.promoted import ROW

ROOT = Path(__file__).resolve().parents[3]
BEGIN = {"batch": "main._batcher()", "watch": "main._watch()"}
"""What each function does at its first event."""
ANSWER = """
import sys
from pathlib import Path
from shared.memory_limit import limit_memory
from tests.unit.batch.world import BatchWorld
limit_memory(640 * 2**20)
world = BatchWorld(settings={})
print(world.answer("a.parquet", Path(sys.argv[1]).read_bytes()).rejection["reason"])
print(world.answer("b.csv", Path(sys.argv[2]).read_bytes()).success["rows"])
"""


def run(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BUCKET": "b"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("function", "bytes_"), [("batch", settings.MEMORY_BYTES), ("watch", labels.MEMORY_BYTES)])
def test_a_function_of_files_limits_its_memory_to_what_terraform_gives_it(function: str, bytes_: int) -> None:
    text = (ROOT / "infra" / "terraform" / f"{function}.tf").read_text(encoding="utf-8")
    (given,) = re.findall(r'memory += "(\d+)Gi"', text)
    assert int(given) * 2**30 == bytes_
    begin = f"import resource; from functions.{function} import main; {BEGIN[function]}"
    limited = run(f"{begin}; print(resource.getrlimit(resource.RLIMIT_DATA)[0])")
    assert int(limited) == int(bytes_ * SHARE)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to RLIMIT_DATA")
@pytest.mark.parametrize("column", ["gender", "note"], ids=["a feature", "a column that passes through"])
def test_a_small_file_of_long_cells_is_refused_by_a_process_that_answers_the_next_one(
    column: str, tmp_path: Path
) -> None:
    count = 20_000
    long = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["x" * 100_000]))
    columns: dict[str, object] = {name: [cell] * count for name, cell in ROW.items()}
    file = io.BytesIO()
    pq.write_table(pa.table({**columns, column: long}), file, store_schema=False)
    assert len(file.getvalue()) < 20_000
    (tmp_path / "a.parquet").write_bytes(file.getvalue())
    table = [",".join(ROW), ",".join(map(str, ROW.values()))]
    (tmp_path / "b.csv").write_text("\n".join(table), encoding="utf-8")
    assert run(ANSWER, str(tmp_path / "a.parquet"), str(tmp_path / "b.csv")).split() == ["too_large", "1"]
