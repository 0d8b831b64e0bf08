"""The event entry of validation: a CloudEvent in, an action on the bucket and one log line out.

Faults that no delivery can heal are logged and acknowledged; whatever may heal is raised, so that the event comes
again. Wrong settings are raised too: the next deployment heals them, and the events must not be lost until then.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import functions_framework
from cloudevents.http import CloudEvent

from functions.validate.deadline import DeadlineStore
from functions.validate.marker import act_on_marker
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock
from functions.validate.settings import ValidateSettings
from functions.validate.verdict import judge_candidate
from shared import logs
from shared.errors import PermanentError, PipelineError, SettingsError
from shared.events import CandidateArrived, PromotionAsked, StorageEvent, action, parse
from shared.manifest import utc_now
from shared.store import CloudStore, Store

SERVICE = "validate"
CALL_TIMEOUT_SECONDS = 15.0
CALL_DEADLINE_SECONDS = 20.0
"""A call begun just before the deadline ends before the platform's 540 s, the time-out of its last try included."""


@dataclass(frozen=True)
class Validator:
    """The function with its adapters: the one place where they meet."""

    settings: ValidateSettings
    store: Store
    clock: Clock = utc_now

    def receive(self, attributes: Mapping[str, object], data: object) -> None:
        """Act on one event. Returns for what is done or can never be, raises for what may heal."""
        try:
            event = parse(attributes, data)
        except PermanentError as error:
            logs.error(str(error), reason=error.reason)
            return
        asked = action(event, self.settings.bucket)
        if asked is not None:
            self._act(asked)

    def _act(self, asked: CandidateArrived | PromotionAsked) -> None:
        store = DeadlineStore(self.store, self.settings.deadline_seconds, time.monotonic)
        try:
            if isinstance(asked, CandidateArrived):
                outcome = judge_candidate(store, asked, self.clock)
            else:
                outcome = act_on_marker(store, asked, self.clock)
        except PermanentError as error:
            outcome = _failure(asked, error)
        except PipelineError as error:
            logs.warning(f"will be delivered again: {error}", reason="transient", **_fields(asked.event))
            raise
        _log(outcome, asked.event)


@functions_framework.cloud_event
def validate(event: CloudEvent) -> None:
    """The deployed function."""
    _validator().receive(event.get_attributes(), event.data)


@cache
def _validator() -> Validator:
    """Made at the first event, in the worker that serves it."""
    logs.configure(SERVICE)
    try:
        settings = ValidateSettings.from_env(os.environ)
    except SettingsError as error:
        logs.error(str(error), reason=error.reason)
        raise
    logs.configure(SERVICE, settings.log_level)
    return Validator(
        settings, CloudStore(settings.bucket, timeout=CALL_TIMEOUT_SECONDS, deadline=CALL_DEADLINE_SECONDS)
    )


def _failure(asked: CandidateArrived | PromotionAsked, error: PermanentError) -> Outcome:
    if isinstance(asked, CandidateArrived):
        return Outcome(error.reason, str(error), asked.run_id, "staging", failed=True)
    return Outcome(error.reason, str(error), stage="production", failed=True)


def _log(outcome: Outcome, event: StorageEvent) -> None:
    fields = {"run_id": outcome.run_id, "stage": outcome.stage, **_fields(event)}
    if outcome.failed:
        logs.error(outcome.message, reason=outcome.reason, **fields)
    else:
        logs.info(outcome.message, reason=outcome.reason, **fields)


def _fields(event: StorageEvent) -> dict[str, object]:
    return {"event_id": event.id, "bucket": event.bucket, "name": event.name, "generation": event.generation}
