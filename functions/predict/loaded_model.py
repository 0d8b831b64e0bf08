"""A promoted run, verified before it is constructed.

Pointer → manifest digest → digests of the files that serving loads → golden rows reproduced. What leaves is frozen.
"""

from dataclasses import dataclass, replace

from functions.predict.assessment import Assessor, Outcome
from functions.predict.schema import Inputs, RequestSchema
from shared import layout
from shared.codec import decode, digest
from shared.documents import (
    Golden,
    Manifest,
    Pointer,
    Profile,
)
from shared.errors import IntegrityError, ObjectMissing
from shared.layout import Stage
from shared.model_runtime import Model, require_golden
from shared.store import Store

SERVED = (layout.MODEL, layout.GOLDEN, layout.PROFILE)
"""The files of a run that serving loads, and so verifies."""


class NothingPromoted(ObjectMissing):
    """The stage has no pointer: expected before the first promotion."""


@dataclass(frozen=True)
class LoadedModel:
    """A verified model with everything that its answers need."""

    pointer: Pointer
    pointer_generation: int
    manifest: Manifest
    model: Model
    schema: RequestSchema
    assessor: Assessor

    def outcomes(self, inputs: Inputs) -> list[Outcome]:
        """One outcome per row of `inputs`."""
        if not inputs.rows:
            return []
        predictions: list[float] = self.model.run(inputs.numeric, inputs.categorical).tolist()
        return [self.assessor.assess(prediction) for prediction in predictions]


def load(store: Store, stage: Stage, current: LoadedModel | None = None) -> LoadedModel:
    """What the stage's pointer names, verified; `current` itself where the pointer has not moved.

    Raises NothingPromoted, ObjectMissing, IntegrityError, InvalidDocument, StorageUnavailable.
    """
    where = layout.pointer(stage)
    try:
        download = store.read(where)
    except ObjectMissing as error:
        raise NothingPromoted(str(error)) from error
    if current is not None and current.pointer_generation == download.generation:
        return current
    pointer = decode(download.data, Pointer, where)
    if pointer.stage != stage:
        raise IntegrityError(f"{where} is a pointer of {pointer.stage!r}, expected one of {stage!r}")
    if current is not None and _same_run(current.pointer, pointer):
        return replace(current, pointer=pointer, pointer_generation=download.generation)
    return _verified(store, pointer, download.generation)


def _same_run(one: Pointer, other: Pointer) -> bool:
    return (one.run_id, one.manifest_sha256) == (other.run_id, other.manifest_sha256)


def _verified(store: Store, pointer: Pointer, generation: int) -> LoadedModel:
    manifest = _manifest(store, pointer)
    files = {name: _file(store, pointer, manifest, name) for name in SERVED}
    model = Model(files[layout.MODEL], manifest.features)
    require_golden(model, decode(files[layout.GOLDEN], Golden, layout.GOLDEN))
    profile = decode(files[layout.PROFILE], Profile, layout.PROFILE)
    return LoadedModel(
        pointer=pointer,
        pointer_generation=generation,
        manifest=manifest,
        model=model,
        schema=RequestSchema(manifest),
        assessor=Assessor(manifest, profile),
    )


def _manifest(store: Store, pointer: Pointer) -> Manifest:
    where = layout.staged(pointer.stage, pointer.run_id, layout.MANIFEST)
    data = store.read(where).data
    found = digest(data).sha256
    if found != pointer.manifest_sha256:
        raise IntegrityError(f"{where} has the SHA-256 {found}, the pointer expects {pointer.manifest_sha256}")
    manifest = decode(data, Manifest, where)
    if manifest.run_id != pointer.run_id:
        raise IntegrityError(f"{where} is of run {manifest.run_id}, expected {pointer.run_id}")
    return manifest


def _file(store: Store, pointer: Pointer, manifest: Manifest, name: str) -> bytes:
    where = layout.staged(pointer.stage, pointer.run_id, name)
    promised = manifest.files.get(name)
    if promised is None:
        raise IntegrityError(f"the manifest of run {manifest.run_id} does not list {name}")
    data = store.read(where).data
    found = digest(data)
    if found != promised:
        raise IntegrityError(
            f"{where} has {found.size} bytes and the SHA-256 {found.sha256}, "
            f"the manifest promises {promised.size} and {promised.sha256}"
        )
    return data
