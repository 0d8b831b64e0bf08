"""What a run is made of: the spec and the table, read once, kept by their content, and a digest that names it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from msgspec.structs import replace

from functions.train.code import code_digest
from functions.train.data import bigquery
from functions.train.data.gathering import File, Gathered, gather
from functions.train.lease import fingerprint
from shared import layout
from shared.clock import utc_now
from shared.codec import digest
from shared.dataset import DatasetSpec
from shared.dataset_file import MAX_SPEC_BYTES, parse_spec
from shared.errors import (
    InvalidDataset,
    ObjectMissing,
    ObjectTooLarge,
    PreconditionFailed,
    WrongEncoding,
)
from shared.media_types import PARQUET
from shared.monitoring import NOTHING_SERVES, LabelRejection
from shared.store import MAX_BYTES, Download, ObjectInfo, Store, write_once
from shared.stored import find_document
from shared.tables.reading import Table, read_table
from shared.tables.table_size import MEMORY_BYTES, require_files_fit

READERS = 8
Export = Callable[[DatasetSpec, datetime], bytes]
"""The rows of a spec in BigQuery, as of a moment, as Parquet."""


@dataclass(frozen=True)
class RunInputs:
    """What a run is made of, as it was read. `code`: the digest of the code, where it is known.

    `notes`: of a source of several files, what was taken of each.
    """

    spec: DatasetSpec
    spec_object: Download
    source_uri: str
    source: Download
    code: str = ""
    notes: Sequence[str] = field(default=())

    @property
    def fingerprint(self) -> str:
        """The same for the same spec, data and code, and for nothing else."""
        return fingerprint(self.spec_object.data, self.source.data, self.code.encode())

    def table(self, memory_bytes: int = MEMORY_BYTES) -> Table:
        """The checked table. Raises InvalidDataset; of several files, it ends with where each one's rows are."""
        try:
            return read_table(self.source.data, self.spec, memory_bytes)
        except InvalidDataset as error:
            raise error.followed_by(self.notes) from None


def read_inputs(
    store: Store,
    bucket: str,
    dataset: str,
    export: Export = bigquery.export,
    memory_bytes: int = MEMORY_BYTES,
) -> RunInputs:
    """The spec at `dataset` and its data. Raises InvalidDataset for what is missing or elsewhere, CodeChanged.

    What is in BigQuery, or in several files, becomes a snapshot first, and is read from there as any other table.
    """
    spec_object = _read(store, bucket, dataset, "the dataset spec", MAX_SPEC_BYTES)
    spec = parse_spec(spec_object.data, dataset)
    notes: Sequence[str] = ()
    if spec.in_bigquery:
        spec = _snapshot(store, bucket, spec, export(spec, utc_now()))
    elif spec.gathered:
        found, notes = _gathered(store, bucket, dataset, spec, memory_bytes)
        spec, notes = _snapshot(store, bucket, spec, found.data), [*found.notes, *notes]
    source_uri = layout.beside(dataset, spec.table)
    data = _read(store, bucket, source_uri, "the data", MAX_BYTES)
    return RunInputs(spec, spec_object, source_uri, data, code_digest(), notes)


def _snapshot(store: Store, bucket: str, spec: DatasetSpec, data: bytes) -> DatasetSpec:
    key = layout.snapshot(digest(data).sha256, ".parquet")
    write_once(store, key, data, PARQUET)
    return replace(spec, source=layout.address(bucket, key), query=None)


def _gathered(
    store: Store, bucket: str, dataset: str, spec: DatasetSpec, memory_bytes: int
) -> tuple[Gathered, list[str]]:
    """The files of a list as one, and what to know of those that are left out."""
    notes: list[str] = []
    sizes: dict[str, int] = {}
    for source in spec.source:
        sizes |= _expanded(store, bucket, dataset, source, notes)
    uris = list(sizes)
    require_files_fit(list(sizes.values()), memory_bytes)
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda uri: _read(store, bucket, uri, "the data", MAX_BYTES).data, uris)
        files = [File(_shown(uri, dataset), data) for uri, data in zip(uris, found, strict=True)]
    return gather(files, spec, memory_bytes), notes


def _size(store: Store, bucket: str, uri: str) -> int:
    """The bytes of a file; of one that is missing or elsewhere, which reading it tells, none."""
    key = layout.key_in(bucket, uri)
    found = store.stat(key) if key else None
    return found.size if found else 0


def _expanded(store: Store, bucket: str, dataset: str, source: str, notes: list[str]) -> dict[str, int]:
    """The bytes of each file that a name of the list stands for, by address in order; none that the watch refused."""
    uri = layout.files_of(dataset, source)
    key = layout.key_in(bucket, uri)
    if not layout.is_pattern(source) or key is None:
        return {uri: _size(store, bucket, uri)}
    prefix, pattern = layout.matching(key)
    names = {info.name: info for info in store.list(prefix)}
    found = [name for name in sorted(names) if pattern.fullmatch(name)]
    refused = [
        name for name in found if layout.is_label_file(name) and _is_refused(store, name, names[name].generation)
    ]
    notes += [f"{name} was refused, see {layout.label_rejection(name)}, and is left out" for name in refused]
    if not found:
        notes.append(f"{source} names no file yet")
    return {layout.address(bucket, name): names[name].size for name in found if name not in refused}


def _is_refused(store: Store, name: str, generation: int) -> bool:
    """Whether the watch refused this generation of a file of labels for what is in it."""
    key = layout.label_rejection(name)
    found = find_document(store, key, LabelRejection)
    if found is None:
        return False
    return (found.name, found.generation) == (name, generation) and found.reason != NOTHING_SERVES


def _shown(uri: str, dataset: str) -> str:
    """The name as the spec writes it: beside the spec, or of the bucket."""
    return uri.removeprefix(dataset.rpartition("/")[0] + "/").removeprefix(
        layout.address(dataset.removeprefix(layout.GS).partition("/")[0])
    )


def keep(store: Store, bucket: str, dataset: str, inputs: RunInputs) -> None:
    """Copy spec and data to where their content names them, create-only, so that the run can be made again.

    Raises InvalidDataset where one was replaced since it was read, TransientError.
    """
    for uri, found in ((dataset, inputs.spec_object), (inputs.source_uri, inputs.source)):
        source = ObjectInfo(str(layout.key_in(bucket, uri)), found.generation, len(found.data))
        try:
            store.copy(source, layout.snapshot(digest(found.data).sha256, ending(uri)))
        except PreconditionFailed:
            continue  # an earlier run was made of the same bytes
        except ObjectMissing:
            raise InvalidDataset([f"{uri} was replaced while it was read; call again"]) from None


def ending(name: str) -> str:
    """`.csv` of `gs://bucket/data/a.csv`."""
    return PurePosixPath(name).suffix


def _read(store: Store, bucket: str, uri: str, what: str, max_bytes: int) -> Download:
    key = layout.key_in(bucket, uri)
    if key is None:
        raise InvalidDataset([f"{what} must be in {layout.address(bucket)}, found {uri!r}"])
    try:
        return store.read(key, max_bytes=max_bytes)
    except ObjectTooLarge:
        raise InvalidDataset([f"{what} {uri} has more than the {max_bytes} bytes that are read"]) from None
    except ObjectMissing:
        raise InvalidDataset([f"{what} {uri} does not exist; copy it there with gsutil cp"]) from None
    except WrongEncoding as error:
        raise InvalidDataset([f"{what}: {error}"]) from None
