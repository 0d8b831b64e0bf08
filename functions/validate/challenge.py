"""The challenger's marker: somebody copied a pointer to `promote/production.challenger.json`, to try its run beside the
one that production serves.

Arrives: the event of the marker. Leaves: `production/challenger.json`, or `promote/production.challenger.rejected.json`
with the reasons. The run is verified as for a promotion, and its files stand in production before it is named there.
"""

from datetime import timedelta

from functions.validate.asked import MarkerRefused, Request, read_request, refuse, require_contract, verified_run
from functions.validate.evidence import StagedRun
from functions.validate.isolation import Examiner
from functions.validate.outcome import Outcome
from functions.validate.promotion import ATTEMPTS, Clock, Release, copy_files
from functions.validate.rejection import keep_newest
from functions.validate.terms import STOP, Terms, read_terms
from shared import challenges, layout, pointers
from shared.decisions import Challenge, Ended, Pointer, Rejection
from shared.documents import SCHEMA_VERSION
from shared.errors import PermanentError, TransientError
from shared.events import ChallengeAsked, StorageEvent
from shared.store import Store


def act_on_challenge(store: Store, asked: ChallengeAsked, clock: Clock, examiner: Examiner) -> Outcome:
    """Begin or stop a challenge as the marker says. A refusal is written to the bucket. Raises TransientError."""
    try:
        return _acted(store, asked.event, clock, examiner)
    except PermanentError as error:
        problems = error.problems if isinstance(error, MarkerRefused) else (str(error),)
        rejection = Rejection(
            schema_version=SCHEMA_VERSION,
            rejected_at=clock().isoformat(),
            marker_generation=asked.event.generation,
            reason=error.reason,
            problems=problems,
        )
        keep_newest(store, layout.CHALLENGE_REJECTED, rejection)
        return Outcome(error.reason, f"the challenger's marker was refused: {error}", stage="production", failed=True)


def _acted(store: Store, event: StorageEvent, clock: Clock, examiner: Examiner) -> Outcome:
    before = _acted_before(store, event)
    if before is not None:
        return before
    request = read_request(store, event)
    if request is None:
        return Outcome("marker_replaced", "a newer marker is there; its own event decides", stage="production")
    terms = read_terms(request.metadata)
    if terms == STOP:
        return stop(store, request, event.generation, clock)
    champion = pointers.read_current(store, "production").pointer
    if champion is None:
        refuse("no_champion", "production serves nothing yet: promote a run instead of trying it beside nothing")
    run = verified_run(store, request.pointer, examiner)
    if run.manifest.run_id == champion.run_id:
        refuse("same_run", f"{champion.run_id} is what production serves already")
    require_contract(store, run, champion)
    _require_people(run, terms)
    pointers.record(store, request.pointer, request.data)
    copy_files(store, "production", _release(request, run))
    return begin(store, _challenge(request, run, champion, terms, event.generation, clock), clock)


def _acted_before(store: Store, event: StorageEvent) -> Outcome | None:
    """What a redelivery or an older marker leaves as it is; None for a newer one."""
    current = challenges.read_current(store).challenge
    if current is None:
        current = next(reversed(challenges.ended(store)), None)
    if current is None or current.marker_generation < event.generation:
        return None
    challenges.keep(store, current)
    if current.marker_generation > event.generation:
        return Outcome("older_marker", "a newer marker was acted on already", stage="production")
    return Outcome("unchanged", f"the challenge of {current.run_id} is known already", current.run_id, "production")


def begin(store: Store, challenge: Challenge, clock: Clock) -> Outcome:
    """Put the challenge where no other one is in force; one that is over is kept first."""
    for _ in range(ATTEMPTS):
        current = challenges.read_current(store)
        if current.challenge is not None:
            if current.challenge.marker_generation >= challenge.marker_generation:
                return Outcome("older_marker", "a newer marker was acted on already", stage="production")
            over = challenges.why_over(current.challenge, challenge.champion_run_id, clock())
            if over is None:
                running = current.challenge
                refuse(
                    "challenge_running",
                    f"{running.run_id} is being tried since {running.started_at:%Y-%m-%dT%H:%M:%SZ}; "
                    "stop it with `make challenge STOP=1`, or wait for its verdict",
                )
            if current.challenge.ended is None:
                challenges.end(store, current, over)
                continue
            challenges.keep(store, current.challenge)
        if challenges.write(store, challenge, replacing=current):
            return _begun(challenge)
    raise TransientError(f"{layout.CHALLENGER} was replaced {ATTEMPTS} times by others; the next delivery tries again")


def stop(store: Store, request: Request, generation: int, clock: Clock) -> Outcome:
    """End the challenge that runs, as somebody asked. Raises MarkerRefused where none does."""
    for _ in range(ATTEMPTS):
        current = challenges.read_current(store)
        running = current.challenge
        if running is None or running.ended is not None:
            refuse("no_challenge", "no run is being tried: there is nothing to stop")
        by = f" by {request.by}" if request.by else ""
        reason = f"stopped{by}{': ' if request.why else ''}{request.why}"
        ended = Ended(at=clock(), verdict="stopped", reason=reason)
        if challenges.end(store, current, ended, marker_generation=generation):
            message = f"the challenge of {running.run_id} is {reason}"
            return Outcome("challenge_stopped", message, running.run_id, "production")
    raise TransientError(f"{layout.CHALLENGER} was replaced {ATTEMPTS} times by others; the next delivery tries again")


def _require_people(run: StagedRun, terms: Terms) -> None:
    if terms.then == "promote" and run.manifest.gate.requires > 1:
        refuse(
            "another_person_needed",
            f"then=promote promotes without a second person, and [gate] requires = {run.manifest.gate.requires}: "
            "use then=report",
        )


def _release(request: Request, run: StagedRun) -> Release:
    return Release(run.manifest, run.manifest_digest, run.sources, request.pointer.decision)


def _challenge(
    request: Request, run: StagedRun, champion: Pointer, terms: Terms, generation: int, clock: Clock
) -> Challenge:
    now = clock()
    return Challenge(
        schema_version=SCHEMA_VERSION,
        run_id=run.manifest.run_id,
        manifest_sha256=run.manifest_digest.sha256,
        champion_run_id=champion.run_id,
        mode=terms.mode,
        percent=terms.percent,
        then=terms.then,
        salt=f"{run.manifest.run_id}/{generation}",  # the same at every delivery, and another for every challenge
        started_at=now,
        until=now + timedelta(days=terms.days),
        source=pointers.entry_key(request.pointer),
        max_r2_drop=run.manifest.gate.max_r2_drop,
        marker_generation=generation,
        by=request.by,
        why=request.why,
    )


def _begun(challenge: Challenge) -> Outcome:
    share = f"answers {challenge.percent:g} % of the requests" if challenge.mode == "canary" else "answers nobody"
    beside = f"run {challenge.run_id} is tried beside {challenge.champion_run_id}"
    message = f"{beside} and {share} until {challenge.until:%Y-%m-%d}"
    return Outcome("challenge_begun", message, challenge.run_id, "production")
