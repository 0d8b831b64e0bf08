"""The promotion marker: somebody copied a pointer to `promote/production.json`, to promote a run or to roll back to it.

Arrives: the event of the marker. Leaves: production serving the run, or `promote/production.rejected.json` with the
reasons. The marker must be a pointer that this system wrote, and the run that it names is verified anew.
"""

from collections.abc import Sequence
from typing import NoReturn

from functions.validate import history
from functions.validate.evidence import StagedRun, staged_run
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock, Current, Release, Standing, last_marker, promote, read_current
from shared import layout
from shared.codec import decode, encode
from shared.documents import SCHEMA_VERSION, Document, Pointer
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, PermanentError
from shared.events import PromotionAsked, StorageEvent
from shared.layout import Stage
from shared.store import Store

MAX_MARKER_BYTES = 256 * 2**10
_SOURCES: tuple[Stage, ...] = ("production", "staging")


class Rejection(Document, frozen=True, kw_only=True):
    """Why the last marker was refused; `problems` holds one sentence each."""

    schema_version: int
    rejected_at: str
    marker_generation: int
    reason: str
    problems: tuple[str, ...]


class MarkerRefused(PermanentError):
    """The marker cannot be acted on; the reason is a short code, the problems are for the person who wrote it."""

    reason = "marker_refused"

    def __init__(self, reason: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems), reason=reason)


def act_on_marker(store: Store, asked: PromotionAsked, clock: Clock) -> Outcome:
    """Promote what the marker names. A refusal is written to the bucket. Raises TransientError."""
    event = asked.event
    try:
        return _acted(store, event, clock)
    except PermanentError as error:
        problems = error.problems if isinstance(error, MarkerRefused) else (str(error),)
        _reject(store, event, error.reason, problems, clock)
        return Outcome(error.reason, f"the promotion marker was refused: {error}", stage="production", failed=True)


def _acted(store: Store, event: StorageEvent, clock: Clock) -> Outcome:
    current = read_current(store, "production")
    last = last_marker(store, current)
    if event.generation < last:
        _withdraw_attempts(store, event, current)
        return Outcome("older_marker", "a newer marker was acted on already", stage="production")
    if current.pointer is not None and event.generation == last:
        _withdraw_attempts(store, event, current)
        return _outcome(current.pointer.run_id, "unchanged")
    pointer = _asked_for(store, event) or _interrupted(store, event)
    if pointer is None:
        return _overtaken(store)
    run = _verified_run(store, pointer)
    return _outcome(pointer.run_id, promote(store, "production", _release(pointer, run, event.generation), clock))


def _asked_for(store: Store, event: StorageEvent) -> Pointer | None:
    """The pointer that the marker copies; None if the marker of the event is not there any more."""
    data = _read_marker(store, event)
    if data is None:
        return None
    pointer = _parsed(data)
    _require_ours(store, pointer, data)
    return pointer


def _interrupted(store: Store, event: StorageEvent) -> Pointer | None:
    """What an earlier delivery of the event was about to promote when it ended: it had read and verified the marker.

    Its history entry is there already. It may not be withdrawn, since a duplicate of the delivery may be about to swap
    it in; going on to the end is always right, and a newer marker's own event then decides as ever.
    """
    entries = history.attempts(store, "production", None, event.generation)
    return entries[0].pointer if entries else None


def _withdraw_attempts(store: Store, event: StorageEvent, current: Current) -> None:
    """What a delivery of this event that was killed left in the history, now that it cannot serve any more."""
    history.withdraw(store, history.attempts(store, "production", None, event.generation), current.pointer)


def _overtaken(store: Store) -> Outcome:
    if store.stat(layout.MARKER) is None:
        _refuse("marker_missing", f"{layout.MARKER} was deleted before it was acted on")
    return Outcome("marker_replaced", "a newer marker is there; its own event decides", stage="production")


def _read_marker(store: Store, event: StorageEvent) -> bytes | None:
    """The marker at the event's generation; None if another one replaced it or it was deleted."""
    info = store.stat(layout.MARKER)
    if info is None or info.generation != event.generation:
        return None
    if info.size == 0:
        _refuse("marker_empty", f"{layout.MARKER} is empty, expected a copy of {layout.pointer('staging')}")
    if info.size > MAX_MARKER_BYTES:
        _refuse("marker_too_large", f"{layout.MARKER} has {info.size} bytes, a pointer at most {MAX_MARKER_BYTES}")
    try:
        return store.read(layout.MARKER, event.generation).data
    except ObjectMissing:
        return None


def _parsed(data: bytes) -> Pointer:
    try:
        pointer = decode(data, Pointer, layout.MARKER)
    except InvalidDocument as error:
        raise MarkerRefused("marker_malformed", (str(error),)) from None
    if not pointer.decision.passed:
        _refuse("marker_not_passed", f"{layout.MARKER} names a run that did not pass the gate")
    return pointer


def _require_ours(store: Store, pointer: Pointer, data: bytes) -> None:
    """Byte for byte a pointer that was written here: one of the two of now, or the history entry of its moment."""
    keys = [layout.pointer(stage) for stage in layout.STAGES]
    try:
        keys.append(history.entry_key(pointer))
    except (OverflowError, ValueError):
        _refuse("marker_unknown", f"{layout.MARKER} names a moment that no calendar has")
    if not any(_holds(store, key, data) for key in keys):
        _refuse(
            "marker_unknown",
            f"{layout.MARKER} is not a byte-for-byte copy of {' or '.join(keys)}; "
            "copy one of them, or another entry of a history folder, unchanged",
        )


def _holds(store: Store, key: str, data: bytes) -> bool:
    info = store.stat(key)
    if info is None or info.size != len(data):
        return False
    try:
        return store.read(key).data == data
    except ObjectMissing:
        return False


def _verified_run(store: Store, pointer: Pointer) -> StagedRun:
    """The run as production holds it, or else as staging does. Raises MarkerRefused with the problems of both."""
    problems = []
    for stage in _SOURCES:
        try:
            return staged_run(store, stage, pointer.run_id, pointer.manifest_sha256)
        except (IntegrityError, InvalidDocument) as error:
            problems.append(str(error))
    raise MarkerRefused("run_not_verified", problems)


def _release(pointer: Pointer, run: StagedRun, marker_generation: int) -> Release:
    return Release(run.manifest, run.manifest_digest, run.sources, pointer.decision, marker_generation)


def _reject(store: Store, event: StorageEvent, reason: str, problems: Sequence[str], clock: Clock) -> None:
    rejection = Rejection(
        schema_version=SCHEMA_VERSION,
        rejected_at=clock().isoformat(),
        marker_generation=event.generation,
        reason=reason,
        problems=tuple(problems),
    )
    store.write(layout.REJECTED, encode(rejection), if_generation=None, content_type="application/json")


def _refuse(reason: str, problem: str) -> NoReturn:
    raise MarkerRefused(reason, (problem,))


def _outcome(run_id: str, standing: Standing) -> Outcome:
    message = {
        "promoted": f"run {run_id} serves in production",
        "confirmed": f"run {run_id} serves in production already; the marker is noted",
        "unchanged": f"run {run_id} serves in production already",
        "older_marker": "a newer marker was acted on already",
    }[standing]
    return Outcome(standing, message, run_id, "production")
