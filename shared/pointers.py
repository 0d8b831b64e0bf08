"""What a stage serves and what it served before: the pointer and its history, read and kept in one place.

A pointer is recorded in the history by whoever has just swapped it in, and by whoever is about to replace it. So every
pointer that was ever replaced has its entry, and every entry is of a pointer that served. Nothing below `history/` is
ever deleted: a write whose answer was lost may arrive once more at any later moment, and a create-only write would then
bring a deleted entry back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shared import layout
from shared.codec import decode
from shared.decisions import Pointer
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, PreconditionFailed
from shared.layout import Stage
from shared.media_types import JSON
from shared.store import CREATE_ONLY, Store, write_once
from shared.stored import most_bytes, read_bytes

MAX_POINTER_BYTES = most_bytes(Pointer)


@dataclass(frozen=True)
class CurrentPointer:
    """The pointer as it was read. Where there is none: generation CREATE_ONLY, no bytes and no value."""

    generation: int
    data: bytes
    pointer: Pointer | None


@dataclass(frozen=True)
class Kept:
    """One pointer that served, with the key and the bytes under which it is kept."""

    key: str
    data: bytes
    pointer: Pointer


def read_current(store: Store, stage: Stage) -> CurrentPointer:
    """The pointer of now. Raises InvalidDocument for one that does not parse, or is too large to be one."""
    key = layout.pointer(stage)
    try:
        found = read_bytes(store, key, Pointer)
    except ObjectMissing:
        return CurrentPointer(CREATE_ONLY, b"", None)
    return CurrentPointer(found.generation, found.data, decode(found.data, Pointer, key))


def entry_key(pointer: Pointer) -> str:
    """Where the history keeps a pointer. Raises InvalidDocument for a moment that no calendar has in UTC."""
    try:
        return layout.history(pointer.stage, pointer.promoted_at, pointer.run_id)
    except (OverflowError, ValueError):
        raise InvalidDocument("promoted_at is a moment that no calendar has") from None


def record(store: Store, pointer: Pointer, data: bytes) -> None:
    """Keep a pointer that serves, or served, as the bytes `data`. Doing it again changes nothing.

    An entry that differs only in the marker noted last counts as there. Raises IntegrityError for one that holds
    anything else.
    """
    key = entry_key(pointer)
    try:
        write_once(store, key, data, JSON)
    except PreconditionFailed:
        present = _kept(store, key)
        if present is None or not alike(present.pointer, pointer):
            raise IntegrityError(
                f"{key} holds something else than the pointer that served then: move it out of the folder"
            ) from None


def alike(pointer: Pointer, other: Pointer) -> bool:
    """Whether two pointers are of one promotion: a confirmation changes nothing but the marker that is noted."""
    return msgspec.structs.replace(pointer, marker_generation=other.marker_generation) == other


def history(store: Store, stage: Stage) -> list[Kept]:
    """Every pointer that served, oldest first, the one of now included. Other people's files are passed over.

    Raises InvalidDocument where the pointer of now does not parse.
    """
    entries = list(reversed(list(_backwards(store, stage))))
    current = read_current(store, stage)
    if current.pointer is not None and not any(alike(entry.pointer, current.pointer) for entry in entries):
        entries.append(Kept(layout.pointer(stage), current.data, current.pointer))
    return entries


def newest(store: Store, stage: Stage) -> Pointer | None:
    """The newest pointer of the history: what served last, where the pointer itself is gone."""
    return next((entry.pointer for entry in _backwards(store, stage)), None)


def at(entries: Sequence[Kept], moment: datetime) -> Kept | None:
    """What served at `moment`, of the entries of `history`."""
    return next((entry for entry in reversed(entries) if entry.pointer.promoted_at <= moment), None)


def _backwards(store: Store, stage: Stage) -> Iterator[Kept]:
    for info in reversed(store.list(layout.history_folder(stage))):
        entry = _kept(store, info.name)
        if entry is not None:
            yield entry


def _kept(store: Store, key: str) -> Kept | None:
    """None for an object that is no entry: somebody else's file in the folder."""
    try:
        data = read_bytes(store, key, Pointer).data
        pointer = decode(data, Pointer, key)
        return Kept(key, data, pointer) if entry_key(pointer) == key else None
    except (ObjectMissing, InvalidDocument):
        return None
