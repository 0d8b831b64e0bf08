"""A promoted run, verified before it is constructed.

Pointer → manifest digest → digests of the files that serving loads → golden rows reproduced. What leaves is frozen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from shared import layout, pointers
from shared.card import Card
from shared.codec import decode
from shared.decisions import Pointer
from shared.documents import Document, Manifest
from shared.errors import IntegrityError, ObjectMissing, ObjectTooLarge
from shared.layout import Stage
from shared.model_runtime import Model, require_golden
from shared.profiles import Background, Golden, Profile
from shared.run_files import MAX_FILE_BYTES, promised, staged_manifest, verified
from shared.serving.assessment import Answer, Assessor
from shared.serving.explanation import Explainer
from shared.serving.reading import ModelInput
from shared.serving.rows import RequestSchema
from shared.store import Store

SERVED = (layout.MODEL, layout.GOLDEN, layout.PROFILE)
"""The files of a run that serving loads, and so verifies."""

OF_NEWER_RUNS = (layout.BACKGROUND, layout.CARD)
"""Files that serving loads too where the run has them: a run from before still serves."""

MOST_BYTES = 8 * 2**20
MOST_ITEMS = 250_000
"""Values of a profile, a background or a card: four times those of three hundred columns of two hundred categories."""

T = TypeVar("T", bound=Document)


class NothingPromoted(ObjectMissing):
    """The stage has no pointer: expected before the first promotion."""


@dataclass(frozen=True, kw_only=True)
class VerifiedRun:
    """A verified model with everything that its answers need."""

    manifest: Manifest
    model: Model
    schema: RequestSchema
    assessor: Assessor
    profile: Profile
    explainer: Explainer | None = None
    card: Card | None = None

    def answers(self, inputs: ModelInput) -> list[Answer]:
        """One answer for each row of `inputs`."""
        if not inputs.rows:
            return []
        return self.assessor.assess_all(self.model.run(inputs.numeric, inputs.categorical), inputs.categorical)


@dataclass(frozen=True, kw_only=True)
class LoadedModel(VerifiedRun):
    """The run that a pointer names, with the pointer."""

    pointer: Pointer
    pointer_generation: int


def load(
    store: Store, stage: Stage, current: LoadedModel | None = None, most_graph_bytes: int = MAX_FILE_BYTES
) -> LoadedModel:
    """What the stage's pointer names, verified; `current` itself where the pointer has not moved.

    A graph of more than `most_graph_bytes` is not loaded.

    Raises NothingPromoted, ObjectMissing, IntegrityError, InvalidDocument, StorageUnavailable.
    """
    found = pointers.read_current(store, stage)
    pointer = found.pointer
    if pointer is None:
        raise NothingPromoted(f"there is no {layout.pointer(stage)}")
    if current is not None and current.pointer_generation == found.generation:
        return current
    if pointer.stage != stage:
        raise IntegrityError(f"{layout.pointer(stage)} is a pointer of {pointer.stage!r}, expected one of {stage!r}")
    if current is not None and _same_run(current.pointer, pointer):
        return replace(current, pointer=pointer, pointer_generation=found.generation)
    run = verified_run(store, stage, pointer.run_id, pointer.manifest_sha256, most_graph_bytes)
    loaded = {field.name: getattr(run, field.name) for field in fields(run)}
    return LoadedModel(**loaded, pointer=pointer, pointer_generation=found.generation)


def verified_run(
    store: Store, stage: Stage, run_id: str, manifest_sha256: str, most_graph_bytes: int = MAX_FILE_BYTES
) -> VerifiedRun:
    """A run as a stage holds it, whatever its pointer names by now.

    Raises ObjectMissing, IntegrityError, InvalidDocument, StorageUnavailable.
    """
    manifest, _ = staged_manifest(store, stage, run_id, manifest_sha256)
    size = promised(manifest, layout.MODEL).size
    if size > most_graph_bytes:
        raise ObjectTooLarge(
            f"the graph of run {run_id} has {size} bytes, and the memory of this service has room for one of"
            f" {most_graph_bytes} beside the model in hand: raise predict_memory_mib (MEMORY_MIB)"
        )
    names = (*SERVED, *(name for name in OF_NEWER_RUNS if name in manifest.files))
    files = {name: _verified(store, stage, manifest, name) for name in names}
    model = Model(files[layout.MODEL], manifest.features)
    require_golden(model, decode(files[layout.GOLDEN], Golden, layout.GOLDEN))
    return assembled(manifest, model, files)


def assembled(manifest: Manifest, model: Model, files: Mapping[str, bytes]) -> VerifiedRun:
    """The run with what its answers need beside the graph, out of its files by name.

    Raises InvalidDocument, IntegrityError; whatever else where the files do not fit the manifest.
    """
    absent = [name for name in SERVED if name not in files]
    if absent:
        raise IntegrityError(f"the manifest of run {manifest.run_id} does not list {', '.join(absent)}")
    profile = _document(files, layout.PROFILE, Profile)
    background = _document(files, layout.BACKGROUND, Background) if layout.BACKGROUND in files else None
    return VerifiedRun(
        manifest=manifest,
        model=model,
        schema=RequestSchema(manifest),
        assessor=Assessor(manifest, profile),
        explainer=None if background is None else Explainer(manifest.target_range, model, background),
        profile=profile,
        card=_document(files, layout.CARD, Card) if layout.CARD in files else None,
    )


def too_large_to_serve(name: str, promised_bytes: int) -> str:
    """Why a file of so many bytes is not loaded beside a graph; nothing where it is."""
    if name not in (layout.PROFILE, *OF_NEWER_RUNS) or promised_bytes <= MOST_BYTES:
        return ""
    return f"{name} is promised with {promised_bytes} bytes, at most {MOST_BYTES} are served"


def _verified(store: Store, stage: Stage, manifest: Manifest, name: str) -> bytes:
    expected = promised(manifest, name)
    if problem := too_large_to_serve(name, expected.size):
        raise IntegrityError(problem)
    return verified(store, layout.staged(stage, manifest.run_id, name), expected)


def _document(files: Mapping[str, bytes], name: str, kind: type[T]) -> T:
    return decode(files[name], kind, name, max_items=MOST_ITEMS)


def _same_run(pointer: Pointer, other: Pointer) -> bool:
    return (pointer.run_id, pointer.manifest_sha256) == (other.run_id, other.manifest_sha256)
