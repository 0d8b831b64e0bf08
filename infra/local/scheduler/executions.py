"""The scheduler's clock and hands: fires what is due, sends the requests, retries, writes the outcome to the job."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from google.cloud.scheduler_v1 import HttpMethod, Job
from grpc import StatusCode

from infra.local.push import PushAnswer, push
from infra.local.scheduler.cron import pause, retry_allowed
from infra.local.scheduler.jobs import (
    JobStore,
    Refused,
    schedule_next,
    seconds,
)
from infra.local.tokens import SigningKey
from shared import logs

POLL_SECONDS = 0.1
_OWN_HEADERS = ("host", "content-length", "user-agent", "authorization")
_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ABORTED,
    429: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
_PROBLEMS = {"timeout": StatusCode.DEADLINE_EXCEEDED, "unreachable": StatusCode.UNAVAILABLE}


class Executions:
    """Runs jobs. A job's schedule never starts a second execution beside one under way; it waits for its end.

    Ticks that were missed while the scheduler was down are not made up for, and an execution that a kill interrupted is
    not taken up again: the next tick comes as scheduled.
    """

    def __init__(self, jobs: JobStore, key: SigningKey, *, allow_seconds: bool = False) -> None:
        self._jobs = jobs
        self._key = key
        self._allow_seconds = allow_seconds
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}
        self._retries: dict[str, datetime] = {}
        self._stopping = threading.Event()

    def skip_missed(self, now: datetime) -> None:
        """Set every enabled job's next time to one that is still to come."""
        for job in self._jobs.all():
            if job.state == Job.State.ENABLED:
                self._reschedule(job.name, now)

    def tick(self, now: datetime) -> None:
        """Start what is due."""
        for job in self._jobs.all():
            due = job.state == Job.State.ENABLED and job.schedule_time and job.schedule_time <= now
            if due and not self._is_under_way(job.name):
                self._reschedule(job.name, now)
                self.start(job.name, job.schedule_time, forced=False)

    def start(self, name: str, scheduled: datetime, *, forced: bool) -> None:
        """Run the job once, retries included, in a thread of its own."""
        with self._lock:
            self._under_way[name] = self._under_way.get(name, 0) + 1
        threading.Thread(target=self._run, args=(name, scheduled, forced), daemon=True).start()

    def retry_time(self, name: str) -> datetime | None:
        """When a failed execution of the job tries again."""
        with self._lock:
            return self._retries.get(name)

    def stop(self) -> None:
        """Start no further attempt."""
        self._stopping.set()

    def _run(self, name: str, scheduled: datetime, forced: bool) -> None:
        try:
            began, retries = datetime.now(UTC), 0
            while (job := self._runnable(name, forced)) is not None:
                if self._attempt(job, scheduled, retries + 1).acknowledged:
                    return
                wait = self._wait_before_retry(job, retries, began)
                if wait is None or self._stopping.wait(wait):
                    return
                self._forget_retry(name)
                retries += 1
        finally:
            self._forget_retry(name)
            with self._lock:
                self._under_way[name] -= 1

    def _runnable(self, name: str, forced: bool) -> Job | None:
        """The job as it is now, unless it was deleted or, for its own schedule, paused meanwhile."""
        job = self._jobs.find(name)
        return job if job is not None and (forced or job.state == Job.State.ENABLED) else None

    def _attempt(self, job: Job, scheduled: datetime, attempt: int) -> PushAnswer:
        self._change(job.name, _began)
        answer = push(
            job.http_target.uri,
            request_headers(job, scheduled, self._key),
            job.http_target.body,
            deadline=job.attempt_deadline.total_seconds(),
            method=HttpMethod(job.http_target.http_method).name,
        )
        self._change(job.name, lambda job: _ended(job, answer))
        log = logs.info if answer.acknowledged else logs.warning
        log(
            "attempt finished" if answer.acknowledged else "attempt failed",
            job=job.name,
            schedule_time=_zulu(scheduled),
            attempt=attempt,
            status=answer.status or answer.problem,
            seconds=round(answer.seconds, 3),
        )
        return answer

    def _wait_before_retry(self, job: Job, retries: int, began: datetime) -> float | None:
        """Seconds until the next attempt; None where there is none, also when the next scheduled start comes first."""
        retry, now = Job.pb(job).retry_config, datetime.now(UTC)
        elapsed, duration = (now - began).total_seconds(), seconds(retry.max_retry_duration)
        if not retry_allowed(retries, elapsed, count=retry.retry_count, duration=duration):
            return None
        wait = pause(
            retries, seconds(retry.min_backoff_duration), seconds(retry.max_backoff_duration), retry.max_doublings
        )
        moment = now + timedelta(seconds=wait)
        if job.state == Job.State.ENABLED and job.schedule_time <= moment:
            return None
        with self._lock:
            self._retries[job.name] = moment
        return wait

    def _is_under_way(self, name: str) -> bool:
        with self._lock:
            return self._under_way.get(name, 0) > 0

    def _forget_retry(self, name: str) -> None:
        with self._lock:
            self._retries.pop(name, None)

    def _reschedule(self, name: str, now: datetime) -> None:
        """Set the job to its next time after `now`. A schedule that is not understood (any more) disables its job."""

        def edit(job: Job) -> None:
            try:
                schedule_next(job, now, allow_seconds=self._allow_seconds)
            except Refused as refused:
                job.state = Job.State.DISABLED
                logs.error(f"job disabled: {refused}", reason="bad_schedule", job=name)

        self._change(name, edit)

    def _change(self, name: str, edit: Callable[[Job], None]) -> None:
        with suppress(Refused):  # deleted meanwhile
            self._jobs.change(name, edit)


def _began(job: Job) -> None:
    job.last_attempt_time = datetime.now(UTC)


def _ended(job: Job, answer: PushAnswer) -> None:
    status = Job.pb(job).status
    status.Clear()
    status.SetInParent()
    status.code = _code(answer).value[0]


def request_headers(job: Job, scheduled: datetime, key: SigningKey) -> dict[str, str]:
    """What Cloud Scheduler sends: the job's own headers, then those that a job cannot set."""
    target = job.http_target
    headers = _own_headers(target.headers)
    if not any(name.lower() == "content-type" for name in headers) and target.body:
        headers["Content-Type"] = "application/octet-stream"
    headers |= {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": job.name.rsplit("/", 1)[1],
        "X-CloudScheduler-ScheduleTime": _zulu(scheduled),
    }
    if "oidc_token" in target:
        token = key.token(target.oidc_token.audience, target.oidc_token.service_account_email)
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _own_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _OWN_HEADERS and not name.lower().startswith(("x-cloudscheduler", "x-google-"))
    }


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _code(answer: PushAnswer) -> StatusCode:
    """The canonical code of an outcome."""
    if answer.status is None:
        return _PROBLEMS.get(answer.problem or "", StatusCode.UNKNOWN)
    if answer.acknowledged:
        return StatusCode.OK
    return _CODES.get(answer.status, StatusCode.INTERNAL if answer.status >= 500 else StatusCode.FAILED_PRECONDITION)
