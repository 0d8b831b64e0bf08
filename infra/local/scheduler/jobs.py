"""The scheduler's jobs: checked and completed as Cloud Scheduler does, and kept in SQLite."""

import re
import secrets
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from google.cloud.scheduler_v1 import HttpMethod, Job
from google.protobuf import duration_pb2, field_mask_pb2

from infra.local.scheduler.cron import InvalidSchedule, next_fire
from shared.errors import PipelineError

_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")
_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/jobs/[A-Za-z0-9_-]{1,500}")
_WITH_BODY = (HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH)
USER_FIELDS = ("description", "http_target", "schedule", "time_zone", "retry_config", "attempt_deadline")


class Refused(PipelineError):
    """A call that is answered with a gRPC status and a sentence."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class JobStore:
    """All jobs, in memory and on disk. Every change is on disk before it is answered. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS jobs (name TEXT PRIMARY KEY, job BLOB NOT NULL)")
        self._jobs: dict[str, bytes] = dict(self._database.execute("SELECT name, job FROM jobs"))

    def all(self) -> list[Job]:
        """Copies of all jobs, by name."""
        with self._lock:
            return [Job.deserialize(data) for _, data in sorted(self._jobs.items())]

    def find(self, name: str) -> Job | None:
        with self._lock:
            data = self._jobs.get(name)
            return None if data is None else Job.deserialize(data)

    def get(self, name: str) -> Job:
        """A copy. Raises Refused."""
        job = self.find(name)
        if job is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Job not found: {name}")
        return job

    def add(self, job: Job) -> None:
        """Raises Refused where the name is taken."""
        with self._lock:
            if job.name in self._jobs:
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Job already exists: {job.name}")
            self._put(job)

    def change(self, name: str, edit: Callable[[Job], None]) -> Job:
        """Apply `edit` to the job as it is now. Raises Refused, also out of `edit`."""
        with self._lock:
            job = self.get(name)
            edit(job)
            self._put(job)
            return job

    def remove(self, name: str) -> None:
        """Raises Refused."""
        with self._lock:
            self.get(name)
            with self._database:
                self._database.execute("DELETE FROM jobs WHERE name = ?", (name,))
            del self._jobs[name]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _put(self, job: Job) -> None:
        data = Job.serialize(job)
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?)", (job.name, data))
        self._jobs[job.name] = data


def created(parent: str, asked: Job, now: datetime, *, allow_seconds: bool) -> Job:
    """The job that a CreateJob makes: user fields of `asked` with defaults, enabled. Raises Refused."""
    if not _PARENT.fullmatch(parent):
        raise _invalid(f"parent must be projects/PROJECT/locations/LOCATION, found {parent!r}")
    name = asked.name or f"{parent}/jobs/{secrets.token_hex(10)}"
    if not _NAME.fullmatch(name) or not name.startswith(f"{parent}/jobs/"):
        raise _invalid(f"job.name must be {parent}/jobs/JOB with letters, digits, - and _ in JOB, found {name!r}")
    job = Job(name=name, state=Job.State.ENABLED)
    for field in USER_FIELDS:
        if field in asked:
            setattr(job, field, getattr(asked, field))
    complete(job, asked, now, allow_seconds=allow_seconds)
    return job


def updated(job: Job, asked: Job, mask: field_mask_pb2.FieldMask, now: datetime, *, allow_seconds: bool) -> None:
    """Replace what `mask` names in `job` by what `asked` has there; without a mask, all that `asked` sets.

    Raises Refused.
    """
    paths = list(mask.paths) or [field for field in USER_FIELDS if field in asked]
    chosen = field_mask_pb2.FieldMask(paths=paths)
    for path in paths:
        if path.split(".")[0] not in USER_FIELDS or not chosen.IsValidForDescriptor(Job.pb(job).DESCRIPTOR):
            raise _invalid(f"update_mask may name {', '.join(USER_FIELDS)} and fields of these, found {path!r}")
    chosen.MergeMessage(Job.pb(asked), Job.pb(job), replace_message_field=True, replace_repeated_field=True)
    complete(job, asked, now, allow_seconds=allow_seconds)


def complete(job: Job, asked: Job, now: datetime, *, allow_seconds: bool) -> None:
    """Check the job and fill in the defaults and the next time. Raises Refused."""
    _complete_target(job, asked)
    _complete_retries(job)
    job.time_zone = job.time_zone or "UTC"
    job.user_update_time = now
    schedule_next(job, now, allow_seconds=allow_seconds)


def schedule_next(job: Job, now: datetime, *, allow_seconds: bool) -> None:
    """Set the time at which the job fires next; a paused job has none. Raises Refused."""
    try:
        fire = next_fire(job.schedule, job.time_zone, now, allow_seconds=allow_seconds)
    except InvalidSchedule as error:
        raise _invalid(str(error)) from error
    job.schedule_time = None if job.state == Job.State.PAUSED else fire


def _complete_target(job: Job, asked: Job) -> None:
    if "pubsub_target" in asked or "app_engine_http_target" in asked or "oauth_token" in job.http_target:
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, "the local scheduler knows http_target with oidc_token only")
    target = job.http_target
    url = urlsplit(target.uri)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise _invalid(f"http_target.uri must begin with http:// or https://, found {target.uri!r}")
    if not target.http_method:
        target.http_method = HttpMethod.POST
    if target.body and target.http_method not in _WITH_BODY:
        raise _invalid("http_target.body is allowed with POST, PUT and PATCH only")
    if "oidc_token" in target:
        if not target.oidc_token.service_account_email:
            raise _invalid("http_target.oidc_token.service_account_email must be set")
        target.oidc_token.audience = target.oidc_token.audience or target.uri


def _complete_retries(job: Job) -> None:
    deadline = job.attempt_deadline.total_seconds() if "attempt_deadline" in job else 180.0
    if not 15.0 <= deadline <= 1800.0:
        raise _invalid(f"attempt_deadline must be from 15 s to 1800 s for HTTP targets, found {deadline:g} s")
    Job.pb(job).attempt_deadline.CopyFrom(_duration(deadline))
    retry = Job.pb(job).retry_config
    if not 0 <= retry.retry_count <= 5:
        raise _invalid(f"retry_config.retry_count must be from 0 to 5, found {retry.retry_count}")
    if not retry.HasField("min_backoff_duration"):
        retry.min_backoff_duration.CopyFrom(_duration(5.0))
    if not retry.HasField("max_backoff_duration"):
        retry.max_backoff_duration.CopyFrom(_duration(3600.0))
    retry.max_retry_duration.SetInParent()
    retry.max_doublings = retry.max_doublings or 5
    least, most = seconds(retry.min_backoff_duration), seconds(retry.max_backoff_duration)
    if not 0.0 < least <= most:
        raise _invalid(
            f"retry_config needs 0 < min_backoff_duration <= max_backoff_duration, found {least:g} s and {most:g} s"
        )


def seconds(duration: duration_pb2.Duration) -> float:
    """The duration in seconds."""
    value: float = duration.seconds + duration.nanos / 1e9
    return value


def _duration(value: float) -> duration_pb2.Duration:
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def _invalid(sentence: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, sentence)
