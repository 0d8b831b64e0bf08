"""Promotions that more than one person has to ask for: the spec's `[gate] requires`.

Each marker leaves a note of who asked. The names are what the markers' writers say of themselves: whoever may write the
marker may write any name, so this guards against slips, and Cloud Audit Logs tell the identities.
"""

from functions.validate.asked import Request, refuse, served_before
from functions.validate.evidence import StagedRun
from functions.validate.promotion import Clock
from shared import layout
from shared.codec import encode
from shared.decisions import Approval
from shared.documents import SCHEMA_VERSION
from shared.errors import PreconditionFailed
from shared.media_types import JSON
from shared.store import CREATE_ONLY, Store
from shared.stored import find_document

ANOTHER_PERSON = "another_person_needed"


def require_people(store: Store, run: StagedRun, request: Request, generation: int, clock: Clock) -> None:
    """Note who asks, and raise MarkerRefused until enough different people have. Going back needs nobody else."""
    required, run_id = run.manifest.gate.requires, run.manifest.run_id
    if required < 2 or served_before(store, run_id):
        return
    if not request.by:
        refuse("by_missing", f"[gate] requires = {required}: say who asks, with BY=name or x-goog-meta-by:name")
    _note(store, run_id, request, generation, clock)
    people = sorted({approval.by.casefold(): approval.by for approval in approvals(store, run_id)}.values())
    if len(people) < required:
        refuse(
            ANOTHER_PERSON,
            f"{len(people)} of {required} people have asked for {run_id} ({', '.join(people)}); "
            "the marker of another one, with a name of their own, promotes it",
        )


def approvals(store: Store, run_id: str) -> list[Approval]:
    """Who asked for a run so far. Files of others in the folder are passed over."""
    found = (_read(store, info.name) for info in store.list(f"{layout.APPROVALS}{run_id}/"))
    return [approval for approval in found if approval is not None]


def _note(store: Store, run_id: str, request: Request, generation: int, clock: Clock) -> None:
    approval = Approval(
        schema_version=SCHEMA_VERSION,
        run_id=run_id,
        by=request.by,
        why=request.why,
        at=clock(),
        marker_generation=generation,
    )
    try:
        key = layout.approval(run_id, request.by)
        store.write(key, encode(approval), if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        return  # the same person asked before


def _read(store: Store, key: str) -> Approval | None:
    approval = find_document(store, key, Approval)
    return approval if approval and layout.approval(approval.run_id, approval.by) == key else None
