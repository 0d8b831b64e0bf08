"""The event entry of the watch: files of labels and alarms in the bucket, and the daily call of Cloud Scheduler.

The daily call is a CloudEvent too, of the type LOOK, whose data may name a `day` (20260105) to look at; else it is
yesterday. Faults that no delivery can heal are logged and acknowledged; whatever may heal is raised, so that the event
comes again.

Fields of the lines, for alerts to match on:
severity   ERROR for what a person should look at, INFO else; WARNING for what is delivered again
reason     ERROR: drift, refusals, faults, silence, performance (an alarm, with stage, run_id, subject, key),
           labels_refused, too_large, integrity, invalid_document, invalid_event, bad_settings
           INFO: looked, labels, label_gone, retraining; WARNING: transient, unpublished, labels_refused before anything
           serves
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import functions_framework
from cloudevents.http import CloudEvent
from flask import request

from functions.watch import challenger
from functions.watch.alarms import Listeners, Nobody, Topic
from functions.watch.daily import look_at
from functions.watch.delivery import take_labels
from functions.watch.labels import MEMORY_BYTES
from functions.watch.look import day_before
from functions.watch.retraining import Job, Trainer, ask
from functions.watch.settings import WatchSettings
from shared import layout, logs
from shared.clock import utc_now
from shared.deadline import DeadlineStore
from shared.entry import acknowledged, configured, deliver, store_of
from shared.errors import IntegrityError, InvalidEvent, ObjectMissing, PermanentError
from shared.events import FINALIZED, StorageEvent, parse
from shared.memory_limit import limit_memory
from shared.store import Store

SERVICE = "watch"
LOOK = "watch.look.v1"
_DAY = re.compile(r"\d{8}", re.ASCII)


@dataclass(frozen=True)
class Watch:
    """The function with its adapters: the one place where they meet."""

    settings: WatchSettings
    store: Store
    trainer: Trainer | None = None
    listeners: Listeners = field(default_factory=Nobody)
    clock: Callable[[], datetime] = utc_now

    def receive(self, attributes: Mapping[str, object], data: object, trace: Mapping[str, str] = logs.NO_TRACE) -> None:
        """Act on one event. Returns for what is done or can never be, raises for what may heal."""
        store = DeadlineStore(self.store, self.settings.deadline_seconds, time.monotonic)
        with acknowledged(trace):
            if attributes.get("type") == LOOK:
                self._look(store, data)
            else:
                self._act(store, parse(attributes, data), data)

    def _look(self, store: Store, data: object) -> None:
        on = data.get("day") if isinstance(data, Mapping) else None
        if on is None:
            on = layout.day(self.clock() - timedelta(days=1))
        if not isinstance(on, str) or not _DAY.fullmatch(on) or not _is_day(on) or on >= layout.day(self.clock()):
            raise InvalidEvent("expected the day as one that is over, written as 20260105")
        failure: PermanentError | None = None
        for stage in layout.STAGES:
            try:
                look_at(store, stage, on, self.clock(), self.listeners)
            except PermanentError as error:  # the other stage is looked at all the same
                failure = error
            except ObjectMissing as error:
                failure = IntegrityError(f"a file of what {stage} serves is gone: {error}")
            except MemoryError:
                failure = IntegrityError(f"what live/{stage}/ counts takes more memory than there is")
        if failure is not None:
            raise failure

    def _act(self, store: Store, event: StorageEvent, data: object) -> None:
        if event.type != FINALIZED or event.bucket != self.settings.bucket:
            return
        if layout.is_label_file(event.name):
            take_labels(store, event, self._arrived(data), self.listeners)
        elif (counts := layout.live_run(event.name)) is not None:
            if counts[0] == "production":
                challenger.counted(store, counts[1], self.clock())
        elif layout.alarm_time(event.name) is not None:
            outcome = ask(store, event.name, self.clock(), self.trainer)
            logs.info(f"the alarm asks for a training: {outcome}", reason="alarm", name=event.name, outcome=outcome)

    def _arrived(self, data: object) -> datetime:
        """When the object was made, the same in every delivery of its event."""
        made = data.get("timeCreated") if isinstance(data, Mapping) else None
        try:
            moment = datetime.fromisoformat(made) if isinstance(made, str) else None
        except ValueError:
            moment = None
        return moment if moment is not None and moment.tzinfo is not None else self.clock()


@functions_framework.cloud_event
def watch(event: CloudEvent) -> None:
    """The deployed function."""
    deliver(event, request.headers.get("traceparent", ""), _watch())


@cache
def _watch() -> Watch:
    """Made at the first event, in the worker that serves it."""
    settings = configured(SERVICE, lambda: WatchSettings.from_env(os.environ))
    limit_memory(MEMORY_BYTES)
    return Watch(
        settings,
        store_of(settings),
        Job(settings.retrain_job, settings.scheduler_host) if settings.retrain_job else None,
        Topic(settings.alarm_topic) if settings.alarm_topic else Nobody(),
    )


def _is_day(on: str) -> bool:
    try:
        day_before(on)
    except ValueError:
        return False
    return True
