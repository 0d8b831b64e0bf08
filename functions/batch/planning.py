"""What is decided once for a file: the run that answers it, how it is read, and what of it passes through."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from functions.batch.head import Head, parquet_head, text_head
from functions.batch.parquet_file import ParquetTable
from functions.batch.rows import BatchRefused, FileReader
from functions.batch.settings import BatchSettings
from functions.batch.stretch import StoredFile
from functions.batch.text_file import TextFile
from shared import layout, pointers
from shared.batches import BatchInput, BatchPlan, Engine, Format
from shared.decisions import Pointer
from shared.documents import SCHEMA_VERSION
from shared.layout import STAGES, Stage
from shared.media_types import TABLES
from shared.problems import Refusal, shortened
from shared.serving.arrow_rows import meaningless
from shared.serving.loaded_model import VerifiedRun, verified_run
from shared.serving.rows import RequestSchema
from shared.serving.sent_table import SentTable
from shared.serving.table_rows import field_names, read_table
from shared.spelling import nearest, normalized
from shared.store import ObjectInfo, Store

KEEP, STAGE, TOLERATE = "keep", "stage", "tolerate"
"""What may be noted on the object: x-goog-meta-keep and so on."""


@dataclass(frozen=True)
class Wishes:
    """What the file's owner noted on it. `keep` None: every column that the model does not know."""

    stage: Stage
    tolerate: float
    keep: tuple[str, ...] | None


def plan(store: Store, info: ObjectInfo, settings: BatchSettings) -> BatchPlan:
    """The plan for exactly this generation. Raises BatchRefused with every problem, ObjectMissing where it is gone."""
    asked = BatchInput(name=info.name, generation=info.generation, size=info.size)
    kind = _format(info.name)
    wishes = _wishes(info.metadata, settings)
    pointer = _serving(store, wishes.stage)
    run = verified_run(store, wishes.stage, pointer.run_id, pointer.manifest_sha256)
    file = StoredFile(store, asked)
    head = parquet_head(file) if kind == "parquet" else text_head(file)
    fields = _fields(run.schema, head)
    return BatchPlan(
        schema_version=SCHEMA_VERSION,
        input=asked,
        format=kind,
        engine=_engine(head.rows, settings),
        stage=wishes.stage,
        run_id=pointer.run_id,
        manifest_sha256=pointer.manifest_sha256,
        columns=head.columns,
        fields=fields,
        keep=_kept(wishes.keep, head.columns, run.schema),
        tolerate=wishes.tolerate,
        rows=head.rows,
        part_size=settings.part_rows if kind == "parquet" else settings.part_bytes,
        first=head.first,
        dialect=head.dialect,
    )


def reader(store: Store, plan: BatchPlan) -> FileReader:
    """The file as planned. Raises BatchRefused."""
    file = StoredFile(store, plan.input)
    return ParquetTable(file, plan) if plan.dialect is None else TextFile(file, plan, plan.dialect)


def planned_run(store: Store, plan: BatchPlan) -> VerifiedRun:
    """The run that was pinned, whatever the stage serves by now."""
    return verified_run(store, plan.stage, plan.run_id, plan.manifest_sha256)


def _format(name: str) -> Format:
    found = layout.batch_format(name)
    if not found:
        expected = " or ".join(TABLES)
        raise BatchRefused("unknown_format", [f"expected a file whose name ends in {expected}"])
    return cast(Format, found)


def _wishes(metadata: Mapping[str, str], settings: BatchSettings) -> Wishes:
    stage = metadata.get(STAGE, settings.stage)
    problems = []
    if stage not in STAGES:
        problems.append(f"x-goog-meta-{STAGE} must be one of {', '.join(STAGES)}")
    tolerate = _share(metadata[TOLERATE]) if TOLERATE in metadata else settings.tolerate
    if tolerate is None:
        problems.append(f"x-goog-meta-{TOLERATE} must be a share from 0 to 1, such as 0.01")
    if problems or tolerate is None:
        raise BatchRefused("bad_metadata", problems)
    keep = None
    if KEEP in metadata:
        keep = tuple(
            normalized(name)
            for line in csv.reader([metadata[KEEP]], skipinitialspace=True)
            for name in line
            if name.strip()
        )
    return Wishes(cast(Stage, stage), tolerate, keep)


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _serving(store: Store, stage: Stage) -> Pointer:
    pointer = pointers.read_current(store, stage).pointer
    if pointer is None:
        other = "" if stage == "staging" else f", or upload with the metadata {STAGE}:staging"
        raise BatchRefused("no_model", [f"no model serves {stage} yet; promote one{other}; then upload the file again"])
    return pointer


def _fields(schema: RequestSchema, head: Head) -> dict[str, str]:
    """The column of the file by the feature. Raises BatchRefused where there is not exactly one for each."""
    try:
        read_table(schema, SentTable(head.columns, [[""] * len(head.columns)]), each=True)
    except Refusal as refusal:
        raise BatchRefused.of(refusal) from None
    names = field_names(schema, head.columns)
    fields = {name: header for header, name in names.items() if name not in schema.ignored}
    if head.types is not None:
        wrong = [
            f"column {shortened(fields[column.name])!r}: {problem}"
            for column in schema.columns
            if (problem := meaningless(column, head.types[fields[column.name]]))
        ]
        if wrong:
            raise BatchRefused("wrong_column_type", wrong)
    return fields


def _kept(asked: tuple[str, ...] | None, columns: Sequence[str], schema: RequestSchema) -> tuple[str, ...]:
    named = [name for name in columns if name]
    if asked is None:
        known = field_names(schema, columns)
        return tuple(name for name in named if name not in known)
    if asked == ("*",):
        return tuple(named)
    problems = []
    for name in asked:
        if name not in named:
            near = nearest(name, named)
            advice = f"; is it {shortened(near)!r}?" if near else ""
            problems.append(f"x-goog-meta-{KEEP} names {shortened(name)!r}, which the file does not have{advice}")
    if problems:
        raise BatchRefused("unknown_keep", problems)
    return tuple(dict.fromkeys(asked))


def _engine(rows: int, settings: BatchSettings) -> Engine:
    return "dataflow" if settings.engine_rows is not None and rows > settings.engine_rows else "function"
