"""The run that is tried beside the champion: the one document of now, and those that ended.

The document is replaced by conditional writes alone: validation begins a challenge, whoever first finds a reason ends
it. Nothing is deleted; a challenge that ended is kept by whoever ended it and by whoever begins the next one.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from shared import layout
from shared.codec import decode, encode
from shared.decisions import Challenge, Ended
from shared.errors import IntegrityError, ObjectMissing, PreconditionFailed
from shared.media_types import JSON
from shared.store import CREATE_ONLY, Store, write_once
from shared.stored import find_document, read_bytes

UNITS = 10_000
"""A share of the requests is made of this many equal parts."""


@dataclass(frozen=True)
class CurrentChallenge:
    """The document as it was read. Where there is none: generation CREATE_ONLY, and no value."""

    generation: int
    challenge: Challenge | None


def read_current(store: Store) -> CurrentChallenge:
    """The challenge of now, running or ended. Raises InvalidDocument for a document that does not parse."""
    try:
        found = read_bytes(store, layout.CHALLENGER, Challenge)
    except ObjectMissing:
        return CurrentChallenge(CREATE_ONLY, None)
    return CurrentChallenge(found.generation, decode(found.data, Challenge, layout.CHALLENGER))


def in_force(challenge: Challenge | None, champion_run_id: str | None, now: datetime) -> bool:
    """Whether the challenge is to be followed: it runs, in its time, against the champion that it was begun with."""
    return challenge is not None and why_over(challenge, champion_run_id, now) is None


def why_over(challenge: Challenge, champion_run_id: str | None, now: datetime) -> Ended | None:
    """How the challenge ended, or has to be ended without a judge; None while it runs."""
    if challenge.ended is not None:
        return challenge.ended
    if challenge.champion_run_id != champion_run_id:
        serves = "it" if champion_run_id == challenge.run_id else champion_run_id or "nothing"
        return Ended(at=now, verdict="superseded", reason=f"production serves {serves} by now")
    if now >= challenge.until:
        return Ended(at=now, verdict="undecided", reason="its days were over before there was a verdict")
    return None


def write(store: Store, challenge: Challenge, *, replacing: CurrentChallenge) -> bool:
    """Put `challenge` in the place of `replacing`; False where somebody else was quicker.

    A write whose answer was lost is retried by the client and meets its own document, which counts as written.
    """
    try:
        store.write(layout.CHALLENGER, encode(challenge), if_generation=replacing.generation, content_type=JSON)
    except PreconditionFailed:
        return read_current(store).challenge == challenge
    return True


def end(store: Store, current: CurrentChallenge, ended: Ended, *, marker_generation: int | None = None) -> bool:
    """End the challenge that runs, and keep it; False where somebody else was quicker.

    `marker_generation`: of the marker that asked for the end, so that older ones never begin the challenge again.
    """
    running = current.challenge
    if running is None or running.ended is not None:
        return False
    asked = marker_generation or running.marker_generation
    challenge = msgspec.structs.replace(running, ended=ended, marker_generation=asked)
    if not write(store, challenge, replacing=current):
        return False
    keep(store, challenge)
    return True


def keep(store: Store, challenge: Challenge) -> None:
    """Keep a challenge that ended; once more changes nothing. Raises IntegrityError where something else is kept."""
    if challenge.ended is None:
        return
    key = layout.challenge(challenge.started_at, challenge.run_id)
    try:
        write_once(store, key, encode(challenge), JSON)
    except PreconditionFailed:
        raise IntegrityError(f"{key} holds another challenge: move it out of the folder") from None


def ended(store: Store) -> list[Challenge]:
    """Every challenge that ended, oldest first, the one of now included. Other people's files are passed over."""
    kept = [challenge for info in store.list(layout.CHALLENGES) if (challenge := _kept(store, info.name)) is not None]
    current = read_current(store).challenge
    if current is not None and current.ended is not None and current not in kept:
        kept.append(current)
    return kept


def _kept(store: Store, key: str) -> Challenge | None:
    challenge = find_document(store, key, Challenge)
    return challenge if challenge and layout.challenge(challenge.started_at, challenge.run_id) == key else None
