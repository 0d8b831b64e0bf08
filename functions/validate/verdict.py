"""A candidate from its manifest's event to the staging pointer: read, judge, write decision.json, promote.

Arrives: the event of `candidates/<run_id>/manifest.json`. Leaves: a decision beside the manifest, and where it passed,
staging serving the run. A decision that is there already is honoured, so a redelivery never judges twice.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

from functions.validate import evidence, gate
from functions.validate.giving_up import ATTEMPTS, give_up
from functions.validate.isolation import Examiner, ProcessEnded
from functions.validate.older_decisions import with_status
from functions.validate.outcome import Outcome
from functions.validate.promotion import Clock, Release, promote
from functions.validate.standing import Standing
from shared import layout, pointers, run_files
from shared.codec import digest, encode
from shared.decisions import Check, Decision, Pointer
from shared.documents import Manifest
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, PermanentError, PreconditionFailed
from shared.events import CandidateArrived
from shared.store import ObjectInfo, Store, write_once
from shared.stored import read_document

CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class ReadManifest:
    """A manifest as read at the event's generation; `manifest` is None, with its `problem`, if it is malformed."""

    info: ObjectInfo
    run_id: str
    data: bytes
    manifest: Manifest | None
    problem: str = ""


def judge_candidate(store: Store, arrived: CandidateArrived, clock: Clock, examiner: Examiner) -> Outcome:
    """Decide on the run and act on the decision. Raises PermanentError, TransientError."""
    run_id = arrived.run_id
    candidate = _read_candidate(store, arrived)
    if candidate is None:
        return Outcome("manifest_gone", f"the manifest of {run_id} is gone or was replaced since the event", run_id)
    decision, found = _decided(store, candidate, clock, examiner)
    if not decision.passed:
        return _judged_before(run_id) if _is_no_news(decision, candidate) else _refused(run_id, decision)
    _require_same_manifest(decision, candidate)
    if candidate.manifest is None:
        raise InvalidDocument(candidate.problem)
    found = found or evidence.gather_candidate(store, candidate.manifest)
    sources = {**found.sources, layout.MANIFEST: candidate.info}
    release = Release(candidate.manifest, digest(candidate.data), sources, decision)
    return _outcome(run_id, promote(store, "staging", release, clock))


def _read_candidate(store: Store, arrived: CandidateArrived) -> ReadManifest | None:
    event = arrived.event
    info = store.stat(event.name)
    if info is None or info.generation != event.generation:
        return None
    if info.size > run_files.MAX_MANIFEST_BYTES:
        problem = f"{event.name}: {info.size} bytes is over the limit of {run_files.MAX_MANIFEST_BYTES}"
        return ReadManifest(info, arrived.run_id, b"", None, problem)
    try:
        data = store.read(event.name, event.generation, max_bytes=run_files.MAX_MANIFEST_BYTES).data
    except ObjectMissing:
        return None
    try:
        return ReadManifest(info, arrived.run_id, data, run_files.parse_manifest(data, arrived.run_id, event.name))
    except InvalidDocument as error:
        return ReadManifest(info, arrived.run_id, data, None, str(error))


def _decided(
    store: Store, candidate: ReadManifest, clock: Clock, examiner: Examiner
) -> tuple[Decision, evidence.Evidence | None]:
    """The decision that stands, and what was read for it if it was made now."""
    recorded = _recorded(store, candidate.run_id)
    if recorded is not None:
        return recorded, None
    decision, found = _judged(store, candidate, clock, examiner)
    decision = msgspec.structs.replace(decision, manifest_generation=candidate.info.generation)
    key = layout.candidate(candidate.run_id, layout.DECISION)
    try:
        write_once(store, key, encode(decision), "application/json")
    except PreconditionFailed:  # another delivery of the event decided in the meantime
        decision = _recorded(store, candidate.run_id) or decision
    return decision, found


def _recorded(store: Store, run_id: str) -> Decision | None:
    """The decision that was made before, if one was."""
    key = layout.candidate(run_id, layout.DECISION)
    try:
        return with_status(read_document(store, key, Decision))
    except ObjectMissing:
        return None


