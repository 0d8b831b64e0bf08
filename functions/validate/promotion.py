"""Puts a judged run before a stage: copies its files, verifies the copies, writes the history, swaps the pointer last.

The stage gets the manifest's files but the holdout, and the manifest; decision.json stays with the candidate, and the
pointer carries it. Every step may be repeated, so the next delivery of the same event mends a crash anywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from functions.validate import history
from functions.validate.evidence import served_files, verified_copy
from shared import layout
from shared.codec import decode, encode
from shared.documents import (
    SCHEMA_VERSION,
    Decision,
    FileDigest,
    Manifest,
    Pointer,
)
from shared.errors import IntegrityError, ObjectMissing, PreconditionFailed, TransientError
from shared.layout import Stage
from shared.store import CREATE_ONLY, ObjectInfo, Store

ATTEMPTS = 5
Standing = Literal["promoted", "confirmed", "unchanged", "superseded", "older_marker"]
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Release:
    """A run that may serve. `sources`: by file name, the generations that were verified and will be copied."""

    manifest: Manifest
    manifest_digest: FileDigest
    sources: Mapping[str, ObjectInfo]
    decision: Decision
    marker_generation: int | None = None


@dataclass(frozen=True)
class Current:
    """The pointer as it was read; generation CREATE_ONLY and no value where there is none."""

    generation: int
    pointer: Pointer | None


def promote(store: Store, stage: Stage, release: Release, clock: Clock) -> Standing:
    """Make `stage` serve `release`, unless what it serves speaks against it.

    Raises IntegrityError where a copy differs, InvalidDocument where the pointer does not parse (it is never
    overwritten blindly), TransientError where the race was lost ATTEMPTS times.
    """
    copied = False
    for _ in range(ATTEMPTS):
        current = read_current(store, stage)
        standing = _standing(store, stage, current, release)
        if standing == "confirmed":
            if _confirm(store, current, release):
                _withdraw_attempts(store, stage, release, current)
                return standing
            continue
        if standing != "promoted":
            _withdraw_attempts(store, stage, release, current)
            return standing
        if not copied:
            copy_files(store, stage, release)
            copied = True
        data = _recorded_pointer(store, stage, release, current, clock)
        if _swap(store, stage, current, data):
            history.tidy(store, current.pointer, decode(data, Pointer, layout.pointer(stage)))
            return standing
    raise TransientError(
        f"{layout.pointer(stage)} was replaced {ATTEMPTS} times by others; the next delivery tries again"
    )


def read_current(store: Store, stage: Stage) -> Current:
    """The pointer of now. Raises InvalidDocument."""
    key = layout.pointer(stage)
    try:
        found = store.read(key)
    except ObjectMissing:
        return Current(CREATE_ONLY, None)
    return Current(found.generation, decode(found.data, Pointer, key))


def last_marker(store: Store, current: Current) -> int:
    """Generation of the newest marker that was acted on; from the history if the pointer is gone."""
    pointer = current.pointer or history.newest(store, "production")
    return (pointer.marker_generation if pointer else None) or 0


def copy_files(store: Store, stage: Stage, release: Release) -> None:
    """Create-only, server-side copies of what serves, each verified. Raises IntegrityError."""
    for name, expected in served_files(release.manifest, release.manifest_digest).items():
        target = layout.staged(stage, release.manifest.run_id, name)
        source = release.sources.get(name)
        info = _copied(store, source, target) if source else store.stat(target)
        if info is None:
            raise IntegrityError(f"{target} is missing, and there is no sound file to copy it from")
        verified_copy(store, info, expected)


def _copied(store: Store, source: ObjectInfo, target: str) -> ObjectInfo | None:
    """The copy, made now or by an earlier delivery."""
    if source.name == target:
        return source
    try:
        return store.copy(source, target)
    except (PreconditionFailed, ObjectMissing):
        return store.stat(target)


def _standing(store: Store, stage: Stage, current: Current, release: Release) -> Standing:
    """What the pointer of now says about promoting `release`."""
    pointer, run_id = current.pointer, release.manifest.run_id
    if stage == "production":
        last = last_marker(store, current)
        if release.marker_generation is None or release.marker_generation < last:
            return "older_marker"
        if pointer is not None and release.marker_generation == last:
            return "unchanged"
    elif pointer is not None and pointer.run_id > run_id:
        return "superseded"
    if pointer is None or pointer.run_id != run_id:
        return "promoted"
    if pointer.manifest_sha256 != release.manifest_digest.sha256:
        raise IntegrityError(f"{layout.pointer(stage)} names {run_id} with another manifest; a run never changes")
    return "confirmed" if stage == "production" else "unchanged"


def _confirm(store: Store, current: Current, release: Release) -> bool:
    """Note the newer marker in the pointer, and nothing else: a promotion under way for an older one then fails."""
    pointer = current.pointer
    if pointer is None:
        return False
    confirmed = msgspec.structs.replace(pointer, marker_generation=release.marker_generation)
    return _swap(store, pointer.stage, current, encode(confirmed))


def _recorded_pointer(store: Store, stage: Stage, release: Release, current: Current, clock: Clock) -> bytes:
    """The pointer to swap in, already in the history: an interrupted delivery's if it still fits, else a new one.

    Others that fit stay until the swap is made: another delivery of the event may be about to swap one of them in.
    """
    entries = history.attempts(store, stage, release.manifest.run_id, release.marker_generation)
    sha256 = release.manifest_digest.sha256
    fitting = [
        entry
        for entry in entries
        if history.continues(entry.pointer, current.pointer) and entry.pointer.manifest_sha256 == sha256
    ]
    history.withdraw(store, [entry for entry in entries if entry not in fitting], current.pointer)
    if fitting:
        return fitting[0].data
    pointer = _new_pointer(stage, release, current.pointer, clock())
    data = encode(pointer)
    history.record(store, history.entry_key(pointer), data)
    return data


def _new_pointer(stage: Stage, release: Release, current: Pointer | None, now: datetime) -> Pointer:
    if current is not None:
        now = max(now, current.promoted_at + timedelta(microseconds=1))  # the history sorts as the pointers served
    return Pointer(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        run_id=release.manifest.run_id,
        manifest_sha256=release.manifest_digest.sha256,
        promoted_at=now,
        previous_run_id=current.run_id if current else None,
        decision=release.decision,
        marker_generation=release.marker_generation,
    )


def _swap(store: Store, stage: Stage, current: Current, data: bytes) -> bool:
    """Whether the pointer now holds `data`, also if the write's answer was lost and its retry met its own object."""
    key = layout.pointer(stage)
    try:
        store.write(key, data, if_generation=current.generation, content_type=history.JSON)
    except PreconditionFailed:
        try:
            return store.read(key).data == data
        except ObjectMissing:
            return False
    return True


def _withdraw_attempts(store: Store, stage: Stage, release: Release, current: Current) -> None:
    entries = history.attempts(store, stage, release.manifest.run_id, release.marker_generation)
    history.withdraw(store, entries, current.pointer)
