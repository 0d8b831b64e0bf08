"""The deployed file behind the real framework, as a process, against the local Cloud Storage: labels, a daily call."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx

from functions.predict.live.counters import Counters
from functions.watch.main import LOOK
from shared import layout
from shared.clock import utc_now
from shared.codec import decode
from shared.monitoring import Performance, WatchReport
from shared.serving.loaded_model import load
from shared.store import CloudStore
from tests.cloud_events import storage_headers
from tests.functions.test_predict_function import PATIENCE, ROOT, accepts, eventually, storage, store
from tests.tools import free_port
from tests.unit.predict.promoted import promote
from tests.unit.watch.world import labelled, noise, rows

__all__ = ["storage", "store"]


@contextlib.contextmanager
def running(tmp_path: Path) -> Iterator[str]:
    """The function as it is deployed, on a free port, until it accepts connections; its address."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "functions_framework", "--target", "watch", "--signature-type", "cloudevent"),
        *("--source", str(ROOT / "functions" / "watch" / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
    ]
    with (tmp_path / "watch.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            eventually(lambda: accepts(port) or process.poll() is not None)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=PATIENCE)


def test_a_file_of_labels_and_the_daily_call(store: CloudStore, tmp_path: Path) -> None:
    promote(store, "production")
    yesterday = utc_now() - timedelta(days=1)
    loaded = load(store, "production")
    counters = Counters(store, "production", lambda: yesterday)
    read = loaded.schema.read_rows([dict(row) for row in rows(300)])
    counters.answered(0.0, 0.002, loaded, read, loaded.answers(read))
    counters.drain()
    name, bucket = "labels/march.csv", os.environ["BUCKET"]
    info = store.write(name, labelled(rows(200), noise(200)), if_generation=None, content_type="text/csv")
    headers = storage_headers(bucket, name)
    event = {
        "bucket": bucket,
        "name": name,
        "generation": str(info.generation),
        "timeCreated": utc_now().isoformat().replace("+00:00", "Z"),
    }
    look = {"specversion": "1.0", "id": "daily", "source": "//cloudscheduler.googleapis.com", "type": LOOK, "data": {}}
    with running(tmp_path) as url:
        answered = httpx.post(url, headers=headers, content=json.dumps(event), timeout=PATIENCE)
        assert answered.status_code in (200, 204), (tmp_path / "watch.log").read_text()[-3000:]
        structured = {"Content-Type": "application/cloudevents+json"}
        answered = httpx.post(url, headers=structured, content=json.dumps(look), timeout=PATIENCE)
        assert answered.status_code in (200, 204), (tmp_path / "watch.log").read_text()[-3000:]
    key = layout.performance(layout.day(utc_now()))
    assert decode(store.read(key).data, Performance, key).rows == 200
    key = layout.watch_report("production", layout.day(yesterday))
    assert decode(store.read(key).data, WatchReport, key).traffic[-1].rows == 300
    assert b"Watch of production" in store.read(layout.watch_page("production")).data
