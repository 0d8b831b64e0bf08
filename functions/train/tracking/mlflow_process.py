"""The process that speaks to MLflow: records runs, and lets their versions follow what became of them.

Run as `python -m functions.train.tracking.mlflow_process ACTION FOLDER PARENT`; the folder holds what is to be done.
"""

import sys
from pathlib import Path

import msgspec

from functions.train.search.processes import end_with_parent
from functions.train.tracking.mlflow_registry import follow
from functions.train.tracking.mlflow_runs import record
from functions.train.tracking.tracked import Standing, decode_run
from functions.train.tracking.trackers import MISSING, STANDING
from shared import terminal


def main(action: str, folder: Path, parent: int) -> None:
    """Do what `folder` says; the last line on stderr names the error, if any. mlflow reads the store's URI itself."""
    end_with_parent(parent)
    try:
        if action == "follow":
            standing = msgspec.json.decode((folder / STANDING).read_bytes(), type=Standing)
            (folder / MISSING).write_bytes(msgspec.json.encode(follow(standing)))
        for file in sorted(folder.glob("*.run")):
            record(decode_run(file.read_bytes()), folder)
    except Exception as error:  # noqa: BLE001 - mlflow passes on whatever its stores raise
        sys.stderr.write(f"\n{type(error).__name__}\n")
        sys.exit(1)


if __name__ == "__main__":
    terminal.prepare()
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
