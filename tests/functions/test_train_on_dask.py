"""The search on a Dask cluster of processes of their own: the same leaderboard, also where a worker is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from functions.train.search import workers
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.remote import RemoteWorkers
from functions.train.search.search import SearchPlan, search
from functions.train.search.workers import DASK, Workers
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import SearchSettings
from shared.dataset import TuningSpec
from shared.errors import SettingsError, TransientError
from tests.infra.container import ROOT, free_port
from tests.unit.train.test_split_and_search import COLUMNS, table

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # distributed warns of its own sockets
TUNING = TuningSpec(folds=2, random_iterations=4)
ZOO = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge", "KNN", "DecisionTree", "RandomForest")]


@contextmanager
def process(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(30)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[Any]]]:
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path))
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    worker = ("distributed.cli.dask_worker", address, *options)
    with process(*scheduler), process(*worker) as one, process(*worker) as other:
        yield address, [one, other]


def leaderboard(backend: str, address: str | None = None, jobs: int = 1) -> list[list[tuple[str, str, float]]]:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy() + 10, COLUMNS, TUNING.folds, 42)
    with Workers(jobs, backend, address).pool(partial(load, ZOO)) as pool:
        found = search(ZOO, folds, SearchPlan(TUNING, 42, pool, full=True))
    return [[(c.stage, str(sorted(c.params.items())), c.mean) for c in one.candidates] for one in found]


def require_same(found: list[list[tuple[str, str, float]]], expected: list[list[tuple[str, str, float]]]) -> None:
    assert len(expected) == len(ZOO)
    for one, other in zip(found, expected, strict=True):
        assert [entry[:2] for entry in one] == [entry[:2] for entry in other]
        assert [entry[2] for entry in one] == pytest.approx([entry[2] for entry in other], rel=0, abs=1e-12)


def test_workers_elsewhere_find_the_same_though_one_is_killed(
    cluster: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = leaderboard(workers.HERE)
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)  # so that even this little work goes to the cluster
    address, processes = cluster
    killed = threading.Event()

    def kill() -> None:
        os.killpg(processes[0].pid, signal.SIGKILL)
        killed.set()

    results = RemoteWorkers.results

    def counted(self: Any, work: Any, tasks: Any) -> Any:
        for place, result in results(self, work, tasks):
            if not killed.is_set():
                kill()  # while the others of this run are at work
            yield place, result

    monkeypatch.setattr(RemoteWorkers, "results", counted)
    require_same(leaderboard(DASK, address), expected)
    assert killed.is_set()
    deadline = time.monotonic() + 30
    while processes[0].poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [one.poll() is None for one in processes] == [False, True]


def test_a_cluster_that_is_not_there_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)
    monkeypatch.setattr("functions.train.search.remote.CONNECT_SECONDS", 1.0)
    with pytest.raises(TransientError, match="no Dask workers at tcp"):
        leaderboard(DASK, f"tcp://127.0.0.1:{free_port()}")


def test_the_address_must_be_set_with_the_backend() -> None:
    with pytest.raises(SettingsError, match="DASK_ADDRESS"):
        SearchSettings.from_env({"TRAIN_BACKEND": "dask"})
    found = SearchSettings.from_env({"TRAIN_BACKEND": "dask", "DASK_ADDRESS": "tcp://scheduler:8786"})
    assert (found.backend, found.dask_address) == ("dask", "tcp://scheduler:8786")
