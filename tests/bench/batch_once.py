"""One file answered by the batch function in this process, for `make bench-batch`: FOLDER NAME THREADS.

Imports nothing that the deployed function does not, since its memory is measured.
"""

import json
import resource
import sys
import time
from pathlib import Path

from functions.batch.main import Batcher
from functions.batch.settings import BatchSettings
from shared import layout, logs
from shared.events import FINALIZED
from tests.bench.folder_store import FolderStore


def measure(folder: Path, name: str, threads: int) -> None:
    """Answer the file; prints what was measured."""
    store = FolderStore(folder)
    logs.configure("batch")
    info = store.stat(name)
    assert info is not None
    about = {"id": "1", "type": FINALIZED, "source": "//storage.googleapis.com/projects/_/buckets/b"}
    settings = BatchSettings(bucket="b", stage="staging", threads=threads)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.time()
    Batcher(settings, store).receive(about, {"bucket": "b", "name": name, "generation": str(info.generation)})
    seconds = time.time() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = folder / layout.batch_folder(name, info.generation)
    outcome = json.loads((found / layout.SUCCESS).read_text())
    measured = {
        "rows": outcome["rows"],
        "parts": len(outcome["parts"]),
        "seconds": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "first": min(path.stat().st_mtime for path in found.glob("part-*")) - start,
        "megabytes": after.ru_maxrss / 1024,
    }
    print(json.dumps(measured))  # noqa: T201


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
