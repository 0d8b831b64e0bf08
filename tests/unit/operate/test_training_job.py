"""`make retrain` where training is a Cloud Run job: it waits as long as the job may take, no longer than the platform
lets it run."""

import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.auth.exceptions import RefreshError

from infra.operate import retrain
from infra.operate.training import Waiting
from infra.operate.training_job import JUDGED_SECONDS, TrainingJob, called_by
from shared.codec import encode
from tests.http_receiver import Scripted
from tests.memory_store import MemoryStore
from tests.unit.operate.test_training import ended

NAME = "projects/p/locations/europe-west1/jobs/tabular-train"
WEEKLY = f"{NAME}-weekly"
RUNS = f"https://run.googleapis.com/v2/{NAME}:run"
OLDER = {"name": f"{NAME}/executions/old", "completionStatus": "EXECUTION_FAILED"}


class CloudRun(http.server.ThreadingHTTPServer):
    """What Cloud Run's API answers about the one job; None: 403."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.execution: dict[str, str] | None = OLDER
        self.template: dict[str, Any] | None = {"timeout": "36000s", "maxRetries": 2}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def began(self, status: str) -> None:
        self.execution = {"name": f"{NAME}/executions/new", "completionStatus": f"EXECUTION_{status}"}


class Answering(Scripted):
    server: CloudRun

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        known = self.server.template is not None
        answer = {"name": NAME, "template": {"template": self.server.template}}
        if self.server.execution:
            answer["latestCreatedExecution"] = self.server.execution
        self.answer(200 if known else 403, json.dumps(answer).encode())


@pytest.fixture
def api() -> Iterator[CloudRun]:
    with CloudRun() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def job_of(api: CloudRun) -> TrainingJob:
    return TrainingJob(NAME, requests.Session(), api.url)


def test_a_call_may_take_the_job_s_own_time_for_each_of_its_tries(api: CloudRun) -> None:
    assert job_of(api).seconds == 3 * 36_000 + JUDGED_SECONDS
    assert api.asked == [f"/v2/{NAME}"]
    api.template = {"timeout": "60s"}  # zero retries are left out
    assert job_of(api).seconds == 60 + JUDGED_SECONDS


@pytest.mark.parametrize(
    ("status", "said"),
    [("FAILED", "failed"), ("CANCELLED", "was cancelled"), ("RUNNING", ""), ("PENDING", ""), ("SUCCEEDED", "")],
)
def test_an_execution_that_ended_badly_is_told(api: CloudRun, status: str, said: str) -> None:
    job = job_of(api)
    assert job.ended_badly() == "", "the older one"
    api.began(status)
    assert job.ended_badly() == (f"execution new of the training job {said}; see its log" if said else "")


def test_an_api_that_does_not_answer_says_nothing_of_the_run(api: CloudRun) -> None:
    job = job_of(api)
    api.began("FAILED")
    api.template = None
    assert job.ended_badly() == ""


class SignedOut:
    def get(self, url: str, *, timeout: float) -> Any:
        raise RefreshError("Reauthentication is needed")


def test_who_is_signed_out_or_may_not_see_the_job_is_told_by_one_kind_of_error(api: CloudRun) -> None:
    with pytest.raises(OSError, match="Reauthentication"):
        TrainingJob(NAME, SignedOut())
    api.template = None
    with pytest.raises(OSError, match="403"):
        job_of(api)


def waiting(api: CloudRun, store: MemoryStore, said: list[str]) -> Waiting:
    ticks = itertools.count(step=10)
    job = job_of(api)
    return Waiting(store, job.seconds, said.append, clock=lambda: float(next(ticks)), ended_badly=job.ended_badly)


def test_a_run_that_the_platform_ended_without_a_word_ends_the_wait(api: CloudRun, no_pause: None) -> None:
    found = waiting(api, MemoryStore(), [])
    api.began("FAILED")
    verdict = found.verdict()
    assert (verdict.outcome, verdict.reasons) == ("failed", ("execution new of the training job failed; see its log",))
    assert retrain.EXIT_CODES[verdict.outcome] == 1


def test_the_word_that_a_run_left_goes_before_what_the_platform_says(api: CloudRun, no_pause: None) -> None:
    store = MemoryStore()
    found = waiting(api, store, [])
    api.began("FAILED")
    key, attempt = ended("failed", None, "out of disk")
    store.write(key, encode(attempt), if_generation=None, content_type="application/json")
    assert found.verdict().reasons == ("out of disk",)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.operate.training.POLL_SECONDS", 0)


class Scheduler:
    """As the client of Cloud Scheduler answers."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def get_job(self, *, name: str, timeout: float) -> Any:
        from google.cloud.scheduler_v1 import HttpTarget, Job

        assert name == WEEKLY
        return Job(name=name, http_target=HttpTarget(uri=self.uri))


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        (RUNS, NAME),
        ("https://tabular-train-abc-ew.a.run.app", None),
        (f"https://elsewhere.example/v2/{NAME}:run", None),
        ("http://127.0.0.1:8081/", None),
    ],
)
def test_the_weekly_job_s_target_tells_a_job_from_a_function(uri: str, found: str | None) -> None:
    assert called_by(Scheduler(uri), WEEKLY) == found
