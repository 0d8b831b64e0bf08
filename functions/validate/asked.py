"""What somebody asks for by copying a pointer to a marker: the pointer, the words beside it, and the verified run.

The pointer must be one that this system wrote, byte for byte. What cannot be acted on raises MarkerRefused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from functions.validate import contract
from functions.validate.evidence import StagedRun, staged_run
from functions.validate.isolation import Examiner
from shared import layout, pointers
from shared.codec import decode
from shared.decisions import Pointer
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, ObjectTooLarge, PermanentError
from shared.events import StorageEvent
from shared.layout import Stage
from shared.run_files import staged_manifest
from shared.store import Store

MAX_MARKER_BYTES = pointers.MAX_POINTER_BYTES
MAX_WORDS = 200
_SOURCES: tuple[Stage, ...] = ("production", "staging")


class MarkerRefused(PermanentError):
    """The marker cannot be acted on; the reason is a short code, the problems are for the person who wrote it."""

    reason = "marker_refused"

    def __init__(self, reason: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems), reason=reason)


def refuse(reason: str, problem: str) -> NoReturn:
    """Raise MarkerRefused for one problem."""
    raise MarkerRefused(reason, (problem,))


@dataclass(frozen=True)
class Request:
    """The pointer that a marker copies, as bytes and value, and what stands beside it."""

    pointer: Pointer
    data: bytes
    metadata: Mapping[str, str]

    @property
    def by(self) -> str:
        """Who asks, as the marker's writer said; empty where nobody did."""
        return words(self.metadata.get("by", ""))

    @property
    def why(self) -> str:
        """Why, as the marker's writer said."""
        return words(self.metadata.get("why", ""))


def words(text: str) -> str:
    """One line of text for people, of at most MAX_WORDS characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_WORDS]


def read_request(store: Store, event: StorageEvent) -> Request | None:
    """What the marker of `event` asks for; None if another one replaced it.

    Raises MarkerRefused where it was deleted, or is no pointer of a run that passed the gate and was written here.
    """
    found = _read(store, event)
    if found is None:
        if store.stat(event.name) is None:
            refuse("marker_missing", f"{event.name} was deleted before it was acted on")
        return None
    data, metadata = found
    pointer = _parsed(data, event.name)
    _require_ours(store, pointer, data, event.name)
    return Request(pointer, data, metadata)


def _read(store: Store, event: StorageEvent) -> tuple[bytes, Mapping[str, str]] | None:
    """The marker at the event's generation; None if another one replaced it or it was deleted."""
    name = event.name
    info = store.stat(name)
    if info is None or info.generation != event.generation:
        return None
    if info.size == 0:
        refuse("marker_empty", f"{name} is empty, expected a copy of {layout.pointer('staging')}")
    if info.size > MAX_MARKER_BYTES:
        refuse("marker_too_large", f"{name} has {info.size} bytes, a pointer at most {MAX_MARKER_BYTES}")
    try:
        return store.read(name, event.generation, max_bytes=MAX_MARKER_BYTES).data, info.metadata
    except ObjectMissing:
        return None


def _parsed(data: bytes, name: str) -> Pointer:
    try:
        pointer = decode(data, Pointer, name)
    except InvalidDocument as error:
        raise MarkerRefused("marker_malformed", (str(error),)) from None
    if not pointer.decision.passed:
        refuse("marker_not_passed", f"{name} names a run that did not pass the gate")
    return pointer


def _require_ours(store: Store, pointer: Pointer, data: bytes, name: str) -> None:
    """Byte for byte a pointer that was written here: one of the two of now, or the history entry of its moment."""
    keys = [layout.pointer(stage) for stage in layout.STAGES]
    try:
        keys.append(pointers.entry_key(pointer))
    except InvalidDocument:
        refuse("marker_unknown", f"{name} names a moment that no calendar has")
    if not any(_holds(store, key, data) for key in keys):
        refuse(
            "marker_unknown",
            f"{name} is not a byte-for-byte copy of {' or '.join(keys)}; "
            "copy one of them, or another entry of a history folder, unchanged",
        )


def _holds(store: Store, key: str, data: bytes) -> bool:
    info = store.stat(key)
    if info is None or info.size != len(data):
        return False
    try:
        return store.read(key, max_bytes=len(data)).data == data
    except (ObjectMissing, ObjectTooLarge):
        return False


def verified_run(store: Store, pointer: Pointer, examiner: Examiner) -> StagedRun:
    """The run as production holds it, or else as staging does. Raises MarkerRefused with the problems of both."""
    problems = []
    for stage in _SOURCES:
        try:
            return staged_run(store, stage, pointer.run_id, pointer.manifest_sha256, examiner.reproduce)
        except (IntegrityError, InvalidDocument) as error:
            problems.append(str(error))
    raise MarkerRefused("run_not_verified", problems)


def require_contract(store: Store, run: StagedRun, serving: Pointer | None) -> None:
    """A run that is new to production must answer the calls of the one that serves there; going back always may."""
    if serving is None:
        return
    try:
        served, _ = staged_manifest(store, "production", serving.run_id, serving.manifest_sha256)
    except (IntegrityError, InvalidDocument, ObjectMissing):
        return  # what serves is damaged: nothing may stand in the way of another model
    found = contract.breaks(served, run.manifest)
    if found and not served_before(store, run.manifest.run_id):
        refuse("contract_broken", f"{'; '.join(b.sentence for b in found)}; {contract.to_write(found, served)}")


def served_before(store: Store, run_id: str) -> bool:
    """Whether production has served the run."""
    return any(kept.pointer.run_id == run_id for kept in pointers.history(store, "production"))
