"""The event functions as they are deployed, by somebody who may write nowhere, as on a read-only root."""

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
from tests.functions.test_predict_function import PATIENCE, ROOT, accepts, eventually, free_port, storage, store
from tests.unit.batch.world import as_csv
from tests.unit.batch.world import rows as rows_to_answer
from tests.unit.predict.promoted import promote
from tests.unit.watch.world import labelled, noise, rows

__all__ = ["storage", "store"]

UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs") if os.geteuid() == 0 else ()
"""What makes the administrator somebody to whom a closed folder is closed."""


@contextlib.contextmanager
def closed(name: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The function's address and its log. Its home, its temporary and its working folder are closed to it."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    port, log = free_port(), tmp_path / "log"
    command = [
        *(
            *UNPRIVILEGED,
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
    places = {key: str(folder) for key in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")}
    settings = {**os.environ, **places, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(lambda: accepts(port) or process.poll() is not None)
        require_unprivileged(process.pid)
        yield f"http://127.0.0.1:{port}", log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)
    assert list(folder.iterdir()) == []


def require_unprivileged(pid: int) -> None:
    """A closed folder is closed to this process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    assert int(status.split("CapEff:", 1)[1].split()[0], 16) == 0, "it could write wherever it liked"


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
def test_a_function_does_its_work_where_it_may_write_nothing(
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
