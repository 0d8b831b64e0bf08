"""How a batch ends: all of it complete, or nothing of it counts and its owner is told why.

`outcome.json` is create-only: whoever writes it first decides. `_SUCCESS.json` or `rejected.json` has the same bytes
and comes last.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from functions.batch.rows import BatchRefused
from shared import layout
from shared.batches import BatchInput, BatchOutcome, BatchPlan, Cut, PartDone, PartFile, RowError
from shared.codec import decode, encode
from shared.documents import SCHEMA_VERSION
from shared.errors import ObjectMissing, PreconditionFailed
from shared.media_types import JSON
from shared.store import CREATE_ONLY, Store, write_once
from shared.stored import read_bytes

MOST_LISTED = 100_000
"""Lines of `errors.jsonl`."""
JSON_LINES = "application/jsonl"


def _unbounded(_: Cut | None) -> int:
    return 2**63


@dataclass
class Totals:
    """What the parts so far, in order, come to. `bound`: more rows than it says cannot follow a cut."""

    plan: BatchPlan
    bound: Callable[[Cut | None], int] = _unbounded
    rows: int = 0
    refused: int = 0
    parts: list[PartFile] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    warned: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, done: PartDone) -> None:
        """Count a part. Raises BatchRefused once too many rows have no answer, whatever follows."""
        self.rows += done.rows
        self.refused += done.refused
        self.errors += done.errors[: max(MOST_LISTED - len(self.errors), 0)]
        self.parts.append(PartFile(name=done.name, rows=done.rows, sha256=done.file.sha256, size=done.file.size))
        for feature, codes in done.warned.items():
            counts = self.warned.setdefault(feature, {})
            for code, count in codes.items():
                counts[code] = counts.get(code, 0) + count
        most = self.rows + (0 if done.next is None else self.bound(done.next))
        if self.refused > self.plan.tolerate * most:
            share = f"{self.plan.tolerate:.3g}"
            raise BatchRefused(
                "too_many_bad_rows",
                [
                    f"{self.refused} of the first {self.rows} rows cannot be answered, more than the share of {share} "
                    f"of all rows that is tolerated; {layout.BATCH_ERRORS} lists them"
                ],
            )


def succeed(store: Store, folder: str, totals: Totals) -> BatchOutcome:
    """Every part is there. Returns how the batch ended, which another delivery may have decided before."""
    _keep_errors(store, folder, totals.errors)
    return _decide(store, _outcome(totals))


def reject(store: Store, about: BatchInput, refused: BatchRefused, totals: Totals | None = None) -> BatchOutcome:
    """The file cannot be answered. Returns how the batch ended."""
    if totals is None:
        outcome = BatchOutcome(schema_version=SCHEMA_VERSION, status="rejected", input=about)
    else:
        _keep_errors(store, layout.batch_folder(about.name, about.generation), totals.errors)
        outcome = msgspec.structs.replace(_outcome(totals), status="rejected", parts=())
    return _decide(store, msgspec.structs.replace(outcome, reason=refused.reason, problems=refused.problems))


def decided(store: Store, folder: str) -> BatchOutcome | None:
    """How the batch ended; None where it has not. What a delivery that broke off did not publish is published here."""
    try:
        data = read_bytes(store, folder + layout.OUTCOME, BatchOutcome).data
    except ObjectMissing:
        return None
    return _published(store, folder, data)


def _outcome(totals: Totals) -> BatchOutcome:
    return BatchOutcome(
        schema_version=SCHEMA_VERSION,
        status="succeeded",
        input=totals.plan.input,
        run_id=totals.plan.run_id,
        rows=totals.rows,
        refused=totals.refused,
        errors_listed=len(totals.errors),
        parts=tuple(totals.parts),
        warned=totals.warned,
    )


def _keep_errors(store: Store, folder: str, errors: list[RowError]) -> None:
    if not errors:
        return
    lines = b"".join(msgspec.json.encode(error) + b"\n" for error in errors)
    try:
        store.write(folder + layout.BATCH_ERRORS, lines, if_generation=CREATE_ONLY, content_type=JSON_LINES)
    except PreconditionFailed:
        return  # another delivery has listed them


def _decide(store: Store, outcome: BatchOutcome) -> BatchOutcome:
    folder = layout.batch_folder(outcome.input.name, outcome.input.generation)
    data = encode(outcome)
    try:
        store.write(folder + layout.OUTCOME, data, if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        data = read_bytes(store, folder + layout.OUTCOME, BatchOutcome).data
    return _published(store, folder, data)


def _published(store: Store, folder: str, data: bytes) -> BatchOutcome:
    outcome = decode(data, BatchOutcome, folder + layout.OUTCOME)
    name = layout.SUCCESS if outcome.status == "succeeded" else layout.BATCH_REJECTED
    write_once(store, folder + name, data, JSON)
    return outcome
