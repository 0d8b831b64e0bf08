"""An alarm asks for a training, at most once a day however many alarms there are and however often each is delivered.

The day's lock names the one alarm that asks; a second object says that it has asked. A delivery that was killed between
the two asks again, and train answers the same inputs without training anew. The result goes through the gate to staging
as any other: an alarm promotes nothing.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from shared import layout, logs
from shared.codec import encode
from shared.errors import PreconditionFailed, TransientError
from shared.media_types import JSON
from shared.monitoring import Alarm, Retraining
from shared.store import CREATE_ONLY, Store
from shared.stored import find_document

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

OLD = timedelta(days=2)
"""An alarm that was delivered so late is told, and asks for nothing."""
CALL_SECONDS = 30.0
ASKING = frozenset({"drift", "performance"})
"""Kinds of alarm that new data may end. Refusals, faults and silence are for people."""


class Trainer(Protocol):
    """Who trains. Trainings take longer than an event may, so asking does not wait for one."""

    def train(self) -> None:
        """Begin a training. Raises TransientError."""


class Job:
    """The weekly training job of Cloud Scheduler, run now, as `make retrain` does."""

    def __init__(self, name: str, host: str | None = None) -> None:
        """`name`: projects/P/locations/L/jobs/J; `host`: HOST:PORT of a local scheduler."""
        self._name = name
        self._host = host

    def train(self) -> None:
        """Run the job."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError

        try:
            with self._client() as scheduler:
                scheduler.run_job(name=self._name, timeout=CALL_SECONDS)
        except (GoogleAPICallError, GoogleAuthError) as error:
            raise TransientError(f"Cloud Scheduler did not run {self._name}: {type(error).__name__}") from error

    def _client(self) -> "CloudSchedulerClient":
        import grpc
        from google.cloud import scheduler_v1
        from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport

        if self._host is None:
            return scheduler_v1.CloudSchedulerClient()
        channel = grpc.insecure_channel(self._host, options=[("grpc.enable_http_proxy", 0)])
        return scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))


def ask(store: Store, key: str, now: datetime, trainer: Trainer | None) -> str:
    """What becomes of the alarm with this key: asked, asked_before, told_only, old, gone or no_job.

    Raises TransientError.
    """
    raised_at = layout.alarm_time(key)
    if raised_at is None or now - raised_at > OLD:
        return "old"
    alarm = find_document(store, key, Alarm)
    if alarm is None:
        return "gone"
    if alarm.kind not in ASKING:
        return "told_only"
    if trainer is None:
        return "no_job"
    if _asked(store, layout.day(raised_at), key) or not _claimed(store, layout.day(now), key, now):
        return "asked_before"
    if _asked(store, layout.day(now), key):
        return "asked_before"
    trainer.train()
    _note_asked(store, layout.day(now), key, now)
    logs.info("a training was asked for", reason="retraining", alarm=key, run_id=alarm.run_id)
    return "asked"


def _claimed(store: Store, day: str, key: str, now: datetime) -> bool:
    """Whether this alarm is the one that asks on `day`."""
    lock = layout.retraining(day)
    try:
        store.write(lock, encode(Retraining(alarm=key, asked_at=now)), if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        return _holder(store, lock) == key
    return True


def _asked(store: Store, day: str, key: str) -> bool:
    return _holder(store, layout.retraining_asked(day)) == key


def _note_asked(store: Store, day: str, key: str, now: datetime) -> None:
    done = Retraining(alarm=key, asked_at=now)
    try:
        store.write(layout.retraining_asked(day), encode(done), if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        return


def _holder(store: Store, key: str) -> str | None:
    found = find_document(store, key, Retraining)
    return found.alarm if found else None
