"""A storage CloudEvent as a typed value, and what it asks for.

Arrives: attributes and data as functions-framework hands them over. Leaves: a `StorageEvent`, and from its name the one
action that it calls for, if any. Everything else in the bucket, the system's own writes included, asks for nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared import layout
from shared.errors import InvalidEvent

FINALIZED = "google.cloud.storage.object.v1.finalized"
_SOURCE = re.compile(r"//storage\.googleapis\.com/projects/_/buckets/(.+)")


@dataclass(frozen=True)
class StorageEvent:
    """One change of one object. (bucket, name, generation) identifies it however often it is delivered."""

    id: str
    type: str
    bucket: str
    name: str
    generation: int


@dataclass(frozen=True)
class CandidateArrived:
    """A run is complete: judge it."""

    run_id: str
    event: StorageEvent


@dataclass(frozen=True)
class PromotionAsked:
    """Somebody copied a pointer to the marker: verify and promote it."""

    event: StorageEvent


@dataclass(frozen=True)
class ChallengeAsked:
    """Somebody copied a pointer to the challenger's marker: verify it, and try it beside the champion."""

    event: StorageEvent


Action = CandidateArrived | PromotionAsked | ChallengeAsked


def parse(attributes: Mapping[str, object], data: object) -> StorageEvent:
    """The event, checked. Raises InvalidEvent saying what was expected and found (types and names, never content)."""
    if not isinstance(data, Mapping):
        raise InvalidEvent(f"expected a JSON object as the event's data, found {type(data).__name__}")
    event = StorageEvent(
        id=_text(attributes, "id"),
        type=_text(attributes, "type"),
        bucket=_text(data, "bucket"),
        name=_text(data, "name"),
        generation=_generation(data.get("generation")),
    )
    source = _SOURCE.fullmatch(_text(attributes, "source"))
    if source is None or source.group(1) != event.bucket:
        raise InvalidEvent("the event's source does not name the bucket of its data")
    return event


def action(event: StorageEvent, bucket: str) -> Action | None:
    """What the event asks for, by its exact name; None for all that is not ours to act on."""
    if event.type != FINALIZED or event.bucket != bucket:
        return None
    if event.name == layout.MARKER:
        return PromotionAsked(event)
    if event.name == layout.CHALLENGE_MARKER:
        return ChallengeAsked(event)
    run_id = layout.run_of_manifest(event.name)
    return CandidateArrived(run_id, event) if run_id else None


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidEvent(f"expected a non-empty text as {name!r}, found {type(value).__name__}")
    return value


def _generation(value: object) -> int:
    """Cloud Storage writes it as a decimal string, since JSON numbers lose digits; a bool is not a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20 and int(value) > 0:
        return int(value)
    raise InvalidEvent(f"expected 'generation' as a positive decimal string, found {type(value).__name__}")
