"""What never served: candidates that the gate refused or has not judged, and calls of training that made none."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from infra.operate.served import document, failed_checks, score_of, shown
from shared import layout
from shared.decisions import Attempt, Decision
from shared.documents import Manifest
from shared.pointers import Kept
from shared.store import Store

Told = tuple[datetime, list[str]]
"""When it happened, and the lines for people."""


def unserved(store: Store, entries: Sequence[Kept]) -> Iterator[Told]:
    """The candidates and the calls of training that are in no pointer of `entries`. Raises StorageUnavailable."""
    served = {entry.pointer.run_id for entry in entries}
    for info in store.list(layout.candidate("")[:-1]):
        run_id = layout.run_of_manifest(info.name)
        if run_id is not None and run_id not in served:
            yield layout.run_time(run_id), _candidate(store, run_id)
    for info in store.list(layout.ATTEMPTS):
        attempt = document(store, info.name, Attempt)
        if attempt is not None and attempt.run_id is None:
            yield attempt.ended_at, _attempt(attempt)


def _candidate(store: Store, run_id: str) -> list[str]:
    manifest = document(store, layout.candidate(run_id, layout.MANIFEST), Manifest)
    decision = document(store, layout.candidate(run_id, layout.DECISION), Decision)
    score = f"  {manifest.model.algorithm}, {score_of(manifest.model)}" if manifest else ""
    if decision is None:
        return [f"{shown(layout.run_time(run_id))}  {run_id}  not judged yet{score}"]
    verdict = "passed, and did not serve here" if decision.passed else "refused by the gate"
    lines = [f"{shown(layout.run_time(run_id))}  {run_id}  {verdict}{score}"]
    return [*lines, *(f"    {reason}" for reason in failed_checks(decision))]


def _attempt(attempt: Attempt) -> list[str]:
    verdict = {"refused": "refused by training", "later": "ended early, to be tried again"}.get(
        attempt.status, "training failed"
    )
    lines = [f"{shown(attempt.ended_at)}  no run  {verdict}"]
    return [*lines, *(f"    {problem}" for problem in attempt.problems)]
