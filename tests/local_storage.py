"""The local Cloud Storage server as a process of its own, for any suite that needs a bucket behind real HTTP.

with running_storage(tmp_path) as storage:
    client = storage.client()
"""

import json
import os
import selectors
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class LocalStorage:
    """A server with its state folder. The ports stay the same over `restart`, so that clients find it again."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._process: subprocess.Popen[str] | None = None
        self.http_url = "http://127.0.0.1:0"
        self.https_url = "https://127.0.0.1:0"

    @property
    def url(self) -> str:
        """The plain door, which is what STORAGE_EMULATOR_HOST wants."""
        return self.http_url

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def certificate(self) -> Path:
        """What a TLS client has to trust."""
        return self.state / "tls.pem"

    @property
    def log(self) -> Path:
        return self.state / "gcs.log"

    def fill(self, bucket: str, *files: Path) -> None:
        """Make `bucket` with `files` below data/."""
        client = self.client()
        client.create_bucket(bucket)
        for file in files:
            client.bucket(bucket).blob(f"data/{file.name}").upload_from_filename(str(file))
        client.close()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command(self.state, _port(self.http_url), _port(self.https_url)),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = _first_line(self._process)
        if not line:
            self.kill()
            raise AssertionError(f"the storage server did not start: {self.log.read_text()[-2000:]}")
        ready = json.loads(line)
        self.http_url, self.https_url = ready["http"], ready["https"]

    def stop(self) -> int:
        """Ask it to end, as a supervisor does; its exit code."""
        assert self._process is not None, "the server does not run"
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._forget()

    def kill(self) -> None:
        """End it at once, as a power cut of the process: no handler runs."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def restart(self) -> None:
        """Start it again on the same ports and state, after `stop` or `kill`; a running one is stopped first."""
        if self._process is not None:
            self.stop()
        self.start()

    def client(self, project: str = "local-project") -> Any:
        """A real client library's client. Close it after use."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("STORAGE_EMULATOR_HOST", self.http_url)
            return storage.Client(project=project, credentials=AnonymousCredentials())

    def outbox(self, bucket: str) -> list[dict[str, Any]]:
        """The events of a bucket, in order, as another process reads them; `data` is parsed."""
        address = f"{(self.state / 'gcs.sqlite').as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute("SELECT * FROM outbox WHERE bucket = ? ORDER BY seq", (bucket,)).fetchall()
        return [{**dict(row), "data": json.loads(row["data"])} for row in rows]

    def _forget(self) -> None:
        assert self._process is not None
        self._process.wait(STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@contextmanager
def running_storage(state: Path | None = None) -> Iterator[LocalStorage]:
    """A server on free ports, over `state` or a folder of its own that is deleted with it."""
    with tempfile.TemporaryDirectory(prefix="storage-") as folder:
        server = LocalStorage(Path(folder) if state is None else state)
        server.state.mkdir(parents=True, exist_ok=True)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def command(state: Path, http_port: int, https_port: int) -> list[str]:
    """The command line of the server; port 0 takes any free one."""
    ports = ("--http-port", str(http_port), "--https-port", str(https_port))
    return [sys.executable, "-m", "infra.local.storage", "--state", str(state), *ports]


def peak_memory(pid: int) -> int:
    """The most resident memory that the process ever had, in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no VmHWM for process {pid} on {os.uname().sysname}")


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(START_SECONDS) else ""
