"""The deployed file under the real functions-framework, as a process, against the local storage server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared import layout
from shared.codec import decode, digest
from shared.documents import Manifest
from shared.store import CloudStore
from tests.local_storage import LocalStorage, running_storage
from tests.sample import LINEAR_AND_A_FOREST, with_a_short_search
from tests.sealed import require_sealed, sealed
from tests.tools import free_port

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "train-function"
START_SECONDS = 120.0

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStorage]:
    spec = with_a_short_search(tmp_path_factory.mktemp("sample") / "students", LINEAR_AND_A_FOREST)
    with running_storage() as server:
        server.fill(BUCKET, spec, spec.with_name("stud.csv"))
        yield server


@pytest.fixture(scope="module")
def store(storage: LocalStorage) -> Iterator[CloudStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        yield CloudStore(BUCKET)


@contextmanager
def running_function(storage: LocalStorage, folder: Path, **settings: str) -> Iterator[httpx.Client]:
    """The function by somebody who may write to its temporary folder alone, stopped as the platform stops it."""
    closed, temporary = folder / "closed", folder / "temporary"
    closed.mkdir(mode=0o555)
    temporary.mkdir()
    port = free_port()
    source = ROOT / "functions" / "train" / "main.py"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BUCKET": BUCKET,
        "STORAGE_EMULATOR_HOST": storage.http_url,
        "GOOGLE_CLOUD_PROJECT": "local",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), str(closed)),
        "TMPDIR": str(temporary),
        **settings,
    }
    command = (
        *sealed(temporary),
        sys.executable,
        "-m",
        "functions_framework",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    process = subprocess.Popen(
        (*command, "--target", "train", "--source", str(source)), cwd=closed, env=environment, start_new_session=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
            wait_until_open(port, process)
            require_sealed(process.pid)
            yield client
    finally:
        process.terminate()
        process.wait(30)
        require_nobody_left(process.pid)
    assert [entry for place in (closed, temporary) for entry in place.iterdir()] == []


def require_nobody_left(group: int) -> None:
    """The processes of a search end with their parent, within moments."""
    deadline = time.monotonic() + 30
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "the function left processes behind"
        time.sleep(0.2)


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            assert process.poll() is None, "the function ended while starting"
            assert time.monotonic() < deadline, "the function did not start"
            time.sleep(0.1)


def test_a_call_trains_and_a_second_one_finds_nothing_new(
    storage: LocalStorage, store: CloudStore, tmp_path: Path
) -> None:
    with running_function(storage, tmp_path, TRAIN_JOBS="2") as function:
        trained = function.post("/")
        again = function.post("/", json={"force": False})
        refused = function.post("/", json={"forse": True})
    assert trained.status_code == again.status_code == 200
    assert (trained.json()["status"], again.json()["status"]) == ("trained", "unchanged")
    run_id = trained.json()["run_id"]
    assert again.json()["run_id"] == run_id
    manifest = decode(store.read(layout.candidate(run_id, layout.MANIFEST)).data, Manifest, "manifest")
    for name, promised in manifest.files.items():
        assert digest(store.read(layout.candidate(run_id, name)).data) == promised
    assert refused.status_code == 422
    assert "did you mean 'force'?" in refused.json()["detail"]


def test_a_function_without_settings_says_so_in_its_log_and_answers_500(
    storage: LocalStorage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_function(storage, tmp_path, BUCKET="") as function:
        answer = function.post("/")
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["code"] == "bad_settings"
    assert "environment variable BUCKET is not set" in capfd.readouterr().err


def test_a_stranger_is_refused(storage: LocalStorage, tmp_path: Path) -> None:
    with running_function(
        storage, tmp_path, OIDC_AUDIENCE="http://train", OIDC_CALLERS="a@b", OIDC_CERTS_URL=storage.http_url
    ) as function:
        answer = function.post("/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
