"""What must hold of a bucket whatever was injected: looked at after every change, and when all events are drained."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from functions.validate.evidence import served_files
from shared import layout, pointers
from shared.codec import decode, digest
from shared.decisions import Decision, Pointer
from shared.documents import Manifest
from shared.layout import Stage
from shared.store import Store

CHANGING = frozenset({*(layout.pointer(stage) for stage in layout.STAGES), layout.MARKER, layout.REJECTED})
"""The only objects that may ever be replaced."""


@dataclass
class Script:
    """What people and training did: candidates by run id (whether they deserve to pass), markers by generation."""

    good: dict[str, bool] = field(default_factory=dict)
    published: dict[str, bytes] = field(default_factory=dict)
    markers: dict[int, str | None] = field(default_factory=dict)
    """The run that a marker asks for; None for one that must be refused."""


def faults_of_pointer(store: Store, stage: Stage, data: bytes) -> list[str]:
    """What is wrong with a pointer at the moment when it becomes visible: its files and its manifest."""
    pointer = decode(data, Pointer, layout.pointer(stage))
    if pointer.stage != stage or not pointer.decision.passed:
        return [f"{stage} serves {pointer.run_id}, of stage {pointer.stage}, passed: {pointer.decision.passed}"]
    key = layout.staged(stage, pointer.run_id, layout.MANIFEST)
    if store.stat(key) is None:
        return [f"{stage} serves {pointer.run_id} without a manifest"]
    content = store.read(key).data
    if digest(content).sha256 != pointer.manifest_sha256:
        return [f"{stage} serves {pointer.run_id} with another manifest"]
    faults = []
    for name, expected in served_files(decode(content, Manifest, key), digest(content)).items():
        file = layout.staged(stage, pointer.run_id, name)
        if store.stat(file) is None or digest(store.read(file).data) != expected:
            faults.append(f"{stage} serves {pointer.run_id} without a sound {name}")
    return faults


def faults_of_replaced(store: Store, stage: Stage, data: bytes) -> list[str]:
    """What is wrong when a pointer is replaced: it must be in the history by then."""
    pointer = unmarked(data)
    entry = layout.history(stage, pointer.promoted_at, pointer.run_id)
    if store.stat(entry) is None or unmarked(store.read(entry).data) != pointer:
        return [f"{stage} lost {pointer.run_id} before the history held it"]
    return []


def unmarked(data: bytes) -> Pointer:
    """The pointer without the marker noted last: a confirmation changes nothing else."""
    return msgspec.structs.replace(decode(data, Pointer, "pointer"), marker_generation=None)


def faults_when_drained(
    store: Store, script: Script, visible: Mapping[Stage, list[bytes]], late: Collection[bytes] = ()
) -> list[str]:
    """What is wrong once every event was acknowledged. `visible`: every content of each pointer, in order.

    `late`: pointers whose write arrived after its sender had given up. Of those, one that serves now may have to wait
    for its entry until it is replaced, if its own event was acknowledged before.
    """
    return [
        *_faults_of_decisions(store, script),
        *_faults_of_staging(store, script),
        *_faults_of_production(store, script),
        *(fault for stage in layout.STAGES for fault in _faults_of_history(store, stage, visible[stage], late)),
        *(f"{name} was lost or changed" for name in script.published if not _is(store, name, script.published[name])),
    ]


def _faults_of_decisions(store: Store, script: Script) -> list[str]:
    faults = []
    for run_id, good in script.good.items():
        decision = _decision(store, run_id)
        if decision is None:
            faults.append(f"{run_id} was never decided on")
        elif decision.passed and not good:
            faults.append(f"{run_id} passed, and should not have")
        elif good and not decision.passed:
            failed = [check.name for check in decision.checks if check.standing == "failed"]
            faults.extend([f"{run_id} was refused: {failed}"] if failed != ["newest"] else [])
    return faults


def _faults_of_staging(store: Store, script: Script) -> list[str]:
    passed = [run_id for run_id in script.good if (found := _decision(store, run_id)) is not None and found.passed]
    pointer, newest = _pointer(store, "staging"), max(passed, default=None)
    serves = pointer.run_id if pointer else None
    return [] if serves == newest else [f"staging serves {serves}, the newest that passed is {newest}"]


def _faults_of_production(store: Store, script: Script) -> list[str]:
    """The newest marker decides; a refused one leaves what an earlier one asked for."""
    pointer = _pointer(store, "production")
    if not script.markers:
        return [] if pointer is None else [f"production serves {pointer.run_id}, and nobody asked"]
    last = max(script.markers)
    noted = (pointer.marker_generation or 0) if pointer else 0
    faults = []
    if pointer and script.markers.get(noted) != pointer.run_id:
        faults.append(f"production serves {pointer.run_id} for marker {noted}, which asked for otherwise")
    if script.markers[last] is not None and noted != last:
        faults.append(f"marker {last} asked for {script.markers[last]}, the last one acted on is {noted}")
    if script.markers[last] is None and f'"marker_generation": {last}' not in _text(store, layout.REJECTED):
        faults.append(f"marker {last} was not refused in the bucket")
    return faults


def _faults_of_history(store: Store, stage: Stage, visible: list[bytes], late: Collection[bytes]) -> list[str]:
    served: list[Pointer] = []
    for pointer in map(unmarked, visible):
        if not served or served[-1].promoted_at != pointer.promoted_at:
            served.append(pointer)
    kept = [unmarked(store.read(info.name).data) for info in store.list(layout.history_folder(stage))]
    read = [unmarked(entry.data) for entry in pointers.history(store, stage)]
    if read == served and (kept == served or (kept == served[:-1] and visible[-1] in late)):
        return []
    told = [[pointer.run_id for pointer in found] for found in (served, kept, read)]
    return [f"{stage} served {told[0]}, its history holds {told[1]}, readers are told {told[2]}"]


def _pointer(store: Store, stage: Stage) -> Pointer | None:
    key = layout.pointer(stage)
    return decode(store.read(key).data, Pointer, key) if store.stat(key) else None


def _decision(store: Store, run_id: str) -> Decision | None:
    key = layout.candidate(run_id, layout.DECISION)
    return decode(store.read(key).data, Decision, key) if store.stat(key) else None


def _text(store: Store, name: str) -> str:
    return store.read(name).data.decode() if store.stat(name) else ""


def _is(store: Store, name: str, data: bytes) -> bool:
    return store.stat(name) is not None and store.read(name).data == data
