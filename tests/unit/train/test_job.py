"""Training as a job: the exit status that Cloud Run acts on, what is kept of each run, and when a retry begins."""

import pytest

from functions.train import job
from functions.train.inputs import read_inputs
from functions.train.lease import claim
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from shared import layout
from shared.codec import decode
from shared.decisions import Attempt
from shared.errors import StorageUnavailable
from shared.store import MAX_BYTES, Download, Store
from tests.candidates import run_id
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import seeded

SETTINGS = TrainSettings.from_env({"BUCKET": "b", "TRAIN_JOBS": "1"})


def status(store: Store) -> int:
    return job.train(store, NullTracker(), SETTINGS, MODEL_ZOO[:2])


def ends(store: MemoryStore) -> list[str]:
    return [decode(store.read(info.name).data, Attempt, info.name).status for info in store.list(layout.ATTEMPTS)]


class Failing(MemoryStore):
    """A bucket in which no object can be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error
        self.fails = True

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        if self.fails:
            raise self._error
        return super().read(name, generation, max_bytes=max_bytes)


def test_a_run_and_the_same_run_again_are_done() -> None:
    store = seeded()
    assert [status(store), status(store)] == [job.DONE, job.DONE]
    assert sorted(ends(store)) == ["trained", "unchanged"]


def test_a_refused_table_is_not_tried_again() -> None:
    store = seeded()
    spec = store.read("data/dataset.toml")
    wrong = spec.data.replace(b'target = "', b'target = "no ')
    store.write("data/dataset.toml", wrong, if_generation=spec.generation, content_type="text/plain")
    assert status(store) == job.DONE
    assert ends(store) == ["refused"]


@pytest.mark.parametrize(
    ("error", "kept"), [(StorageUnavailable("503"), "later"), (RuntimeError("a fault of ours"), "failed")]
)
def test_what_may_go_well_another_time_is_tried_again(error: Exception, kept: str) -> None:
    store = Failing(error)
    assert status(store) == job.AGAIN
    store.fails = False
    assert ends(store) == [kept]


def test_a_run_that_is_under_way_elsewhere_is_left_alone() -> None:
    store = seeded()
    claim(store, read_inputs(store, "b", SETTINGS.dataset).fingerprint, run_id(1), seconds=60)
    assert status(store) == job.DONE
    assert ends(store) == ["in_progress"]


def test_wrong_settings_are_a_failure_that_names_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main({}) == job.AGAIN
    assert "BUCKET is not set" in capsys.readouterr().err


def test_a_retry_waits_until_the_lease_of_a_killed_try_has_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(job, "CloudStore", lambda _: seeded())
    environ = {"BUCKET": "b", "LEASE_SECONDS": "60", "CLOUD_RUN_TASK_ATTEMPT": "1"}

    def wait(seconds: float) -> None:
        waited.append(seconds)
        raise KeyboardInterrupt  # nothing is to be trained here

    assert job.main(environ, wait) == job.AGAIN
    assert waited[0] > SETTINGS.lease_seconds
    assert job.main({**environ, "CLOUD_RUN_TASK_ATTEMPT": "x"}, wait) == job.AGAIN
    assert len(waited) == 1
