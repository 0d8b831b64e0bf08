"""What a run is made of: the spec and the table, read once, kept by their content, and a digest that names it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from msgspec.structs import replace

from functions.train.code import code_digest
from functions.train.data import bigquery
from functions.train.lease import fingerprint
from shared import layout
from shared.clock import utc_now
from shared.codec import digest
from shared.dataset import DatasetSpec, parse_spec
from shared.errors import InvalidDataset, ObjectMissing, PreconditionFailed, WrongEncoding
from shared.store import Download, ObjectInfo, Store, write_once

PARQUET = ".parquet"
Export = Callable[[DatasetSpec, datetime], bytes]
"""The rows of a spec in BigQuery, as of a moment, as Parquet."""


@dataclass(frozen=True)
class RunInputs:
    """What a run is made of, as it was read. `code`: the digest of the code, where it is known."""

    spec: DatasetSpec
    spec_object: Download
    source_uri: str
    source: Download
    code: str = ""

    @property
    def fingerprint(self) -> str:
        """The same for the same spec, data and code, and for nothing else."""
        return fingerprint(self.spec_object.data, self.source.data, self.code.encode())


def read_inputs(store: Store, bucket: str, dataset: str, export: Export = bigquery.export) -> RunInputs:
    """The spec at `dataset` and its data. Raises InvalidDataset for what is missing or elsewhere, CodeChanged.

    What is in BigQuery becomes a snapshot first, and is read from there as any other table.
    """
    spec_object = _read(store, bucket, dataset, "the dataset spec")
    spec = parse_spec(spec_object.data, dataset)
    if spec.in_bigquery:
        spec = _snapshot(store, bucket, spec, export)
    source_uri = layout.beside(dataset, spec.source)
    return RunInputs(spec, spec_object, source_uri, _read(store, bucket, source_uri, "the data"), code_digest())


def _snapshot(store: Store, bucket: str, spec: DatasetSpec, export: Export) -> DatasetSpec:
    data = export(spec, utc_now())
    key = layout.snapshot(digest(data).sha256, PARQUET)
    write_once(store, key, data, "application/vnd.apache.parquet")
    return replace(spec, source=layout.address(bucket, key), query=None)


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


def _read(store: Store, bucket: str, uri: str, what: str) -> Download:
    key = layout.key_in(bucket, uri)
    if key is None:
        raise InvalidDataset([f"{what} must be in {layout.address(bucket)}, found {uri!r}"])
    try:
        return store.read(key)
    except ObjectMissing:
        raise InvalidDataset([f"{what} {uri} does not exist; copy it there with gsutil cp"]) from None
    except WrongEncoding as error:
        raise InvalidDataset([f"{what}: {error}"]) from None
