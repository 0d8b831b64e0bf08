"""A run's files, verified before anything is made of them: the manifest against its digest, files against the manifest.

Used by validation for what it judges and by serving for what it loads. Sizes are known, and bounded, before a byte is
read.
"""

from shared import layout
from shared.codec import decode, digest
from shared.documents import FileDigest, Manifest
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing
from shared.layout import Stage
from shared.store import ObjectInfo, Store

MAX_MANIFEST_BYTES = 8 * 2**20
MAX_FILE_BYTES = 128 * 2**20
"""A graph of this size takes fourteen times as much memory to load."""


def parse_manifest(data: bytes, run_id: str, where: str) -> Manifest:
    """The manifest of exactly `run_id`. Raises InvalidDocument."""
    manifest = decode(data, Manifest, where)
    if manifest.run_id != run_id:
        raise InvalidDocument(f"{where}: run_id is {manifest.run_id}, expected the folder's {run_id}")
    _require_usable(manifest, where)
    return manifest


def _require_usable(manifest: Manifest, where: str) -> None:
    names = [feature.name for feature in manifest.features]
    if not names or len(set(names)) != len(names):
        raise InvalidDocument(f"{where}: expected at least one feature, and each once")
    for feature in manifest.features:
        if feature.kind == "categorical" and not feature.categories:
            raise InvalidDocument(f"{where}: feature {feature.name[:64]!r} is categorical without categories")
    for name in manifest.files:
        if not layout.is_plain_name(name) or name in (layout.MANIFEST, layout.DECISION):
            raise InvalidDocument(f"{where}: {name[:64]!r} is not a name that a run's file may have")


def staged_manifest(store: Store, stage: Stage, run_id: str, manifest_sha256: str) -> tuple[Manifest, FileDigest]:
    """The manifest of a run as a stage holds it, and its digest.

    Raises ObjectMissing, IntegrityError, InvalidDocument.
    """
    key = layout.staged(stage, run_id, layout.MANIFEST)
    data = store.read(key, max_bytes=MAX_MANIFEST_BYTES).data
    found = digest(data)
    if found.sha256 != manifest_sha256:
        raise IntegrityError(f"{key}: sha256 is not the one that the pointer names")
    manifest = decode(data, Manifest, key)
    if manifest.run_id != run_id:
        raise IntegrityError(f"{key} is of run {manifest.run_id}, expected {run_id}")
    _require_usable(manifest, key)
    return manifest, found


def promised(manifest: Manifest, name: str) -> FileDigest:
    """What the manifest says of a file. Raises IntegrityError where it does not list it."""
    found = manifest.files.get(name)
    if found is None:
        raise IntegrityError(f"the manifest of run {manifest.run_id} does not list {name}")
    return found


def verified(store: Store, key: str, expected: FileDigest, generation: int | None = None) -> bytes:
    """The content of an object, at `generation` or live, that is exactly what was promised.

    Raises ObjectMissing, IntegrityError.
    """
    if expected.size > MAX_FILE_BYTES:
        raise IntegrityError(f"{key} is promised with {expected.size} bytes, at most {MAX_FILE_BYTES} are read")
    data = store.read(key, generation, max_bytes=expected.size).data
    found = digest(data)
    if found != expected:
        raise IntegrityError(
            f"{key} has {found.size} bytes and the sha256 {found.sha256}, promised were {expected.size} and"
            f" {expected.sha256}"
        )
    return data


def verified_object(store: Store, info: ObjectInfo | None, name: str, expected: FileDigest) -> bytes:
    """`verified` for an object whose generation and size are known already; None is one that is missing.

    `name` is what a message calls it.

    Raises IntegrityError, also where it is gone by now.
    """
    if info is None:
        raise IntegrityError(f"{name} is missing")
    if info.size != expected.size:
        raise IntegrityError(f"{name} has {info.size} bytes, expected {expected.size} (at most {MAX_FILE_BYTES})")
    try:
        return verified(store, info.name, expected, info.generation)
    except ObjectMissing:
        raise IntegrityError(f"{name} was removed or replaced while it was read") from None
