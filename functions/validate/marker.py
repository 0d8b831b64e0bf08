"""The promotion marker: somebody copied a pointer to `promote/production.json`, to promote a run or to roll back to it.

Arrives: the event of the marker. Leaves: production serving the run, or `promote/production.rejected.json` with the
reasons. The marker must be a pointer that this system wrote, and the run that it names is verified anew.
"""

from collections.abc import Sequence
from typing import NoReturn

from functions.validate import contract
from functions.validate.evidence import StagedRun, staged_run
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock, Release, promote
from functions.validate.rejection import keep_newest
from functions.validate.standing import Standing, marker_standing
from shared import layout, pointers
from shared.codec import decode
from shared.documents import SCHEMA_VERSION, Pointer, Rejection
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, ObjectTooLarge, PermanentError
from shared.events import PromotionAsked, StorageEvent
from shared.layout import Stage
from shared.pointers import Current
from shared.run_files import staged_manifest
from shared.store import Store

MAX_MARKER_BYTES = pointers.MAX_POINTER_BYTES
_SOURCES: tuple[Stage, ...] = ("production", "staging")


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
    current = pointers.read_current(store, "production")
    newest = None if current.pointer else pointers.newest(store, "production")
    if marker_standing(event.generation, current.pointer, newest) != "newer":
        return _acted_before(store, event, current)
    pointer = _asked_for(store, event)
    if pointer is None:
        return _overtaken(store)
    run = _verified_run(store, pointer)
    _require_contract(store, run, current)
    return _outcome(pointer.run_id, promote(store, "production", _release(pointer, run, event.generation), clock))


def _acted_before(store: Store, event: StorageEvent, current: Current) -> Outcome:
    """A redelivery, or an older marker: what serves is recorded, in case its own delivery ended before it could."""
    if current.pointer is not None:
        pointers.record(store, current.pointer, current.data)
        if current.pointer.marker_generation == event.generation:
            return _outcome(current.pointer.run_id, "unchanged")
    return Outcome("older_marker", "a newer marker was acted on already", stage="production")


def _asked_for(store: Store, event: StorageEvent) -> Pointer | None:
    """The pointer that the marker copies; None if the marker of the event is not there any more."""
    data = _read_marker(store, event)
    if data is None:
        return None
    pointer = _parsed(data)
    _require_ours(store, pointer, data)
    return pointer


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
        return store.read(layout.MARKER, event.generation, max_bytes=MAX_MARKER_BYTES).data
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
        keys.append(pointers.entry_key(pointer))
    except InvalidDocument:
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
        return store.read(key, max_bytes=len(data)).data == data
    except (ObjectMissing, ObjectTooLarge):
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


def _require_contract(store: Store, run: StagedRun, current: Current) -> None:
    """A run that is new to production must answer the calls of the one that serves there; going back always may."""
    serving = current.pointer
    if serving is None:
        return
    try:
        served, _ = staged_manifest(store, "production", serving.run_id, serving.manifest_sha256)
    except (IntegrityError, InvalidDocument, ObjectMissing):
        return  # what serves is damaged: nothing may stand in the way of another model
    found = contract.breaks(served, run.manifest)
    if found and not _served_before(store, run.manifest.run_id):
        _refuse("contract_broken", f"{'; '.join(b.sentence for b in found)}; {contract.to_write(found, served)}")


def _served_before(store: Store, run_id: str) -> bool:
    return any(kept.pointer.run_id == run_id for kept in pointers.history(store, "production"))


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
    keep_newest(store, rejection)


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
