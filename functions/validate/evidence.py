"""Reads the files of one run, each at one generation, and compares them with what its manifest promises.

Arrives: a folder of the bucket. Leaves: `Evidence`, whose sources are exactly the generations that were verified, so
that a promotion copies what was judged and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared import layout
from shared.codec import decode
from shared.documents import FileDigest, Manifest
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing
from shared.graph_rules import require_known
from shared.layout import Stage
from shared.model_runtime import Model, require_golden
from shared.profiles import Golden
from shared.run_files import staged_manifest, verified_object
from shared.serving.loaded_model import OF_NEWER_RUNS, SERVED, too_large_to_serve
from shared.store import ObjectInfo, Store

REQUIRED = (layout.MODEL, layout.GOLDEN, layout.HOLDOUT, layout.PROFILE)
Reproduce = Callable[[Manifest, Mapping[str, bytes], str], None]
"""Requires the golden rows of a manifest, its files and their folder, as `reproduce` does."""
_JUDGED = frozenset({*SERVED, *OF_NEWER_RUNS, layout.HOLDOUT})


@dataclass(frozen=True)
class Evidence:
    """`sources`: the verified generation of each sound file; `files`: content of those that are scored.

    `problems`: one sentence for each file that is not sound.
    """

    sources: Mapping[str, ObjectInfo]
    files: Mapping[str, bytes]
    problems: Sequence[str]


def served_files(manifest: Manifest, manifest_digest: FileDigest) -> dict[str, FileDigest]:
    """What a stage holds of a run: the manifest's files but the holdout, and the manifest itself, which comes last."""
    files = {name: entry for name, entry in sorted(manifest.files.items()) if name != layout.HOLDOUT}
    return {**files, layout.MANIFEST: manifest_digest}


def gather(store: Store, folder: str, promised: Mapping[str, FileDigest]) -> Evidence:
    """Every file of `promised` as it is below `folder` now."""
    found = {info.name.removeprefix(folder): info for info in store.list(folder)}
    sound, files, problems = {}, {}, []
    for name, entry in promised.items():
        if problem := too_large_to_serve(name, entry.size):
            problems.append(problem)
            continue
        try:
            data = verified_object(store, found.get(name), name, entry)
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
    found = gather(store, layout.candidate(manifest.run_id), manifest.files)
    return Evidence(found.sources, found.files, (*absent, *found.problems))


@dataclass(frozen=True)
class StagedRun:
    """A run as a stage holds it, verified."""

    manifest: Manifest
    manifest_digest: FileDigest
    graph: bytes
    sources: Mapping[str, ObjectInfo]


def staged_run(
    store: Store,
    stage: Stage,
    run_id: str,
    manifest_sha256: str,
    require_golden_rows: Reproduce,
    *,
    only: Callable[[str], bool] = lambda _: True,
) -> StagedRun:
    """The run below `<stage>/<run_id>/`: manifest digest, the digests of the files that `only` admits, golden rows.

    Raises IntegrityError with every problem, or InvalidDocument.
    """
    folder = layout.staged(stage, run_id)
    try:
        manifest, manifest_digest = staged_manifest(store, stage, run_id, manifest_sha256)
    except ObjectMissing:
        raise IntegrityError(f"there is no {folder}{layout.MANIFEST}") from None
    files = served_files(manifest, manifest_digest)
    found = gather(store, folder, {name: entry for name, entry in files.items() if only(name)})
    if found.problems:
        raise IntegrityError(f"{folder}: {'; '.join(found.problems)}")
    require_golden_rows(manifest, found.files, folder)
    return StagedRun(manifest, manifest_digest, found.files[layout.MODEL], found.sources)


def needed_to_serve(name: str) -> bool:
    """Whether a file takes part in predicting."""
    return name in (layout.MODEL, layout.GOLDEN)


def reproduce(manifest: Manifest, files: Mapping[str, bytes], folder: str) -> None:
    """The golden rows, by the serving runtime, from a graph that holds nothing else than ours do.

    Raises IntegrityError, InvalidDocument.
    """
    absent = [name for name in (layout.MODEL, layout.GOLDEN) if name not in files]
    if absent:
        raise IntegrityError(f"{folder}: the manifest does not list {', '.join(absent)}")
    try:
        require_known(files[layout.MODEL])
        golden = decode(files[layout.GOLDEN], Golden, folder + layout.GOLDEN)
        require_golden(Model(files[layout.MODEL], manifest.features), golden)
    except (IntegrityError, InvalidDocument, MemoryError):
        raise
    except Exception as error:  # whatever the graph makes the runtime raise, it will raise again
        raise IntegrityError(f"{folder}: the graph fails on the golden rows: {type(error).__name__}") from error
