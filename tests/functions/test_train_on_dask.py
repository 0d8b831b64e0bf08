"""The search on a Dask cluster of processes of their own: the same leaderboard, also where a worker is killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.train import code
from functions.train.search import remote, workers
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.processes import Limit
from functions.train.search.remote import BUNDLES_PER_WORKER, SHARED_BYTES, RemoteWorkers, bundles
from functions.train.search.search import SearchPlan, search
from functions.train.search.workers import DASK, Workers
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import SearchSettings
from shared.dataset import TuningSpec
from shared.errors import SettingsError, TransientError
from tests.dask_cluster import Cluster, dask_cluster, kill
from tests.tools import free_port
from tests.unit.train.test_split_and_search import COLUMNS, table

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # distributed warns of its own sockets
TUNING = TuningSpec(folds=2, random_iterations=4)
ZOO = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge", "KNN", "DecisionTree", "RandomForest")]
LIMIT: Limit[Any, Any] = Limit(lambda _task: 60.0, lambda task, _seconds, late: ("lost", task, late))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with dask_cluster(tmp_path) as started:
        yield started


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)  # so that even this little work goes to the cluster


def lengths(task: tuple[np.ndarray[Any, Any], int]) -> tuple[int, float]:
    return task[1], float(task[0].sum())


def require_rows_sent_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = np.ones(SHARED_BYTES), np.ones(3)
    sent: list[int] = []
    pickled = remote._pickled

    def counted(value: Any, key: Any) -> bytes:
        found = pickled(value, key)
        sent.append(len(found))
        return found

    monkeypatch.setattr(remote, "_pickled", counted)
    tasks = [(large if number % 2 else small, number) for number in range(40)]
    elsewhere = RemoteWorkers(address, int)
    try:
        found = dict(elsewhere.results(lengths, tasks, [0.01] * 40))
    finally:
        elsewhere.close()
    assert found == {number: (number, SHARED_BYTES if number % 2 else 3) for number in range(40)}
    assert max(sent) < SHARED_BYTES < large.nbytes


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LOOK_SECONDS", 1.0)
    monkeypatch.setattr(remote, "LOOKS_ALONE", 2)


def wait_for(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert met()


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


def test_bundles_are_sent_little_and_find_the_same_though_a_worker_is_killed(
    cluster: Cluster, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        require_rows_sent_once(cluster.address, patch)
    expected = leaderboard(workers.HERE)
    sizes: list[int] = []
    results, made = RemoteWorkers.results, bundles

    def watched(self: Any, *arguments: Any) -> Iterator[tuple[int, Any]]:
        for place, result in results(self, *arguments):
            kill(cluster.workers[0])  # while the other bundles of this run are at work
            yield place, result

    def sized(costs: Sequence[float], count: int) -> list[range]:
        found = made(costs, count)
        sizes.extend(map(len, found))
        return found

    monkeypatch.setattr(RemoteWorkers, "results", watched)
    monkeypatch.setattr(remote, "bundles", sized)
    require_same(leaderboard(DASK, cluster.address), expected)
    assert max(sizes) > 1
    assert [one.poll() is None for one in cluster.workers] == [False, True]


def asleep(task: int) -> int:
    time.sleep(0.5)
    return task


def deadly(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_what_kills_its_workers_is_lost_alone(tmp_path: Path, impatient: None) -> None:
    with dask_cluster(tmp_path, 3, {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}) as cluster:
        elsewhere = RemoteWorkers(cluster.address, int)
        try:
            wait_for(lambda: elsewhere.count == 3)
            found = dict(elsewhere.results(deadly, range(24), [0.001] * 24, LIMIT))
            assert found == {**{place: place for place in range(24)}, 3: ("lost", 3, False)}
            for worker in cluster.workers:
                kill(worker)
            with pytest.raises(TransientError, match="no Dask workers at tcp"):
                list(elsewhere.results(asleep, [3], [0.001]))
        finally:
            elsewhere.close()


def test_a_scheduler_that_goes_meanwhile_may_come_again(cluster: Cluster, impatient: None) -> None:
    elsewhere = RemoteWorkers(cluster.address, int)
    results = elsewhere.results(asleep, range(40), [0.5] * 40)
    next(results)
    kill(cluster.scheduler)
    with pytest.raises(TransientError, match="no Dask workers at tcp"):
        list(results)
    elsewhere.close()


def test_workers_of_other_code_are_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an image was moved while machines of the older one still ran."""
    RemoteWorkers(cluster.address, int).close()
    monkeypatch.setattr(code, "code_digest", lambda **_: "another")
    with pytest.raises(TransientError, match=r"[12] Dask workers at tcp.* have other code or libraries than this run"):
        RemoteWorkers(cluster.address, int)


def test_a_cluster_that_is_not_there_may_come(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 1.0)
    with pytest.raises(TransientError, match="no Dask workers at tcp"):
        leaderboard(DASK, f"tcp://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("workers_there", [1, 2, 7])
@pytest.mark.parametrize("cost", [0.0, 0.0001, 0.005, 0.04, 3.0])
@pytest.mark.parametrize("tasks", [0, 1, 9, 400])
def test_bundles_hold_every_task_once_and_leave_no_worker_idle(tasks: int, cost: float, workers_there: int) -> None:
    found = bundles([cost] * tasks, workers_there)
    assert [place for places in found for place in places] == list(range(tasks))
    assert len(found) >= min(tasks, BUNDLES_PER_WORKER * workers_there)
    assert all(len(places) == 1 or len(places) * cost <= remote.BUNDLE_SECONDS + 1e-9 for places in found)


def test_a_long_fit_travels_alone_and_short_ones_behind_it_together() -> None:
    found = bundles([2.0, 0.5] + [0.005] * 400, 2)
    assert found[:2] == [range(1), range(1, 2)]
    assert {len(places) for places in found[2:-1]} <= {19, 20}


def test_the_address_must_be_set_with_the_backend() -> None:
    with pytest.raises(SettingsError, match="DASK_ADDRESS"):
        SearchSettings.from_env({"TRAIN_BACKEND": "dask"})
    found = SearchSettings.from_env({"TRAIN_BACKEND": "dask", "DASK_ADDRESS": "tcp://scheduler:8786"})
    assert (found.backend, found.dask_address) == ("dask", "tcp://scheduler:8786")
