"""Validation as deployed: functions as processes, the real relay, the local storage server; all on free ports."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from shared import layout
from shared.codec import decode
from shared.decisions import Pointer
from shared.events import FINALIZED
from shared.store import CloudStore
from tests.local_storage import ROOT, LocalStorage, running_storage
from tests.tools import free_port

START_SECONDS = 90.0
DRAIN_SECONDS = 180.0
BUCKET = "journey"


class Instance:
    """One instance of the validate function; its port stays the same over a restart."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._environment = folder, dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8")

    def start(self) -> None:
        with (self._folder / "stderr").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "functions_framework", "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--target", "validate", "--source", str(ROOT / "functions" / "validate" / "main.py")),
                    *("--signature-type", "cloudevent"),
                ],
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self._environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _accepts(self.port):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, "the function did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the master and its workers at once: they are one session."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait(30)
            self._process = None


@dataclass
class Deployment:
    """A bucket with validation behind it. `store` sees the storage server directly, without injected faults."""

    storage: LocalStorage
    store: CloudStore
    instances: list[Instance]

    def drain(self) -> None:
        """Wait until every event so far was acknowledged by every instance."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self._drained():
            assert time.monotonic() < deadline, "events are still waiting:\n" + self.instances[0].log[-3000:]
            time.sleep(0.1)

    def serving(self, stage: layout.Stage) -> str | None:
        key = layout.pointer(stage)
        return decode(self.store.read(key).data, Pointer, key).run_id if self.store.stat(key) else None

    def _drained(self) -> bool:
        with closing(_read_only(self.storage.state / "gcs.sqlite")) as outbox:
            newest = outbox.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()[0]
        with closing(_read_only(self.storage.state / "eventarc.sqlite")) as relay:
            cursors = [row[0] for row in relay.execute("SELECT seq FROM cursors")]
            waiting = relay.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]
        return len(cursors) == len(self.instances) and min(cursors) >= newest and waiting == 0


@contextmanager
def deployed(
    folder: Path,
    *,
    instances: int = 1,
    relay: tuple[str, ...] = (),
    front: Callable[[ExitStack, str], str] = lambda _, url: url,
) -> Iterator[Deployment]:
    """Start everything, and stop it when the block ends. `front` may put a proxy between the functions and storage."""
    with ExitStack() as stack:
        storage = stack.enter_context(running_storage(folder / "storage"))
        made = requests.post(
            f"{storage.http_url}/storage/v1/b",
            params={"project": "local"},
            json={"name": BUCKET, "versioning": {"enabled": True}},
            timeout=30,
        )
        made.raise_for_status()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        store = CloudStore(BUCKET)
        store.list("")
        yield from _with_functions(stack, folder, storage, store, instances, relay, front(stack, storage.http_url))


def _with_functions(
    stack: ExitStack,
    folder: Path,
    storage: LocalStorage,
    store: CloudStore,
    instances: int,
    relay: tuple[str, ...],
    storage_url: str,
) -> Iterator[Deployment]:
    environment = {
        "BUCKET": BUCKET,
        "GOOGLE_CLOUD_PROJECT": "local",
        "STORAGE_EMULATOR_HOST": storage_url,
    }
    functions = [Instance(folder / f"validate-{place}", environment) for place in range(instances)]
    for function in functions:
        stack.callback(function.kill)
        function.start()
    triggers = [f"--trigger=validate-{n}={FINALIZED},{BUCKET},{function.url}" for n, function in enumerate(functions)]
    with (folder / "relay").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.eventarc", "--state", str(storage.state), *triggers, *relay],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    while not (storage.state / "eventarc.sqlite").exists():
        assert process.poll() is None, (folder / "relay").read_text()
        time.sleep(0.05)
    yield Deployment(storage, store, functions)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)
