"""Reads the files of one run, each at one generation, and compares them with what its manifest promises.

Arrives: a folder of the bucket. Leaves: `Evidence`, whose sources are exactly the generations that were verified, so
that a promotion copies what was judged and nothing else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared import layout
from shared.codec import decode, digest
from shared.documents import FileDigest, Golden, Manifest
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing
from shared.layout import Stage
from shared.model_runtime import Model, require_golden
from shared.store import ObjectInfo, Store

MAX_MANIFEST_BYTES = 8 * 2**20
MAX_FILE_BYTES = 512 * 2**20
REQUIRED = (layout.MODEL, layout.GOLDEN, layout.HOLDOUT, layout.PROFILE)
_JUDGED = frozenset({layout.MODEL, layout.GOLDEN, layout.HOLDOUT})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Evidence:
    """`sources`: the verified generation of each sound file; `files`: content of those that are scored.

    `problems`: one sentence for each file that is not sound.
    """

    sources: Mapping[str, ObjectInfo]
    files: Mapping[str, bytes]
    problems: Sequence[str]


def parse_manifest(data: bytes, run_id: str, where: str) -> Manifest:
    """The manifest of exactly `run_id`. Raises InvalidDocument."""
    manifest = decode(data, Manifest, where)
    names = [feature.name for feature in manifest.features]
    if manifest.run_id != run_id:
        raise InvalidDocument(f"{where}: run_id is {manifest.run_id}, expected the folder's {run_id}")
    if not names or len(set(names)) != len(names):
        raise InvalidDocument(f"{where}: expected at least one feature, and each once")
    for feature in manifest.features:
        if feature.kind == "categorical" and not feature.categories:
            raise InvalidDocument(f"{where}: feature {feature.name[:64]!r} is categorical without categories")
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name) or name in (layout.MANIFEST, layout.DECISION):
            raise InvalidDocument(f"{where}: {name[:64]!r} is not a name that a run's file may have")
    return manifest


def served_files(manifest: Manifest, manifest_digest: FileDigest) -> dict[str, FileDigest]:
    """What a stage holds of a run: the manifest's files but the holdout, and the manifest itself, which comes last."""
    files = {name: entry for name, entry in sorted(manifest.files.items()) if name != layout.HOLDOUT}
    return {**files, layout.MANIFEST: manifest_digest}


def gather(store: Store, folder: str, promised: Mapping[str, FileDigest]) -> Evidence:
    """Every file of `promised` as it is below `folder` now."""
    found = {info.name.removeprefix(folder): info for info in store.list(folder)}
    sound, files, problems = {}, {}, []
    for name, entry in promised.items():
        try:
            data = _verified(store, name, found.get(name), entry)
        except IntegrityError as error:
            problems.append(str(error))
            continue
        sound[name] = found[name]
        if name in _JUDGED:
            files[name] = data
    return Evidence(sources=sound, files=files, problems=tuple(problems))


def gather_candidate(store: Store, manifest: Manifest) -> Evidence:
    """A candidate's files, the required ones counted as promised."""
    absent = [f"the manifest does not list {name}" for name in REQUIRED if name not in manifest.files]
    evidence = gather(store, layout.candidate(manifest.run_id), manifest.files)
    return Evidence(evidence.sources, evidence.files, (*absent, *evidence.problems))


def verified_copy(store: Store, info: ObjectInfo, expected: FileDigest) -> bytes:
    """The content of that generation. Raises IntegrityError where it is not what was promised."""
    return _verified(store, info.name, info, expected)


@dataclass(frozen=True)
class StagedRun:
    """A run as a stage holds it, verified."""

    manifest: Manifest
    manifest_digest: FileDigest
    graph: bytes
    sources: Mapping[str, ObjectInfo]


def staged_run(
    store: Store, stage: Stage, run_id: str, manifest_sha256: str, *, only: Callable[[str], bool] = lambda _: True
) -> StagedRun:
    """The run below `<stage>/<run_id>/`: manifest digest, the digests of the files that `only` admits, golden rows.

    Raises IntegrityError with every problem, or InvalidDocument.
    """
    folder = layout.staged(stage, run_id)
    manifest_key = folder + layout.MANIFEST
    info = store.stat(manifest_key)
    if info is None:
        raise IntegrityError(f"there is no {manifest_key}")
    if info.size > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"{manifest_key}: {info.size} bytes is over the limit of {MAX_MANIFEST_BYTES}")
    data = _read(store, info)
    if digest(data).sha256 != manifest_sha256:
        raise IntegrityError(f"{manifest_key}: sha256 is not the one that the pointer names")
    manifest = parse_manifest(data, run_id, manifest_key)
    promised = served_files(manifest, digest(data))
    evidence = gather(store, folder, {name: entry for name, entry in promised.items() if only(name)})
    if evidence.problems:
        raise IntegrityError(f"{folder}: {'; '.join(evidence.problems)}")
    require_reproduced(manifest, evidence.files, folder)
    return StagedRun(manifest, digest(data), evidence.files[layout.MODEL], evidence.sources)


def needed_to_serve(name: str) -> bool:
    """Whether a file takes part in predicting."""
    return name in (layout.MODEL, layout.GOLDEN)


def require_reproduced(manifest: Manifest, files: Mapping[str, bytes], folder: str) -> None:
    """The golden rows, by the serving runtime. Raises IntegrityError, InvalidDocument."""
    absent = [name for name in (layout.MODEL, layout.GOLDEN) if name not in files]
    if absent:
        raise IntegrityError(f"{folder}: the manifest does not list {', '.join(absent)}")
    try:
        golden = decode(files[layout.GOLDEN], Golden, folder + layout.GOLDEN)
        require_golden(Model(files[layout.MODEL], manifest.features), golden)
    except (IntegrityError, InvalidDocument, MemoryError):
        raise
    except Exception as error:  # whatever the graph makes the runtime raise, it will raise again
        raise IntegrityError(f"{folder}: the graph fails on the golden rows: {type(error).__name__}") from error


def _verified(store: Store, name: str, info: ObjectInfo | None, expected: FileDigest) -> bytes:
    if info is None:
        raise IntegrityError(f"{name} is missing")
    if info.size != expected.size or info.size > MAX_FILE_BYTES:  # known before a byte is read
        raise IntegrityError(f"{name} has {info.size} bytes, expected {expected.size} (at most {MAX_FILE_BYTES})")
    data = _read(store, info)
    if digest(data).sha256 != expected.sha256:
        raise IntegrityError(f"{name} has another sha256 than the manifest says")
    return data


def _read(store: Store, info: ObjectInfo) -> bytes:
    try:
        return store.read(info.name, info.generation).data
    except ObjectMissing:
        raise IntegrityError(f"{info.name} was removed or replaced while it was read") from None
