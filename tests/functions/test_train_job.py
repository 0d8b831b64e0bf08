"""The job as the process that Cloud Run starts, against the local storage: ended in the middle, then tried again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.train.lease import Lease
from shared import layout
from shared.clock import utc_now
from shared.codec import decode
from shared.decisions import Attempt
from shared.store import CloudStore
from tests.functions.test_train_function import require_nobody_left
from tests.local_storage import LocalStorage, running_storage
from tests.sample import LINEAR_AND_A_FOREST, with_a_short_search

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "train-job"
PATIENCE = 300.0

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[LocalStorage]:
    spec = with_a_short_search(tmp_path / "students", LINEAR_AND_A_FOREST)
    with running_storage() as server:
        server.fill(BUCKET, spec, spec.with_name("stud.csv"))
        yield server


@pytest.fixture
def store(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "local")
    return CloudStore(BUCKET)


def started(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """The task's process, in a folder that it must not write to."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BUCKET": BUCKET, "LEASE_SECONDS": "3", **variables}
    command = [sys.executable, "-m", "functions.train.job"]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def leases(store: CloudStore) -> list[Lease]:
    return [decode(store.read(info.name).data, Lease, info.name) for info in store.list(layout.LEASES)]


def ends(store: CloudStore) -> list[str]:
    return [decode(store.read(info.name).data, Attempt, info.name).status for info in store.list(layout.ATTEMPTS)]


def test_a_task_that_the_platform_ends_gives_its_lease_back_and_the_next_try_trains(
    store: CloudStore, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    first = started(empty, TRAIN_JOBS="2")
    deadline = time.monotonic() + PATIENCE
    while not any(lease.progress for lease in leases(store)):
        assert first.poll() is None, "the task ended by itself"
        assert time.monotonic() < deadline, "no search began"
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 1
    require_nobody_left(first.pid)
    assert ends(store) == ["later"]
    (lease,) = leases(store)
    assert lease.expires_at <= utc_now()

    second = started(empty, TRAIN_JOBS="1", CLOUD_RUN_TASK_ATTEMPT="1")
    assert second.wait(PATIENCE) == 0
    assert ends(store) == ["later", "trained"]
    assert list(empty.iterdir()) == []
