"""The local Cloud Scheduler, driven by google-cloud-scheduler's own client, against real HTTP targets."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.auth.transport.requests import Request as AuthRequest
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1 import HttpMethod, HttpTarget, Job, OidcToken, RetryConfig
from google.oauth2 import id_token
from google.protobuf import duration_pb2, field_mask_pb2

from infra.local.push import push
from infra.local.scheduler import cron
from infra.local.scheduler.executions import Executions
from infra.local.scheduler.jobs import JobStore
from infra.local.tokens import KEY_FILE, SigningKey, UnusableKey
from infra.operate.retrain import client as scheduler_client
from tests.http_receiver import WAIT, Receiver, Request, wait_until
from tests.tools import free_port

ROOT = Path(__file__).resolve().parents[2]
PARENT = "projects/local/locations/europe-west1"
ELSEWHERE = "projects/local/locations/europe-west10"
NAME = f"{PARENT}/jobs/train-weekly"
EMAIL = "scheduler@local.iam.gserviceaccount.com"
WEEKLY = "0 7 * * 1"
EVERY_SECOND = "* * * * * *"


def scheduled(request: Request) -> datetime:
    return datetime.fromisoformat(request.headers["x-cloudscheduler-scheduletime"])


class RunningScheduler:
    """`python -m infra.local.scheduler`, its log, and the real client connected to it."""

    def __init__(self, state: Path, options: tuple[str, ...]) -> None:
        self.log = state / f"scheduler-{time.monotonic_ns()}.log"
        self.log_begins = 0
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "infra.local.scheduler", "--state", str(state)),
                    *("--port", "0", "--certs-port", "0", *options),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: bool(self.entries("scheduler started")), "start")
        started = self.entries("scheduler started")[0]
        self.host = f"127.0.0.1:{started['port']}"
        self.certs_url = f"http://127.0.0.1:{started['certs_port']}/certs"
        self.client = scheduler_client(self.host)

    def entries(self, message: str) -> list[dict[str, Any]]:
        assert self.process.poll() is None, self.log.read_text()
        whole = [line for line in self.logged().splitlines(keepends=True) if line[-1] == "\n"]
        return [entry for entry in map(json.loads, whole) if entry["message"] == message]

    def logged(self) -> str:
        return self.log.read_bytes()[self.log_begins :].decode("utf-8")

    def kill(self) -> None:
        self.client.transport.close()
        self.process.kill()
        self.process.wait(WAIT)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)

    def wait_for_status(self, code: int, name: str = NAME) -> Job:
        """The job, once its last attempt ended with that code."""

        def ended() -> bool:
            job = self.client.get_job(name=name)
            return bool(Job.pb(job).HasField("status") and job.status.code == code)

        wait_until(ended, f"status {code}")
        return self.client.get_job(name=name)


@contextmanager
def scheduler(state: Path, *options: str) -> Iterator[RunningScheduler]:
    running = RunningScheduler(state, options)
    try:
        yield running
    finally:
        running.kill()


Targets = Callable[..., Receiver]


@pytest.fixture
def target() -> Iterator[Targets]:
    """Makes targets, and closes them."""
    with ExitStack() as stack:

        def make(answer: Callable[[Request], int] = lambda _: 200) -> Receiver:
            made = Receiver(answer, "/train")
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningScheduler]:
    """One scheduler for the tests that do not end it: starting takes it a second."""
    with scheduler(tmp_path_factory.mktemp("scheduler")) as started:
        yield started


@pytest.fixture
def running(service: RunningScheduler) -> Iterator[RunningScheduler]:
    """The scheduler without jobs, and with its log from here on."""
    service.log_begins = service.log.stat().st_size
    yield service
    for parent in (PARENT, ELSEWHERE):
        for job in service.client.list_jobs(parent=parent):
            service.client.delete_job(name=job.name)


def weekly(uri: str, **fields: Any) -> Job:
    """The training job as it is deployed."""
    target = HttpTarget(
        uri=uri,
        http_method=HttpMethod.POST,
        headers={"Content-Type": "application/json"},
        body=b"{}",
        oidc_token=OidcToken(service_account_email=EMAIL, audience="https://train.example"),
    )
    return Job(**{"name": NAME, "schedule": WEEKLY, "time_zone": "Etc/UTC", "http_target": target, **fields})


def quick_retries(count: int, minimum: float = 0.2) -> RetryConfig:
    return RetryConfig(
        retry_count=count,
        min_backoff_duration=timedelta(seconds=minimum),
        max_backoff_duration=timedelta(seconds=10),
    )


def test_the_client_creates_gets_lists_runs_pauses_resumes_and_deletes(
    running: RunningScheduler, target: Targets
) -> None:
    client, received = running.client, target()
    made = client.create_job(parent=PARENT, job=weekly(received.url))
    assert made.name == NAME
    assert made.state == Job.State.ENABLED
    assert made.schedule_time.weekday() == 0
    assert (made.schedule_time.hour, made.schedule_time.minute) == (7, 0)
    assert timedelta(0) < made.schedule_time - datetime.now(UTC) <= timedelta(days=7)
    assert made.attempt_deadline == timedelta(minutes=3)
    assert made.retry_config.min_backoff_duration == timedelta(seconds=5)
    assert made.retry_config.max_backoff_duration == timedelta(hours=1)
    assert made.retry_config.max_doublings == 5
    assert client.get_job(name=NAME) == made
    assert list(client.list_jobs(parent=PARENT)) == [made]

    client.run_job(name=NAME)
    received.wait_for(1)
    done = running.wait_for_status(0)
    assert datetime.now(UTC) - done.last_attempt_time < timedelta(seconds=WAIT)
    assert done.schedule_time == made.schedule_time

    assert client.pause_job(name=NAME).state == Job.State.PAUSED
    with pytest.raises(exceptions.FailedPrecondition, match="must be ENABLED"):
        client.pause_job(name=NAME)
    assert client.resume_job(name=NAME).schedule_time == made.schedule_time
    with pytest.raises(exceptions.FailedPrecondition, match="must be PAUSED"):
        client.resume_job(name=NAME)

    client.delete_job(name=NAME)
    assert list(client.list_jobs(parent=PARENT)) == []


@pytest.mark.parametrize("method", ["get_job", "run_job", "pause_job", "resume_job", "delete_job"])
def test_a_job_that_does_not_exist_is_not_found(running: RunningScheduler, method: str) -> None:
    with pytest.raises(exceptions.NotFound, match=f"Job not found: {NAME}"):
        getattr(running.client, method)(name=NAME)


def test_a_name_is_taken_once_and_one_is_made_up_where_none_is_given(
    running: RunningScheduler, target: Targets
) -> None:
    job = weekly(target().url)
    running.client.create_job(parent=PARENT, job=job)
    with pytest.raises(exceptions.AlreadyExists, match="Job already exists"):
        running.client.create_job(parent=PARENT, job=job)
    job.name = ""
    unnamed = running.client.create_job(parent=PARENT, job=job)
    assert re.fullmatch(rf"{PARENT}/jobs/\w+", unnamed.name)


def test_a_list_comes_in_pages_and_of_one_location(running: RunningScheduler, target: Targets) -> None:
    url = target().url
    names = [f"{PARENT}/jobs/job-{number}" for number in range(5)]
    for name in names:
        running.client.create_job(parent=PARENT, job=weekly(url, name=name))
    running.client.create_job(parent=ELSEWHERE, job=weekly(url, name=f"{ELSEWHERE}/jobs/job-9"))
    pager = running.client.list_jobs(request=scheduler_v1.ListJobsRequest(parent=PARENT, page_size=2))
    pages = [[job.name for job in page.jobs] for page in pager.pages]
    assert pages == [names[:2], names[2:4], names[4:]]


def test_an_update_replaces_what_it_names_and_keeps_the_rest(running: RunningScheduler, target: Targets) -> None:
    client, url = running.client, target().url
    client.create_job(parent=PARENT, job=weekly(url, description="before"))
    mask = field_mask_pb2.FieldMask(paths=["schedule", "retry_config.retry_count"])
    job = client.update_job(job=Job(name=NAME, schedule="30 8 * * *", retry_config=quick_retries(3)), update_mask=mask)
    assert (job.schedule, job.description, job.http_target.uri) == ("30 8 * * *", "before", url)
    assert (job.schedule_time.hour, job.schedule_time.minute) == (8, 30)
    assert (job.retry_config.retry_count, job.retry_config.min_backoff_duration) == (3, timedelta(seconds=5))
    assert client.update_job(job=weekly(url, description="after")).description == "after"
    assert client.get_job(name=NAME).schedule == WEEKLY
    with pytest.raises(exceptions.InvalidArgument, match="update_mask may name"):
        client.update_job(job=weekly(url), update_mask=field_mask_pb2.FieldMask(paths=["state"]))
    with pytest.raises(exceptions.NotFound):
        client.update_job(job=weekly(url, name=f"{PARENT}/jobs/other"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"schedule": "every day"}, "five fields"),
    ({"schedule": ""}, "five fields"),
    ({"schedule": EVERY_SECOND}, "five fields"),
    ({"schedule": "61 * * * *"}, "not unix-cron"),
    ({"schedule": "R * * * *"}, "field 'R' is not understood"),
    ({"schedule": "0 0 30 2 *"}, "never fires"),
    ({"time_zone": "Mars/Olympus"}, "time_zone must be a name of the tz database"),
    ({"time_zone": "../etc/passwd"}, "time_zone must be a name of the tz database"),
    ({"name": f"{PARENT}/jobs/a b"}, "job.name must be"),
    ({"name": "projects/other/locations/x/jobs/a"}, "job.name must be"),
    ({"attempt_deadline": timedelta(seconds=14)}, "attempt_deadline must be from 15 s to 1800 s"),
    ({"attempt_deadline": timedelta(seconds=1801)}, "attempt_deadline must be from 15 s to 1800 s"),
    ({"retry_config": RetryConfig(retry_count=6)}, "retry_count must be from 0 to 5"),
    ({"retry_config": RetryConfig(min_backoff_duration=timedelta(hours=2))}, "min_backoff_duration"),
    ({"http_target": HttpTarget(uri="train")}, "uri must begin with http://"),
    ({"http_target": HttpTarget(uri="http://x", http_method=HttpMethod.GET, body=b"{}")}, "body is allowed with POST"),
    ({"http_target": HttpTarget(uri="http://x", oidc_token=OidcToken())}, "service_account_email must be set"),
]


def test_a_job_that_the_cloud_would_refuse_is_refused_with_a_sentence(running: RunningScheduler) -> None:
    for fields, sentence in REFUSED:
        with pytest.raises(exceptions.InvalidArgument, match=re.escape(sentence)):
            running.client.create_job(parent=PARENT, job=weekly("http://127.0.0.1:9", **fields))
    with pytest.raises(exceptions.InvalidArgument, match="parent must be"):
        running.client.create_job(parent="projects/local", job=weekly("http://127.0.0.1:9"))
    assert list(running.client.list_jobs(parent=PARENT)) == []


def test_other_kinds_of_target_are_refused_as_not_implemented(running: RunningScheduler) -> None:
    job = Job(name=NAME, schedule=WEEKLY, pubsub_target=scheduler_v1.PubsubTarget(topic_name="t", data=b"x"))
    with pytest.raises(exceptions.MethodNotImplemented, match="http_target with oidc_token only"):
        running.client.create_job(parent=PARENT, job=job)


def test_a_request_carries_what_cloud_scheduler_sends(running: RunningScheduler, target: Targets) -> None:
    received = target()
    job = weekly(received.url)
    job.http_target.headers.update({"X-Own": "1", "User-Agent": "mine", "X-CloudScheduler-JobName": "mine"})
    running.client.create_job(parent=PARENT, job=job)
    running.client.run_job(name=NAME)
    request = received.wait_for(1)[0]
    assert (request.method, request.path, request.body) == ("POST", "/train", b"{}")
    assert request.headers["user-agent"] == "Google-Cloud-Scheduler"
    assert request.headers["x-cloudscheduler"] == "true"
    assert request.headers["x-cloudscheduler-jobname"] == "train-weekly"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-own"] == "1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", request.headers["x-cloudscheduler-scheduletime"])
    assert abs(datetime.now(UTC) - scheduled(request)) < timedelta(seconds=WAIT)


def test_a_body_without_a_content_type_is_an_octet_stream_and_no_token_is_sent_unasked(
    running: RunningScheduler, target: Targets
) -> None:
    received = target()
    plain = HttpTarget(uri=received.url, http_method=HttpMethod.PUT, body=b"x")
    running.client.create_job(parent=PARENT, job=weekly(received.url, http_target=plain))
    running.client.run_job(name=NAME)
    request = received.wait_for(1)[0]
    assert request.method == "PUT"
    assert request.headers["content-type"] == "application/octet-stream"
    assert "authorization" not in request.headers


def test_googles_verifier_accepts_the_token_for_its_audience_only(running: RunningScheduler, target: Targets) -> None:
    received = target()
    running.client.create_job(parent=PARENT, job=weekly(received.url))
    running.client.run_job(name=NAME)
    token = received.wait_for(1)[0].headers["authorization"].removeprefix("Bearer ")
    with requests.Session() as session:
        fetch = AuthRequest(session)
        claims = id_token.verify_token(token, fetch, "https://train.example", certs_url=running.certs_url)
        with pytest.raises(ValueError, match="wrong audience"):
            id_token.verify_token(token, fetch, "https://other.example", certs_url=running.certs_url)
        header, payload, signature = token.split(".")
        forged = ".".join([header, payload, signature[::-1]])
        with pytest.raises(ValueError, match="signature"):
            id_token.verify_token(forged, fetch, "https://train.example", certs_url=running.certs_url)
        published = session.get(running.certs_url, timeout=WAIT)
        assert session.get(running.certs_url.replace("/certs", "/private"), timeout=WAIT).status_code == 404
    assert claims["iss"] == "https://accounts.google.com"
    assert (claims["email"], claims["email_verified"]) == (EMAIL, True)
    assert claims["exp"] - claims["iat"] == 3600
    assert published.headers["Content-Type"].startswith("application/json")
    (pem,) = published.json().values()
    assert pem.startswith("-----BEGIN CERTIFICATE-----")


def test_without_an_audience_the_token_is_for_the_uri(running: RunningScheduler, target: Targets) -> None:
    received = target()
    job = weekly(received.url)
    job.http_target.oidc_token.audience = ""
    running.client.create_job(parent=PARENT, job=job)
    running.client.run_job(name=NAME)
    token = received.wait_for(1)[0].headers["authorization"].removeprefix("Bearer ")
    with requests.Session() as session:
        id_token.verify_token(token, AuthRequest(session), received.url, certs_url=running.certs_url)


def test_failures_are_retried_with_growing_pauses_one_at_a_time(running: RunningScheduler, target: Targets) -> None:
    received = target(lambda request: 503 if request.number < 4 else 200)
    running.client.create_job(parent=PARENT, job=weekly(received.url, retry_config=quick_retries(5, 0.3)))
    running.client.run_job(name=NAME)
    first, second, third, fourth = received.wait_for(4)
    running.wait_for_status(0)
    assert second.at - first.at >= 0.3
    assert third.at - second.at >= 0.6
    assert fourth.at - third.at >= 1.2
    assert received.most_at_once == 1
    times = {request.headers["x-cloudscheduler-scheduletime"] for request in received.requests}
    assert len(times) == 1, "a retry belongs to the same execution"
    logged = [(entry["attempt"], entry["status"]) for entry in running.entries("attempt failed")]
    assert logged == [(1, 503), (2, 503), (3, 503)]
    assert running.entries("attempt finished")[0]["attempt"] == 4
    time.sleep(0.5)
    assert len(received.requests) == 4


def test_retries_end_at_their_count_and_the_job_keeps_the_failure(running: RunningScheduler, target: Targets) -> None:
    received = target(lambda _: 404)
    made = running.client.create_job(parent=PARENT, job=weekly(received.url, retry_config=quick_retries(2, 0.1)))
    running.client.run_job(name=NAME)
    received.wait_for(3)
    job = running.wait_for_status(5)
    time.sleep(1.0)
    assert len(received.requests) == 3
    assert (job.state, running.client.get_job(name=NAME).schedule_time) == (Job.State.ENABLED, made.schedule_time)


def test_a_pending_retry_is_the_jobs_next_time_and_a_deleted_job_has_none(
    running: RunningScheduler, target: Targets
) -> None:
    received = target(lambda _: 500)
    pause = 8.0  # long enough for a busy machine to look at the job, and to delete it, before it ends
    running.client.create_job(parent=PARENT, job=weekly(received.url, retry_config=quick_retries(1, pause)))
    running.client.run_job(name=NAME)
    running.wait_for_status(13)

    def until_the_retry() -> float:
        return float((running.client.get_job(name=NAME).schedule_time - datetime.now(UTC)).total_seconds())

    wait_until(lambda: until_the_retry() < pause + 1, "retry time")
    left = until_the_retry()
    running.client.delete_job(name=NAME)
    time.sleep(left + 0.5)
    assert len(received.requests) == 1


def test_without_retries_a_failure_is_final_and_an_unreachable_target_is_unavailable(
    running: RunningScheduler,
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    running.client.create_job(parent=PARENT, job=weekly(url))
    running.client.run_job(name=NAME)
    running.wait_for_status(14)
    time.sleep(0.3)
    assert [entry["status"] for entry in running.entries("attempt failed")] == ["unreachable"]


def test_the_attempt_deadline_ends_a_silent_attempt(tmp_path: Path, target: Targets) -> None:
    """In this process: through the service the shortest deadline is 15 s."""
    release = threading.Event()
    received = target(lambda request: 200 if request.number > 1 or release.wait(WAIT) else 500)
    job = weekly(received.url, retry_config=quick_retries(1, 0.1))
    job.attempt_deadline = timedelta(seconds=0.5)
    job.state = Job.State.ENABLED
    job.schedule_time = datetime(2999, 1, 1, tzinfo=UTC)
    Job.pb(job).retry_config.max_doublings = 5
    store = JobStore(tmp_path / "scheduler.sqlite")
    store.add(job)
    began = time.monotonic()
    Executions(store, SigningKey.of(tmp_path)).start(NAME, datetime.now(UTC), forced=True)
    received.wait_for(2)
    release.set()
    assert 0.5 <= received.requests[1].at - began < 10.0
    wait_until(lambda: Job.pb(store.get(NAME)).status.code == 0, "success")
    assert push(received.url, {}, b"", deadline=5.0).acknowledged


def test_cron_fires_on_time_and_never_beside_an_execution_under_way(tmp_path: Path, target: Targets) -> None:
    def slow(_: Request) -> int:
        time.sleep(1.5)
        return 200

    received = target(slow)
    with scheduler(tmp_path, "--allow-seconds") as running:
        running.client.create_job(parent=PARENT, job=weekly(received.url, schedule=EVERY_SECOND))
        requests_ = received.wait_for(3)
    gaps = [later.at - earlier.at for earlier, later in pairwise(requests_)]
    assert all(gap >= 1.5 for gap in gaps)
    assert received.most_at_once == 1
    times = [request.headers["x-cloudscheduler-scheduletime"] for request in requests_]
    assert times == sorted(set(times))


def test_a_paused_job_does_not_fire_but_can_be_run(tmp_path: Path, target: Targets) -> None:
    received = target()
    with scheduler(tmp_path, "--allow-seconds") as running:
        running.client.create_job(parent=PARENT, job=weekly(received.url, schedule=EVERY_SECOND))
        received.wait_for(1)
        running.client.pause_job(name=NAME)
        time.sleep(0.5)
        count = len(received.requests)
        time.sleep(2.2)
        assert len(received.requests) == count
        running.client.run_job(name=NAME)
        received.wait_for(count + 1)
        assert running.client.get_job(name=NAME).state == Job.State.PAUSED
        running.client.resume_job(name=NAME)
        received.wait_for(count + 2)


def test_the_next_scheduled_start_ends_the_retries_of_the_last(tmp_path: Path, target: Targets) -> None:
    received = target(lambda _: 500)
    with scheduler(tmp_path, "--allow-seconds") as running:
        retry = quick_retries(5, 5.0)
        running.client.create_job(parent=PARENT, job=weekly(received.url, schedule=EVERY_SECOND, retry_config=retry))
        received.wait_for(3)
        attempts = [entry["attempt"] for entry in running.entries("attempt failed")]
    assert set(attempts) == {1}


def test_jobs_and_key_survive_a_kill_and_missed_ticks_are_not_made_up_for(tmp_path: Path, target: Targets) -> None:
    received = target()
    with scheduler(tmp_path, "--allow-seconds") as running:
        running.client.create_job(parent=PARENT, job=weekly(received.url))
        running.client.create_job(
            parent=PARENT, job=weekly(received.url, name=f"{PARENT}/jobs/often", schedule="* * * * * */3")
        )
        running.client.create_job(parent=PARENT, job=weekly(received.url, name=f"{PARENT}/jobs/paused"))
        running.client.pause_job(name=f"{PARENT}/jobs/paused")
        before = {job.name: job for job in running.client.list_jobs(parent=PARENT)}
        keys = requests.get(running.certs_url, timeout=WAIT).json().keys()
        running.process.kill()
        assert running.process.wait(WAIT) == -signal.SIGKILL
    fired = len(received.requests)
    time.sleep(4.0)
    back = datetime.now(UTC)
    with scheduler(tmp_path, "--allow-seconds") as running:
        back = datetime.now(UTC)
        received.wait_for(fired + 2)
        for name in (NAME, f"{PARENT}/jobs/paused"):
            assert running.client.get_job(name=name) == before[name]
        assert requests.get(running.certs_url, timeout=WAIT).json().keys() == keys
    first, second = received.requests[fired : fired + 2]
    assert scheduled(first) >= back, "a missed tick was made up for"
    gap = scheduled(second) - scheduled(first)  # a busy machine may miss a tick once more
    assert gap > timedelta(0) == gap % timedelta(seconds=3)


def test_a_schedule_that_is_no_longer_understood_disables_its_job(tmp_path: Path, target: Targets) -> None:
    received = target()
    with scheduler(tmp_path, "--allow-seconds") as running:
        running.client.create_job(parent=PARENT, job=weekly(received.url, schedule=EVERY_SECOND))
    with scheduler(tmp_path) as running:
        count = len(received.requests)
        assert running.client.get_job(name=NAME).state == Job.State.DISABLED
        time.sleep(1.5)
        assert len(received.requests) == count


def test_sigterm_ends_the_scheduler_cleanly_with_an_execution_under_way(tmp_path: Path, target: Targets) -> None:
    release = threading.Event()
    received = target(lambda _: 200 if release.wait(WAIT) else 500)
    with scheduler(tmp_path) as running:
        running.client.create_job(parent=PARENT, job=weekly(received.url))
        running.client.run_job(name=NAME)
        received.wait_for(1)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < WAIT / 2
        assert "Traceback" not in running.logged()
    release.set()


def test_the_log_holds_one_line_an_attempt_and_no_token(running: RunningScheduler, target: Targets) -> None:
    received = target()
    running.client.create_job(parent=PARENT, job=weekly(received.url))
    running.client.run_job(name=NAME)
    token = received.wait_for(1)[0].headers["authorization"].removeprefix("Bearer ")
    running.wait_for_status(0)
    wait_until(lambda: len(running.entries("attempt finished")) == 1, "log line")
    (entry,) = running.entries("attempt finished")
    assert (entry["job"], entry["status"], entry["attempt"]) == (NAME, 200, 1)
    assert token not in running.logged()
    assert len(running.logged().splitlines()) == 1


def test_the_key_is_private_made_once_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(SigningKey.of(tmp_path).id)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(UnusableKey, match="delete it"):
        SigningKey.of(tmp_path)


@pytest.mark.parametrize(
    ("schedule", "time_zone", "after", "expected"),
    [
        (WEEKLY, "Etc/UTC", "2026-01-05T06:59:59", "2026-01-05T07:00:00"),
        (WEEKLY, "", "2026-01-05T07:00:00", "2026-01-12T07:00:00"),
        (WEEKLY, "Europe/Berlin", "2026-01-05T00:00:00", "2026-01-05T06:00:00"),
        (WEEKLY, "Europe/Berlin", "2026-07-06T00:00:00", "2026-07-06T05:00:00"),
        ("*/15 9-17 * * MON-FRI", "utc", "2026-01-09T17:46:00", "2026-01-12T09:00:00"),
        ("0 0 1,15 * *", "America/New_York", "2026-03-02T00:00:00", "2026-03-15T04:00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 13 * 5", "UTC", "2026-03-01T00:00:00", "2026-03-06T00:00:00"),
    ],
)
def test_the_next_time_is_the_crons_in_its_time_zone(schedule: str, time_zone: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert cron.next_fire(schedule, time_zone, moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_the_clock_change_neither_loses_nor_repeats_a_daily_job() -> None:
    moment, fires = datetime(2026, 3, 27, 12, tzinfo=UTC), []
    for _ in range(4):
        moment = cron.next_fire("30 4 * * *", "Europe/Berlin", moment)
        fires.append(moment)
    assert [fire.strftime("%d %H:%M") for fire in fires] == ["28 03:30", "29 02:30", "30 02:30", "31 02:30"]


def test_pauses_are_those_of_the_documentation() -> None:
    assert [cron.pause(retry, 10.0, 300.0, 3) for retry in range(8)] == [10, 20, 40, 80, 160, 240, 300, 300]


@pytest.mark.parametrize(
    ("retries", "elapsed", "count", "duration", "allowed"),
    [
        (0, 0.0, 0, 0.0, False),
        (1, 999.0, 2, 0.0, True),
        (2, 0.0, 2, 0.0, False),
        (50, 9.0, 0, 10.0, True),
        (50, 10.0, 0, 10.0, False),
        (5, 9.0, 5, 10.0, True),
        (4, 11.0, 5, 10.0, True),
        (5, 11.0, 5, 10.0, False),
    ],
)
def test_retries_go_on_until_their_limits_are_reached(
    retries: int, elapsed: float, count: int, duration: float, allowed: bool
) -> None:
    assert cron.retry_allowed(retries, elapsed, count=count, duration=duration) is allowed


def command(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("JOB", "SCHEDULER_HOST")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT,
    )


def test_retrain_runs_the_job_now(running: RunningScheduler, target: Targets) -> None:
    received = target()
    running.client.create_job(parent=PARENT, job=weekly(received.url))
    done = command("infra.operate.retrain", "--job", NAME, "--host", running.host)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"started {NAME}\n", "")
    done = command("infra.operate.retrain", JOB=NAME, SCHEDULER_HOST=running.host)
    assert done.returncode == 0
    assert len(received.wait_for(2)) == 2
    missing = command("infra.operate.retrain", "--job", f"{PARENT}/jobs/other", "--host", running.host)
    assert missing.returncode == 1
    assert missing.stderr == f"retrain: {running.host} has no job {PARENT}/jobs/other\n"


def test_retrain_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    down = command("infra.operate.retrain", "--job", NAME, "--host", host)
    assert (down.returncode, len(down.stderr.splitlines())) == (1, 1)
    assert f"{host} does not answer: is 'make run' running?" in down.stderr
    nobody = command(
        "infra.operate.retrain",
        "--job",
        NAME,
        HOME=str(tmp_path),
        CLOUDSDK_CONFIG=str(tmp_path),
        NO_GCE_CHECK="true",
        GOOGLE_APPLICATION_CREDENTIALS="",
    )
    assert (nobody.returncode, len(nobody.stderr.splitlines())) == (1, 1)
    assert "no Google credentials: run 'gcloud auth application-default login'" in nobody.stderr
    for arguments, expected in [
        ((), "no job: give --job"),
        (("--job", "weekly"), "a job is projects/P/locations/L/jobs/J"),
        (("--job", NAME, "--host", "localhost"), "a host is HOST:PORT"),
    ]:
        wrong = command("infra.operate.retrain", *arguments)
        assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
        assert expected in wrong.stderr


@pytest.mark.parametrize("option", ["--port", "--certs-port"])
def test_a_taken_port_is_named_in_one_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--certs-port": "0", option: port}
        done = command(
            "infra.local.scheduler", "--state", str(tmp_path), *(item for pair in ports.items() for item in pair)
        )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert json.loads(lines[-1])["message"].endswith(f"port {port} is not free: choose another with {option}")
    assert "Traceback" not in done.stderr


def test_durations_keep_their_fractions() -> None:
    from infra.local.scheduler.jobs import seconds

    assert seconds(duration_pb2.Duration(seconds=2, nanos=500_000_000)) == 2.5
