"""The event functions as they are deployed, on a read-only root: only temporary files may be written."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shared import layout
from shared.clock import utc_now
from shared.store import CloudStore
from tests.candidates import build, publish, run_id
from tests.cloud_events import storage_headers
from tests.functions.test_predict_function import PATIENCE, ROOT, accepts, eventually, storage, store
from tests.sealed import require_sealed, sealed
from tests.tools import free_port
from tests.unit.batch.world import as_csv
from tests.unit.batch.world import rows as rows_to_answer
from tests.unit.predict.promoted import promote
from tests.unit.watch.world import labelled, noise, rows

__all__ = ["storage", "store"]


@contextlib.contextmanager
def closed(name: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The function's address and its log. It may write to its temporary folder alone, and leaves nothing there."""
    folder, temporary = tmp_path / "closed", tmp_path / "temporary"
    folder.mkdir(mode=0o555)
    temporary.mkdir()
    port, log = free_port(), tmp_path / "log"
    command = [
        *(
            *sealed(temporary),
            sys.executable,
            "-m",
            "functions_framework",
            "--target",
            name,
            "--signature-type",
            "cloudevent",
        ),
        *("--source", str(ROOT / "functions" / name / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
    ]
    places = {key: str(folder) for key in ("HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")}
    places["TMPDIR"] = str(temporary)  # where the server keeps its worker's sign of life
    settings = {**os.environ, **places, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(lambda: accepts(port) or process.poll() is not None)
        require_sealed(process.pid)
        yield f"http://127.0.0.1:{port}", log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)
    assert [entry for place in (folder, temporary) for entry in place.iterdir()] == []


def candidate(store: CloudStore) -> tuple[str, str]:
    """A candidate's manifest, and the pointer that it leads to."""
    return publish(store, build(run_id(1))).name, layout.pointer("staging")


def table(store: CloudStore) -> tuple[str, str]:
    """A table to be answered, and what says that it is."""
    promote(store, "production")
    info = store.write("batch/in/march.csv", as_csv(rows_to_answer(50)), if_generation=None, content_type="text/csv")
    return info.name, f"batch/out/march.{info.generation}/_SUCCESS.json"


def labels(store: CloudStore) -> tuple[str, str]:
    """A file of labels, and the residuals that are made of it."""
    promote(store, "production")
    data = labelled(rows(200), noise(200))
    info = store.write("labels/march.csv", data, if_generation=None, content_type="text/csv")
    return info.name, f"watch/labels/{info.generation}.parquet"


@pytest.mark.parametrize(("name", "leave"), [("validate", candidate), ("batch", table), ("watch", labels)])
def test_a_function_does_its_work_on_a_read_only_root(
    name: str, leave: Callable[[CloudStore], tuple[str, str]], store: CloudStore, tmp_path: Path
) -> None:
    key, result = leave(store)
    info = store.stat(key)
    assert info is not None
    bucket = os.environ["BUCKET"]
    event = {
        "bucket": bucket,
        "name": key,
        "generation": str(info.generation),
        "timeCreated": utc_now().isoformat().replace("+00:00", "Z"),
    }
    with closed(name, tmp_path) as (url, log):
        answer = httpx.post(url, headers=storage_headers(bucket, key), content=json.dumps(event), timeout=PATIENCE)
        told = log.read_text(encoding="utf-8")
    assert answer.status_code in (200, 204), told[-3000:]
    assert store.stat(result) is not None, told[-3000:]
