"""The deployed file behind the real framework, as a process, against the local Cloud Storage."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from shared import layout
from shared.store import CloudStore
from tests.bench.memory_room import descendants
from tests.local_storage import LocalStorage, running_storage
from tests.sealed import require_sealed, sealed
from tests.tools import free_port
from tests.unit.predict.promoted import EXPECTED, FIRST, ROW, SECOND, golden_rows, promote, served_model, write_pointer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


@dataclass
class Function:
    """One running process of the function."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE)

    def predict(self, body: Any = ROW) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json=body, timeout=PATIENCE)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def storage() -> Iterator[LocalStorage]:
    with running_storage() as server:
        yield server


@pytest.fixture
def store(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    """A bucket of the test's own, which the environment names to the function and to the client library."""
    return new_bucket(storage, monkeypatch)


def new_bucket(storage: LocalStorage, environment: pytest.MonkeyPatch) -> CloudStore:
    bucket = f"predict-{uuid.uuid4()}"
    requests.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=PATIENCE).raise_for_status()
    environment.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
    environment.setenv("GOOGLE_CLOUD_PROJECT", "local")
    environment.setenv("BUCKET", bucket)
    return CloudStore(bucket)


@pytest.fixture(scope="module")
def function(storage: LocalStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """The function, started once for the tests of a module that leave it and what it serves as they are."""
    with serving(storage, tmp_path_factory.mktemp("serving")) as function:
        yield function


@pytest.fixture
def changing(store: CloudStore, tmp_path: Path) -> Iterator[Function]:
    """A function of the test's own, which may change what `store` lets it serve."""
    promote(store)
    with running(tmp_path) as function:
        yield function


@contextlib.contextmanager
def serving(storage: LocalStorage, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Function]:
    """The function over a bucket of its own, once a model serves there."""
    with pytest.MonkeyPatch.context() as patch:
        promote(new_bucket(storage, patch))
        with running(folder, environment) as function:
            assert function.get("/ready").status_code == 200
            yield function


@contextlib.contextmanager
def running(
    tmp_path: Path, environment: Mapping[str, str] | None = None, *, folder: Path | None = None, by: Sequence[str] = ()
) -> Iterator[Function]:
    """The function as it is deployed, on a free port, until it accepts connections; in `folder`, started `by` that."""
    port = free_port()
    command = [
        *by,
        *(sys.executable, "-m", "functions_framework", "--target", "predict", "--asgi"),
        *("--source", str(ROOT / "functions" / "predict" / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
    ]
    log = tmp_path / "function.log"
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "REFRESH_SECONDS": "1", **(environment or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=settings,
            cwd=folder or tmp_path,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            function = Function(f"http://127.0.0.1:{port}", process, log)
            eventually(lambda: accepts(port) or process.poll() is not None)
            yield function
        finally:
            with contextlib.suppress(ProcessLookupError):  # a test may have ended it
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=PATIENCE)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_the_function_loads_serves_swaps_keeps_and_recovers(store: CloudStore, tmp_path: Path) -> None:
    with running(tmp_path) as function:
        assert function.get("/health").json() == {"status": "ok", "model_loaded": False}
        absent = function.get("/ready")
        assert (absent.status_code, "retry-after" in absent.headers) == (503, True)

        first = promote(store)
        ready = function.get("/ready")
        assert (ready.status_code, ready.json()["run_id"]) == (200, FIRST)
        assert function.predict().json()["prediction"] == EXPECTED

        promote(store, run_id=SECOND, base=70.0)
        eventually(lambda: function.predict().json()["model"]["run_id"] == SECOND)
        assert function.predict().json()["prediction"] == EXPECTED + 10

        present = store.stat(layout.pointer("staging"))
        assert present is not None
        store.write(present.name, b"{", if_generation=present.generation, content_type="application/json")
        eventually(lambda: bool(function.predict()) and function.get("/meta").json()["stale"])
        assert function.get("/meta").json()["problem"]["reason"] == "invalid_document"
        assert function.predict().json()["model"]["run_id"] == SECOND

        write_pointer(store, "staging", first)
        eventually(lambda: function.predict().json()["model"]["run_id"] == FIRST)
        assert function.get("/ready").json()["stale"] is False
        lines = function.log_lines()

    assert [line["message"] for line in lines if line["severity"] == "INFO"] == [
        "worker started",
        "no model is promoted yet",
        *["model loaded"] * 3,
    ]
    assert [line["reason"] for line in lines if line["severity"] == "ERROR"] == ["invalid_document"]


def test_the_very_first_request_is_answered_with_the_runtime_s_own_predictions(
    store: CloudStore, tmp_path: Path
) -> None:
    promote(store, "production")
    rows = [dict(row) for row in golden_rows()]
    with running(tmp_path, {"STAGE": "production"}) as function:
        batch = httpx.post(f"{function.url}/predict_batch", json=rows, timeout=PATIENCE).json()
        single = [function.predict(row).json()["prediction"] for row in rows]
    assert (
        [entry["prediction"] for entry in batch["predictions"]] == single == served_model().predict_rows(rows).tolist()
    )


def answered_type(function: Function, method: str) -> str | None:
    """The Content-Type of what is answered to a method that is asked of `*`, as only OPTIONS may be."""
    host, port = function.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.request(method, "*")
    answer = connection.getresponse()
    connection.close()
    return answer.getheader("content-type")


def test_bodies_methods_and_paths_pass_through_the_framework(store: CloudStore, tmp_path: Path) -> None:
    promote(store)

    def chunks(size: int) -> Iterator[bytes]:
        text = json.dumps(ROW).encode().ljust(size)
        yield from (text[start : start + 1000] for start in range(0, size, 1000))

    headers = {"Content-Type": "application/json"}
    with running(tmp_path, {"MAX_BODY_BYTES": "8192"}) as function, httpx.Client(base_url=function.url) as client:
        assert client.post("/predict", content=chunks(8000), headers=headers).json()["prediction"] == EXPECTED
        assert client.post("/predict", content=chunks(9000), headers=headers).status_code == 413
        assert client.post("/predict", content=b" " * 9000, headers=headers).status_code == 413
        assert client.post("/predict", json=dict(ROW)).status_code == 200  # the connection is usable afterwards
        assert client.put("/predict").headers["allow"] == "POST"
        assert client.get("/no/such/path").json()["status"] == 404
        for method in ("TRACE", "BREW", "OPTIONS"):
            assert answered_type(function, method) == "application/problem+json"
        head = client.head("/meta", headers={"X-Request-ID": "mine"})
        assert (head.status_code, head.content, head.headers["x-request-id"]) == (200, b"", "mine")
        for path in ("/", "/app.js", "/style.css"):
            assert "script-src 'self'" in client.get(path).headers["content-security-policy"]


def test_storage_that_is_away_is_503_and_the_model_is_served_once_it_is_back(
    storage: LocalStorage, store: CloudStore, tmp_path: Path
) -> None:
    promote(store)
    storage.stop()
    with running(tmp_path) as function:
        answer = function.predict()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert function.get("/health").json() == {"status": "ok", "model_loaded": False}
        storage.start()
        eventually(lambda: function.predict().status_code == 200)
        assert function.get("/ready").json()["stale"] is False


@pytest.mark.parametrize(("name", "value"), [("BUCKET", ""), ("STAGE", "prod"), ("REFRESH_SECONDS", "soon")])
def test_a_wrong_setting_is_named_in_the_log_and_not_in_the_answer(tmp_path: Path, name: str, value: str) -> None:
    with running(tmp_path, {"BUCKET": "b", name: value}) as function:
        answer = function.get("/ready")
        line = function.log_lines()[0]
    assert (answer.status_code, name in answer.text) == (500, False)
    assert (line["severity"], line["reason"], name in line["message"]) == ("ERROR", "bad_settings", True)


def test_the_pointer_of_a_stage_is_the_only_thing_that_decides(store: CloudStore, tmp_path: Path) -> None:
    """Files of a newer run alone change nothing: the pointer is written last."""
    first = promote(store)
    promote(store, run_id=SECOND, base=70.0)
    write_pointer(store, "staging", first)
    with running(tmp_path) as function:
        assert function.predict().json()["model"]["run_id"] == FIRST


def listening(pid: int) -> list[str]:
    """Where a process and those that it has started listen: addresses of IPv4 and IPv6, and paths of Unix sockets."""
    held: set[str] = set()
    for one in [pid, *descendants(pid)]:
        for descriptor in Path(f"/proc/{one}/fd").iterdir():
            with contextlib.suppress(OSError):  # it is closed again
                held.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found: set[str] = set()
    for family, order in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{family}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in held:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[place : place + 8])[::-1] for place in range(0, len(address), 8)]
                found.add(f"{socket.inet_ntop(order, b''.join(words))}:{int(port, 16)}")
    for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "00010000" and fields[6] in held:
            found.add(fields[-1])
    return sorted(found)


def test_it_needs_neither_privileges_nor_more_than_a_folder_of_temporary_files(
    store: CloudStore, tmp_path: Path
) -> None:
    """The root is read-only, the working folder and the home are closed; nothing is left among temporary files."""
    promote(store)
    closed, temporary = tmp_path / "closed", tmp_path / "temporary"
    closed.mkdir(mode=0o555)
    temporary.mkdir()
    places = {"HOME": str(closed), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(closed)}
    with running(tmp_path, places, folder=closed, by=sealed(temporary)) as function:
        assert function.predict().json()["prediction"] == EXPECTED
        assert function.get("/").status_code == 200
        large = httpx.post(f"{function.url}/predict_batch", json=[dict(ROW)] * 5000, timeout=PATIENCE)
        assert len(large.json()["predictions"]) == 5000
        assert listening(function.process.pid) == [function.url.removeprefix("http://")], "nothing else may be reached"
        require_sealed(function.process.pid)
        lines = function.log.read_text(encoding="utf-8").splitlines()
        ours = [json.loads(line)["message"] for line in lines if line.startswith("{")]
        theirs = [line for line in lines if not line.startswith("{")]
        assert ours == ["worker started", "model loaded"]
        assert [line for line in theirs if "Control server error" not in line] == []  # a socket that nobody needs
    assert [entry for place in (closed, temporary) for entry in place.iterdir()] == []


def test_the_runtime_keeps_nothing_in_the_home_folder(store: CloudStore, tmp_path: Path) -> None:
    promote(store)
    home = tmp_path / "home"
    home.mkdir()
    with running(tmp_path, {"HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path)}) as function:
        assert function.predict().json()["prediction"] == EXPECTED
    assert list(home.rglob("*")) == []
