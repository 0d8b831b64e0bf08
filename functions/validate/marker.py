"""The promotion marker: somebody copied a pointer to `promote/production.json`, to promote a run or to roll back to it.

Arrives: the event of the marker. Leaves: production serving the run, or `promote/production.rejected.json` with the
reasons. The marker must be a pointer that this system wrote, and the run that it names is verified anew.
"""

from collections.abc import Sequence

from functions.validate.approvals import ANOTHER_PERSON, require_people
from functions.validate.asked import MarkerRefused, Request, read_request, require_contract, verified_run
from functions.validate.evidence import StagedRun
from functions.validate.isolation import Examiner
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock, Release, promote
from functions.validate.rejection import keep_newest
from functions.validate.standing import Standing, marker_standing
from shared import layout, pointers
from shared.decisions import Rejection
from shared.documents import SCHEMA_VERSION
from shared.errors import PermanentError
from shared.events import PromotionAsked, StorageEvent
from shared.pointers import CurrentPointer
from shared.store import Store


def act_on_marker(store: Store, asked: PromotionAsked, clock: Clock, examiner: Examiner) -> Outcome:
    """Promote what the marker names. A refusal is written to the bucket. Raises TransientError."""
    event = asked.event
    try:
        return _acted(store, event, clock, examiner)
    except PermanentError as error:
        problems = error.problems if isinstance(error, MarkerRefused) else (str(error),)
        news = _reject(store, event, error.reason, problems, clock)
        waits = error.reason == ANOTHER_PERSON
        said = "waits for another person" if waits else "was refused"
        return Outcome(
            error.reason, f"the promotion marker {said}: {error}", stage="production", failed=news and not waits
        )


def _acted(store: Store, event: StorageEvent, clock: Clock, examiner: Examiner) -> Outcome:
    current = pointers.read_current(store, "production")
    newest = None if current.pointer else pointers.newest(store, "production")
    if marker_standing(event.generation, current.pointer, newest) != "newer":
        return _acted_before(store, event, current)
    request = read_request(store, event)
    if request is None:
        return Outcome("marker_replaced", "a newer marker is there; its own event decides", stage="production")
    run = verified_run(store, request.pointer, examiner)
    require_contract(store, run, current.pointer)
    require_people(store, run, request, event.generation, clock)
    return _outcome(run.manifest.run_id, promote(store, "production", _release(request, run, event.generation), clock))


def _acted_before(store: Store, event: StorageEvent, current: CurrentPointer) -> Outcome:
    """A redelivery, or an older marker: what serves is recorded, in case its own delivery ended before it could."""
    if current.pointer is not None:
        pointers.record(store, current.pointer, current.data)
        if current.pointer.marker_generation == event.generation:
            return _outcome(current.pointer.run_id, "unchanged")
    return Outcome("older_marker", "a newer marker was acted on already", stage="production")


def _release(request: Request, run: StagedRun, marker_generation: int) -> Release:
    decision = request.pointer.decision
    return Release(run.manifest, run.manifest_digest, run.sources, decision, marker_generation, request.by, request.why)


def _reject(store: Store, event: StorageEvent, reason: str, problems: Sequence[str], clock: Clock) -> bool:
    rejection = Rejection(
        schema_version=SCHEMA_VERSION,
        rejected_at=clock().isoformat(),
        marker_generation=event.generation,
        reason=reason,
        problems=tuple(problems),
    )
    return keep_newest(store, layout.REJECTED, rejection)


def _outcome(run_id: str, standing: Standing) -> Outcome:
    message = {
        "promoted": f"run {run_id} serves in production",
        "confirmed": f"run {run_id} serves in production already; the marker is noted",
        "unchanged": f"run {run_id} serves in production already",
        "older_marker": "a newer marker was acted on already",
    }[standing]
    return Outcome(standing, message, run_id, "production")
