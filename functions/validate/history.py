"""`<stage>/history/`: every pointer that ever served, once.

An entry is written before its pointer is swapped in, so a crash or a lost race can leave one that never served. The
next delivery of the same event takes it up again where it still continues the pointer of now, and withdraws it where
not. Moments of promotion strictly increase along the pointers that served, so an entry newer than the pointer has not
served; of an older one, walking `previous_run_id` back from the pointer tells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared import layout, logs
from shared.codec import decode
from shared.documents import Pointer
from shared.errors import InvalidDocument, NotPermitted, ObjectMissing, PreconditionFailed
from shared.layout import Stage
from shared.store import ObjectInfo, Store, write_once

JSON = "application/json"


@dataclass(frozen=True)
class Entry:
    """One pointer of the history, with its bytes and its generation."""

    info: ObjectInfo
    data: bytes
    pointer: Pointer


def entry_key(pointer: Pointer) -> str:
    """Where the history keeps this pointer. Raises OverflowError for a moment outside the calendar in UTC."""
    return layout.history(pointer.stage, pointer.promoted_at, pointer.run_id)


def record(store: Store, key: str, data: bytes) -> None:
    """Keep a pointer; finding the same bytes there is success. Raises PreconditionFailed."""
    write_once(store, key, data, JSON)


def newest(store: Store, stage: Stage) -> Pointer | None:
    """The newest pointer of the history."""
    return next((entry.pointer for entry in _backwards(store, stage)), None)


def attempts(store: Store, stage: Stage, run_id: str | None, marker_generation: int | None) -> list[Entry]:
    """What deliveries of one event wrote for one run (None: any), oldest first."""
    ending = f"-{run_id}.json" if run_id else ".json"
    infos = [info for info in store.list(layout.history_folder(stage)) if info.name.endswith(ending)]
    entries = [entry for info in infos if (entry := _entry(store, info)) is not None]
    return [entry for entry in entries if entry.pointer.marker_generation == marker_generation]


def continues(pointer: Pointer, current: Pointer | None) -> bool:
    """Whether `pointer` was made to replace `current`."""
    if current is None:
        return pointer.previous_run_id is None
    return pointer.previous_run_id == current.run_id and pointer.promoted_at > current.promoted_at


def withdraw(store: Store, entries: Sequence[Entry], current: Pointer | None) -> None:
    """Delete those of `entries` that provably never served. Where that is forbidden they stay: they do no harm."""
    for entry in entries:
        if current is None or not _never_served(store, entry, current):
            continue
        try:
            store.delete(entry.info.name, if_generation=entry.info.generation)
        except (ObjectMissing, PreconditionFailed):
            continue
        except NotPermitted as error:
            logs.warning(f"{entry.info.name} never served and could not be withdrawn: {error}", reason="history_kept")


def tidy(store: Store, replaced: Pointer | None, current: Pointer) -> None:
    """After `current` replaced another pointer: withdraw what was made to replace that one too and can no longer serve.

    What was made to replace `current` stays: its own promotion may be under way. Where nothing was replaced, somebody
    may have deleted the pointer, and older entries did serve; those that did not go with their own events.
    """
    if replaced is None:
        return
    since = entry_key(replaced)
    infos = [info for info in store.list(layout.history_folder(current.stage)) if info.name > since]
    entries = [entry for info in infos if (entry := _entry(store, info)) is not None]
    withdraw(store, [entry for entry in entries if not continues(entry.pointer, current)], current)


def _never_served(store: Store, entry: Entry, current: Pointer) -> bool:
    """In doubt, where the chain of predecessors breaks or two entries of the run compete, it served.

    Two entries without a predecessor raced to be the first ever: the one that no pointer builds on lost.
    """
    node, older = current, _backwards(store, entry.pointer.stage)
    while node.promoted_at > entry.pointer.promoted_at:
        found = next(
            (e for e in older if e.pointer.run_id == node.previous_run_id and e.pointer.promoted_at < node.promoted_at),
            None,
        )
        if found is None and node.previous_run_id is None and entry.pointer.previous_run_id is None:
            return not _has_successor(store, entry)
        if found is None or found.pointer.run_id == entry.pointer.run_id:
            return False
        node = found.pointer
    return entry_key(node) != entry.info.name


def _has_successor(store: Store, entry: Entry) -> bool:
    pointers = (other.pointer for other in _backwards(store, entry.pointer.stage))
    return any(pointer.previous_run_id == entry.pointer.run_id for pointer in pointers)


def _backwards(store: Store, stage: Stage) -> Iterator[Entry]:
    for info in reversed(store.list(layout.history_folder(stage))):
        entry = _entry(store, info)
        if entry is not None:
            yield entry


def _entry(store: Store, info: ObjectInfo) -> Entry | None:
    """None for an object that is no entry: somebody else's file in the folder, or one that is gone by now."""
    try:
        data = store.read(info.name, info.generation).data
        pointer = decode(data, Pointer, info.name)
        return Entry(info, data, pointer) if entry_key(pointer) == info.name else None
    except (ObjectMissing, InvalidDocument, OverflowError):
        return None
