"""One file answered by the pipeline on Beam's local runner, in this process: FOLDER NAME. For `make bench-batch`.

Run by the environment that holds Beam.
"""

import json
import sys
import time
from pathlib import Path

from apache_beam import Pipeline
from apache_beam.options.pipeline_options import PipelineOptions

from functions.batch import pipeline
from functions.batch.planning import plan
from functions.batch.settings import BatchSettings
from shared import layout
from shared.codec import encode
from shared.store import Store
from tests.bench.folder_store import FolderStore


def store_of(bucket: str) -> Store:
    """The bench's folder in the place of a bucket."""
    return FolderStore(Path(bucket))


def measure(folder: Path, name: str) -> None:
    """Answer the file; prints what was measured."""
    pipeline.store_of = store_of
    store = FolderStore(folder)
    info = store.stat(name)
    assert info is not None
    made = plan(store, info, BatchSettings(bucket="b", stage="staging"))
    answer = layout.batch_folder(name, info.generation)
    store.write(answer + layout.PLAN, encode(made), if_generation=0, content_type="")
    options = PipelineOptions(["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"])
    wall, processor = time.perf_counter(), time.process_time()
    with Pipeline(options=options) as running:
        pipeline.build(running, pipeline.Place(str(folder), answer))
    measured = {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}
    outcome = json.loads((folder / answer / layout.SUCCESS).read_text())
    print(json.dumps({"rows": outcome["rows"], **measured}))  # noqa: T201


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2])
