"""Puts a judged run before a stage: copies its files, verifies the copies, records what serves, swaps the pointer.

The stage gets the manifest's files but the holdout, and the manifest; decision.json stays with the candidate, and the
pointer carries it. Every step may be repeated, so the next delivery of the same event mends a crash anywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from functions.validate.evidence import served_files
from functions.validate.standing import Asked, Standing, standing
from shared import layout, pointers
from shared.codec import decode, encode
from shared.decisions import Decision, Pointer
from shared.documents import SCHEMA_VERSION, FileDigest, Manifest
from shared.errors import IntegrityError, ObjectMissing, PreconditionFailed, TransientError
from shared.layout import Stage
from shared.media_types import JSON
from shared.pointers import CurrentPointer
from shared.run_files import verified_object
from shared.store import ObjectInfo, Store

ATTEMPTS = 5
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Release:
    """A run that may serve. `sources`: by file name, the generations that were verified and will be copied."""

    manifest: Manifest
    manifest_digest: FileDigest
    sources: Mapping[str, ObjectInfo]
    decision: Decision
    marker_generation: int | None = None
    by: str = ""
    why: str = ""

    def asked(self, stage: Stage) -> Asked:
        """The release as a request for `stage`."""
        return Asked(stage, self.manifest.run_id, self.manifest_digest.sha256, self.marker_generation)


def promote(store: Store, stage: Stage, release: Release, clock: Clock) -> Standing:
    """Make `stage` serve `release`, unless what it serves speaks against it.

    What serves in the end is in the history before this returns. Raises IntegrityError where a copy differs,
    InvalidDocument where the pointer does not parse (it is never overwritten blindly), TransientError where the race
    was lost ATTEMPTS times.
    """
    copied = False
    for _ in range(ATTEMPTS):
        current = pointers.read_current(store, stage)
        newest = None if current.pointer else pointers.newest(store, stage)
        decided = standing(release.asked(stage), current.pointer, newest)
        if decided in ("promoted", "confirmed"):
            if decided == "promoted" and not copied:
                copy_files(store, stage, release)
                copied = True
            data = _next_pointer(stage, release, current.pointer, clock, decided)
            if not _swap(store, stage, current, data):
                continue
            current = CurrentPointer(current.generation, data, decode(data, Pointer, layout.pointer(stage)))
        _record(store, current)
        return decided
    raise TransientError(
        f"{layout.pointer(stage)} was replaced {ATTEMPTS} times by others; the next delivery tries again"
    )


def copy_files(store: Store, stage: Stage, release: Release) -> None:
    """Create-only, server-side copies of what serves, each verified. Raises IntegrityError."""
    for name, expected in served_files(release.manifest, release.manifest_digest).items():
        target = layout.staged(stage, release.manifest.run_id, name)
        source = release.sources.get(name)
        info = _copied(store, source, target) if source else store.stat(target)
        if info is None:
            raise IntegrityError(f"{target} is missing, and there is no sound file to copy it from")
        verified_object(store, info, target, expected)


def _copied(store: Store, source: ObjectInfo, target: str) -> ObjectInfo | None:
    """The copy, made now or by an earlier delivery."""
    if source.name == target:
        return source
    try:
        return store.copy(source, target)
    except (PreconditionFailed, ObjectMissing):
        return store.stat(target)


def _next_pointer(stage: Stage, release: Release, current: Pointer | None, clock: Clock, decided: Standing) -> bytes:
    """The pointer to swap in. A confirmation notes the newer marker and nothing else: a promotion under way for an
    older one then fails."""
    if decided == "confirmed" and current is not None:
        return encode(msgspec.structs.replace(current, marker_generation=release.marker_generation))
    now = clock()
    if current is not None:
        now = max(now, current.promoted_at + timedelta(microseconds=1))  # the history sorts as the pointers served
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        run_id=release.manifest.run_id,
        manifest_sha256=release.manifest_digest.sha256,
        promoted_at=now,
        previous_run_id=current.run_id if current else None,
        decision=release.decision,
        marker_generation=release.marker_generation,
        by=release.by,
        why=release.why,
    )
    return encode(pointer)


def _swap(store: Store, stage: Stage, current: CurrentPointer, data: bytes) -> bool:
    """Replace the pointer, which is recorded first. Whether it now holds `data`, also if the write's answer was lost
    and its retry met its own object."""
    _record(store, current)
    key = layout.pointer(stage)
    try:
        store.write(key, data, if_generation=current.generation, content_type=JSON)
    except PreconditionFailed:
        try:
            return store.read(key, max_bytes=pointers.MAX_POINTER_BYTES).data == data
        except ObjectMissing:
            return False
    return True


def _record(store: Store, current: CurrentPointer) -> None:
    if current.pointer is not None:
        pointers.record(store, current.pointer, current.data)
