"""Where a run is recorded: in the bucket, to be opened later, or by MLflow's own client in a process of its own.

mlflow takes seconds to import, and a server that hangs is ended with a signal: `mlflow_process` is that process.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from functions.train.tracking.tracked import Standing, TrackedRun, encode_run
from shared import layout, logs
from shared.errors import PipelineError
from shared.store import Store, write_once

LIMIT_SECONDS = 30.0
FILE_LIMIT_SECONDS = 120.0
"""A file cannot hang; making a new store in one takes long where the processors are shared."""
SQLITE = "sqlite:///"
PROCESS = "functions.train.tracking.mlflow_process"
STANDING = "standing.json"
MISSING = "missing.json"
Runs = tuple[str, ...]
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Nobody is told of the run but the tracker, and it is asked a few times only."""


class Tracker(Protocol):
    """Where runs are recorded."""

    def track(self, run: TrackedRun) -> None:
        """Record `run`; never raises for a store that is down, never takes longer than its limit."""


class BucketTracker:
    """Keeps runs in the bucket, at no cost at rest; `make mlflow` records them in one store and opens it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def track(self, run: TrackedRun) -> None:
        """Write the run, create-only, or warn."""
        try:
            write_once(self._store, layout.tracked(run.run_id), encode_run(run), "application/msgpack")
        except PipelineError as error:
            logs.warning(f"the run was not tracked: {error}", reason="tracking_failed", run_id=run.run_id)


@dataclass(frozen=True)
class Followed:
    """What went wrong, if anything did, and the runs that have no version yet, whose turn must come again."""

    problem: str | None
    missing: Runs


class MlflowTracker:
    """An MLflow server, or a `sqlite:///` store with its artifacts beside it.

    `environment` is that of the process which speaks to it; `limit` in seconds.
    """

    def __init__(self, uri: str, environment: Mapping[str, str], limit: float | None = None) -> None:
        self._uri = uri
        self._limit = limit or (FILE_LIMIT_SECONDS if uri.startswith(SQLITE) else LIMIT_SECONDS)
        self._environment = {**environment, **QUIET, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def track(self, run: TrackedRun) -> None:
        """Record `run`, or warn."""
        problem = self.record([run])
        if problem:
            logs.warning(f"the run was not tracked: {problem}", reason="tracking_failed", run_id=run.run_id)

    def record(self, runs: Sequence[TrackedRun]) -> str | None:
        """Record what is not recorded yet; what went wrong, if anything did."""
        with tempfile.TemporaryDirectory(prefix="tracking-") as folder:
            for run in runs:
                (Path(folder) / f"{run.run_id}.run").write_bytes(encode_run(run))
            return self._problem("record", Path(folder), self._limit * max(len(runs), 1))

    def follow(self, standing: Standing) -> Followed:
        """Let the aliases name what each stage serves, and each run's version bear the run's tags."""
        with tempfile.TemporaryDirectory(prefix="tracking-") as name:
            folder = Path(name)
            (folder / STANDING).write_bytes(msgspec.json.encode(standing))
            problem = self._problem("follow", folder, self._limit)
            return Followed(problem, () if problem else msgspec.json.decode((folder / MISSING).read_bytes(), type=Runs))

    def _problem(self, action: str, folder: Path, limit: float) -> str | None:
        command = [sys.executable, "-m", PROCESS, action, str(folder), str(os.getpid())]
        environment = {**self._environment, "MLFLOW_TRACKING_URI": self._uri}
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"MLflow did not take it within {limit:g} s"
        except OSError as error:
            return f"the process for MLflow did not start: {error.strerror}"
        return f"MLflow raised {_error_name(done.stderr)}" if done.returncode else None


def tracker_of(store: Store, uri: str | None, environment: Mapping[str, str]) -> Tracker:
    """The tracker of a deployment: its MLflow server where it has one, else the bucket."""
    return MlflowTracker(uri, environment) if uri else BucketTracker(store)


def _error_name(stderr: bytes) -> str:
    """The last line names the type only: messages may hold the credentials of a URI."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    name = lines[-1].split(":", 1)[0] if lines else ""
    return name if name.isidentifier() else "an error without a name"


def without_credentials(uri: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri
