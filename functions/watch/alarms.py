"""Alarms: written once each, told once each, in the log and to whoever listens to the topic."""

import base64
from typing import Any, Protocol

import msgspec

from shared import layout, logs
from shared.codec import encode
from shared.documents import SCHEMA_VERSION
from shared.errors import PreconditionFailed
from shared.media_types import JSON
from shared.monitoring import Alarm, StandingAlarm, WatchReport
from shared.store import CREATE_ONLY, Store

PUBLISH_SECONDS = 10.0


class Listeners(Protocol):
    """Whoever is told of alarms beside the log."""

    def tell(self, alarm: Alarm) -> None:
        """Pass an alarm on. Never raises: the alarm is in the bucket and in the log."""


class Nobody:
    """No topic is set."""

    def tell(self, alarm: Alarm) -> None:
        """Nothing."""


class Topic:
    """A Pub/Sub topic, by its REST API: a message is the alarm's JSON, its kind and stage are attributes.

    Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
    """

    def __init__(self, name: str, url: str = "https://pubsub.googleapis.com") -> None:
        self._url = f"{url}/v1/{name}:publish"

    def tell(self, alarm: Alarm) -> None:
        """Publish the alarm."""
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession
        from requests import RequestException

        try:
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/pubsub"])
            answer = AuthorizedSession(credentials).post(self._url, json=message(alarm), timeout=PUBLISH_SECONDS)
            answer.raise_for_status()
        except (GoogleAuthError, RequestException) as error:
            logs.warning(f"the alarm was not published: {type(error).__name__}", reason="unpublished", kind=alarm.kind)


def message(alarm: Alarm) -> dict[str, list[dict[str, Any]]]:
    """The body of a publish request."""
    data = base64.b64encode(msgspec.json.encode(alarm)).decode()
    attributes = {"kind": alarm.kind, "stage": alarm.stage, "run_id": alarm.run_id}
    return {"messages": [{"data": data, "attributes": attributes}]}


def raise_alarm(store: Store, key: str, alarm: Alarm, listeners: Listeners) -> bool:
    """Write an alarm and tell of it, unless it is there already; whether it was new."""
    try:
        store.write(key, encode(alarm), if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        return False
    logs.error(alarm.message, reason=alarm.kind, stage=alarm.stage, run_id=alarm.run_id, subject=alarm.subject, key=key)
    listeners.tell(alarm)
    return True


def alarm_of(report: WatchReport, standing: StandingAlarm, message: str, figures: dict[str, float]) -> Alarm:
    """The alarm that a look raised."""
    return Alarm(
        schema_version=SCHEMA_VERSION,
        kind=standing.kind,
        stage=report.stage,
        subject=standing.subject,
        run_id=report.run_id or "",
        raised_at=standing.raised_at,
        message=message,
        figures=figures,
    )


def alarms_of(store: Store, stage: layout.Stage) -> list[str]:
    """Keys of the stage's alarms, oldest first."""
    return [info.name for info in store.list(layout.alarms_folder(stage)) if layout.alarm_time(info.name)]
