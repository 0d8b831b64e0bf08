"""The event entry of validation: a CloudEvent in, an action on the bucket and one log line out.

Faults that no delivery can heal are logged and acknowledged; whatever may heal is raised, so that the event comes
again. Wrong settings are raised too: the next deployment heals them, and the events must not be lost until then.

Fields of the one line that every event acted on leaves, for alerts to match on:
severity   INFO; ERROR where a person should look; WARNING for what is delivered again
reason     candidates: promoted, unchanged, superseded, judged_before, manifest_gone; ERROR: gate_refused,
           malformed_manifest, future_run, pointer_unreadable, decision_mismatch, integrity, invalid_document
           markers: promoted, confirmed, unchanged, older_marker, marker_replaced; ERROR: marker_missing, marker_empty,
           marker_too_large, marker_malformed, marker_not_passed, marker_unknown, run_not_verified, contract_broken,
           integrity
           another_person_needed: the first of the people that the spec's `[gate] requires` asks for
           challenges: challenge_begun, challenge_stopped, unchanged, older_marker, marker_replaced; ERROR: those of
           markers, terms_malformed, challenge_running, no_champion, no_challenge, same_run
           any: invalid_event, bad_settings (ERROR), transient (WARNING)
failed_checks   names of the gate's checks that failed, for a candidate that was refused
run_id, stage; event_id, bucket, name, generation: those of the event; logging.googleapis.com/trace: of the request
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import flask
import functions_framework

from functions.validate.challenge import act_on_challenge
from functions.validate.delivery import read_event
from functions.validate.isolation import Apart, Examiner, Here
from functions.validate.lanes import Lanes
from functions.validate.marker import act_on_marker
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock
from functions.validate.settings import ValidateSettings
from functions.validate.verdict import judge_candidate
from shared import entry, logs
from shared.clock import utc_now
from shared.deadline import DeadlineStore
from shared.errors import InvalidEvent, PermanentError
from shared.events import Action, CandidateArrived, PromotionAsked, StorageEvent, action
from shared.store import Store

SERVICE = "validate"


@dataclass(frozen=True)
class Validator:
    """The function with its adapters: the one place where they meet."""

    settings: ValidateSettings
    store: Store
    clock: Clock = utc_now
    examiner: Examiner = field(default_factory=Here)
    lanes: Lanes = field(default_factory=Lanes)

    def receive(self, attributes: Mapping[str, object], data: object, trace: Mapping[str, str] = logs.NO_TRACE) -> None:
        """Act on one event. Returns for what is done or can never be, raises for what may heal."""
        event = entry.read_event(attributes, data, trace)
        asked = action(event, self.settings.bucket) if event is not None else None
        if asked is not None:
            self._act(asked, trace)

    def _act(self, asked: Action, trace: Mapping[str, str]) -> None:
        store = DeadlineStore(self.store, self.settings.deadline_seconds, time.monotonic)
        try:
            with entry.delivered_again({**entry.event_fields(asked.event), **trace}):
                outcome = self._outcome(store, asked)
        except PermanentError as error:
            outcome = _failure(asked, error)
        _log(outcome, asked.event, trace)

    def _outcome(self, store: Store, asked: Action) -> Outcome:
        if isinstance(asked, CandidateArrived):
            with self.lanes.candidate():
                return judge_candidate(store, asked, self.clock, self.examiner)
        with self.lanes.marker():
            if isinstance(asked, PromotionAsked):
                return act_on_marker(store, asked, self.clock, self.examiner)
            return act_on_challenge(store, asked, self.clock, self.examiner)


@functions_framework.http
def validate(request: flask.Request) -> flask.Response:
    """The deployed function. It reads the event itself: what the framework cannot read it answers with 500, so that it
    would be delivered for a day."""
    validator = _validator()
    try:
        event = read_event({name.lower(): value for name, value in request.headers.items()}, request.get_data())
    except InvalidEvent as error:
        logs.warning(str(error), reason=error.reason)
        return flask.Response(str(error), 400, content_type="text/plain; charset=utf-8")
    entry.deliver(event, request.headers.get("traceparent", ""), validator)
    return flask.Response("OK")


@cache
def _validator() -> Validator:
    """Made at the first event, in the worker that serves it."""
    settings = entry.configured(SERVICE, lambda: ValidateSettings.from_env(os.environ))
    return Validator(
        settings,
        entry.store_of(settings),
        examiner=Apart(settings.examined_bytes),
        lanes=Lanes(settings.threads, settings.deadline_seconds),
    )


def _failure(asked: Action, error: PermanentError) -> Outcome:
    if isinstance(asked, CandidateArrived):
        return Outcome(error.reason, str(error), asked.run_id, "staging", failed=True)
    return Outcome(error.reason, str(error), stage="production", failed=True)


def _log(outcome: Outcome, event: StorageEvent, trace: Mapping[str, str]) -> None:
    fields = {"run_id": outcome.run_id, "stage": outcome.stage, **entry.event_fields(event), **trace}
    if outcome.failed_checks:
        fields["failed_checks"] = outcome.failed_checks
    if outcome.failed:
        logs.error(outcome.message, reason=outcome.reason, **fields)
    else:
        logs.info(outcome.message, reason=outcome.reason, **fields)
