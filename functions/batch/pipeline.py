"""The same answer on Apache Beam, for files beyond one function's time: a part is an element, whoever writes it.

Arrives: the folder of a plan that the function has pinned. Leaves: what the function leaves, byte for byte, since every
part comes from the function's own code, its place in the file from the function's own cuts, and every write is
create-only: a part that Beam tries again, or that a function wrote before, is the same part. Rows are not elements:
RunInference's handler for ONNX feeds only the first of several inputs, and is slower by an order of magnitude.

Runs in an environment and an image of its own (`flex/`), since Beam's protobuf does not fit ours.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from functions.batch.outcome import decided
from functions.batch.planning import planned_run, reader
from functions.batch.rows import FileReader
from functions.batch.work import notes, work, write_part
from shared import layout, terminal
from shared.batches import BatchPlan, Cut
from shared.serving.loaded_model import VerifiedRun
from shared.store import CloudStore, Store
from shared.stored import read_document

LOCAL = "DirectRunner"


@dataclass(frozen=True)
class Place:
    """Where the plan is."""

    bucket: str
    folder: str


@dataclass(frozen=True)
class WorkerBatch:
    """What a worker holds of a batch, for all of its parts."""

    store: Store
    plan: BatchPlan
    file: FileReader
    run: VerifiedRun


def store_of(bucket: str) -> Store:
    """The bucket."""
    return CloudStore(bucket)


@cache
def held(place: Place) -> WorkerBatch:
    """Opened once in a worker."""
    store = store_of(place.bucket)
    plan = read_document(store, place.folder + layout.PLAN, BatchPlan)
    return WorkerBatch(store, plan, reader(store, plan), planned_run(store, plan))


def missing(place: Place) -> Iterator[Cut]:
    """Where the parts begin that are not written yet; none where the batch has ended."""
    here = held(place)
    if decided(here.store, place.folder) is not None:
        return
    there = notes(here.store, place.folder)
    yield from (cut for cut in here.file.cuts(here.plan.first) if there.find(cut.number) is None)


def written(cut: Cut, place: Place) -> int:
    """The rows of the part that begins at `cut`, which is there afterwards."""
    here = held(place)
    return write_part(here.store, here.plan, here.run, next(here.file.pieces(cut))).rows


def ended(_rows: int, place: Place) -> str:
    """How the batch ends, once all parts are there: as in the function, which would write any that is missing."""
    here = held(place)
    return work(here.store, here.plan).status


def build(pipeline: "beam.Pipeline", place: Place) -> None:
    """The parts apart from each other, then the end."""
    _ = (
        pipeline
        | "the batch" >> beam.Create([place])
        | "its parts" >> beam.FlatMap(missing)
        | "to many workers" >> beam.Reshuffle()
        | "answered" >> beam.Map(written, place)
        | "all of them" >> beam.CombineGlobally(sum)
        | "the end" >> beam.Map(ended, place)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline by the words of a command line, to its end; a launcher of a template only starts it."""
    parser = argparse.ArgumentParser(prog="python -m functions.batch.pipeline", description=__doc__)
    parser.add_argument("--bucket", required=True, help="the bucket's name")
    parser.add_argument("--folder", required=True, help="the folder of the plan: batch/out/NAME.GENERATION/")
    known, others = parser.parse_known_args(arguments)
    options = PipelineOptions(others)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, Place(known.bucket, known.folder))
    result = pipeline.run()
    if options.view_as(StandardOptions).runner in (None, LOCAL):  # a template's launcher must not wait
        result.wait_until_finish()
    return 0


if __name__ == "__main__":
    terminal.prepare()
    # By its name, so that workers find its functions where they are, and not in a script of the launcher.
    from functions.batch.pipeline import main as run

    sys.exit(run())