def _judged(
    store: Store, candidate: ReadManifest, clock: Clock, examiner: Examiner
) -> tuple[Decision, evidence.Evidence | None]:
    serving, unreadable = _serving(store)
    opening = _opening(candidate, serving, unreadable, clock)
    if candidate.manifest is None or not all(check.passed for check in opening):
        return gate.judge(opening, None), None
    found = evidence.gather_candidate(store, candidate.manifest)
    case = gate.Case(candidate.manifest, found.files, found.problems, gate.Incumbent(None, b"", "it was not read"))
    if gate.may_be_run(case):
        case = replace(case, incumbent=_incumbent(store, candidate.run_id, serving, examiner))
    try:
        return examiner.judge(opening, case), found
    except ProcessEnded as ended:
        if not give_up(store, candidate.run_id, str(ended), clock):
            raise
        return gate.given_up(ended.checks, f"given up {ATTEMPTS} times: {ended}"), found


def _serving(store: Store) -> tuple[Pointer | None, str]:
    try:
        return pointers.read_current(store, "staging").pointer, ""
    except InvalidDocument as error:
        return None, f"{error}; restore it from {layout.history_folder('staging')}"


def _opening(candidate: ReadManifest, serving: Pointer | None, unreadable: str, clock: Clock) -> list[Check]:
    """What can be said before any file is read."""
    run_id, sha256 = candidate.run_id, digest(candidate.data).sha256
    latest = clock() + CLOCK_SKEW
    in_time = layout.run_time(run_id) <= latest
    future = "a run from the future would block every later one; at most one hour of clock difference is allowed"
    superseded = serving is not None and serving.run_id > run_id
    newest = f"staging serves {serving.run_id}" if serving else "staging serves nothing yet"
    return [
        gate.check(
            "manifest",
            candidate.manifest is not None,
            sha256,
            None,
            candidate.problem or "it is valid",
            "" if candidate.manifest is not None else "malformed_manifest",
        ),
        gate.check(
            "run_time",
            in_time,
            run_id,
            latest.isoformat(timespec="seconds"),
            "its time is not in the future" if in_time else future,
            "" if in_time else "future_run",
        ),
        gate.check(
            "newest",
            not superseded and not unreadable,
            serving.run_id if serving else None,
            run_id,
            unreadable or newest,
            "pointer_unreadable" if unreadable else "superseded" if superseded else "",
        ),
    ]


def _incumbent(store: Store, run_id: str, serving: Pointer | None, examiner: Examiner) -> gate.Incumbent:
    if serving is None or serving.run_id == run_id:
        return gate.Incumbent(None, b"", "staging serves no other run")
    try:
        run = evidence.staged_run(
            store,
            "staging",
            serving.run_id,
            serving.manifest_sha256,
            examiner.reproduce,
            only=evidence.needed_to_serve,
        )
    except (IntegrityError, InvalidDocument) as error:
        return gate.Incumbent(None, b"", f"what staging serves does not verify: {error}")
    return gate.Incumbent(run.manifest, run.graph)


def _require_same_manifest(decision: Decision, candidate: ReadManifest) -> None:
    if not _of_manifest(decision, candidate):
        raise PermanentError(
            f"the decision of {candidate.run_id} was made about another manifest; train again for a new run id",
            reason="decision_mismatch",
        )


def _is_no_news(decision: Decision, candidate: ReadManifest) -> bool:
    """Whether the same manifest was written again, as `gsutil rewrite` does for another key or storage class.

    Another delivery of the first event is no such case: its own line may never have been logged.
    """
    return decision.manifest_generation != candidate.info.generation and _of_manifest(decision, candidate)


def _of_manifest(decision: Decision, candidate: ReadManifest) -> bool:
    judged = [check.observed for check in decision.checks if check.name == "manifest"]
    return judged == [digest(candidate.data).sha256]


def _judged_before(run_id: str) -> Outcome:
    return Outcome(
        "judged_before", f"run {run_id} was refused before; its manifest was written again", run_id, "staging"
    )


def _refused(run_id: str, decision: Decision) -> Outcome:
    failed = [check for check in decision.checks if check.standing == "failed"]
    sentences = "; ".join(f"{check.name}: {check.reason}" for check in failed)
    reason = failed[0].code if failed and failed[0].code in ALERTED else "gate_refused"
    names = tuple(check.name for check in failed)
    message = f"run {run_id} was not promoted: {sentences}"
    return Outcome(reason, message, run_id, "staging", reason != "superseded", names)


def _outcome(run_id: str, standing: Standing) -> Outcome:
    message = {
        "promoted": f"run {run_id} passed the gate and serves in staging",
        "unchanged": f"run {run_id} serves in staging already",
        "superseded": f"run {run_id} passed the gate, but staging serves a newer run by now",
    }[standing]
    return Outcome(standing, message, run_id, "staging")


ALERTED = frozenset({"malformed_manifest", "future_run", "superseded", "pointer_unreadable"})
"""Codes of checks that are a reason of their own for alerts; all others are `gate_refused`."""
