"""Experiment tracking: a run with one nested run per algorithm. The only home of mlflow.

mlflow works in a process of its own: it takes seconds to import, and a server that hangs is then ended with a signal.
Run as `python -m functions.train.tracking FOLDER PARENT`, this module is that process.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from functions.train.workers import end_with_parent
from shared import logs

LIMIT_SECONDS = 30.0
SQLITE = "sqlite:///"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Nobody is told of the run but the tracker, and it is asked a few times only."""


class TrackedAlgorithm(msgspec.Struct, frozen=True, kw_only=True):
    """One algorithm's best setting with its scores; `error` where it has none."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, float]
    error: str | None = None


class TrackedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of one training run. `files` are kept with it, by name."""

    experiment: str
    run_id: str
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    algorithms: tuple[TrackedAlgorithm, ...]
    files: dict[str, bytes]


class Tracker(Protocol):
    """Where runs are recorded."""

    def track(self, run: TrackedRun) -> None:
        """Record `run`; never raises for a store that is down, never takes longer than its limit."""


class NullTracker:
    """Records nothing: no tracking store is configured."""

    def track(self, run: TrackedRun) -> None:
        """Nothing to do."""


class MlflowTracker:
    """An MLflow server, or a `sqlite:///` store with its artifacts beside it.

    `environment` is that of the process which speaks to it; `limit` in seconds.
    """

    def __init__(self, uri: str, environment: Mapping[str, str], limit: float = LIMIT_SECONDS) -> None:
        self._uri = uri
        self._limit = limit
        self._environment = {**environment, **QUIET, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def track(self, run: TrackedRun) -> None:
        """Record `run`, or warn."""
        with tempfile.TemporaryDirectory(prefix="tracking-") as folder:
            (Path(folder) / "run.json").write_bytes(msgspec.json.encode({"uri": self._uri, "run": run}))
            problem = self._problem(folder)
        if problem:
            logs.warning(f"the run was not tracked: {problem}", reason="tracking_failed", run_id=run.run_id)

    def _problem(self, folder: str) -> str | None:
        command = [sys.executable, "-m", "functions.train.tracking", folder, str(os.getpid())]
        try:
            done = subprocess.run(
                command, env=self._environment, cwd=folder, capture_output=True, timeout=self._limit, check=False
            )
        except subprocess.TimeoutExpired:
            return f"MLflow did not take it within {self._limit:g} s"
        except OSError as error:
            return f"the process for MLflow did not start: {error.strerror}"
        return f"MLflow raised {_error_name(done.stderr)}" if done.returncode else None


class _Job(msgspec.Struct):
    """What the process is handed."""

    uri: str
    run: TrackedRun


def main(folder: Path, parent: int) -> None:
    """Send the run in `folder` to MLflow; the last line on stderr names the error, if any."""
    end_with_parent(parent)
    job = msgspec.json.decode((folder / "run.json").read_bytes(), type=_Job)
    try:
        _send(job.uri, job.run, folder)
    except Exception as error:  # noqa: BLE001 - mlflow passes on whatever its stores raise
        sys.stderr.write(f"\n{type(error).__name__}\n")
        sys.exit(1)


def _send(uri: str, run: TrackedRun, folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = _experiment(client, uri, run.experiment)
    tags = {"run_id": run.run_id, **run.tags}
    parent = client.create_run(experiment, run_name=run.run_id, tags=tags).info.run_id
    _log(client, parent, run.params, run.metrics)
    files = folder / "files"
    files.mkdir()
    for name, data in run.files.items():
        (files / name).write_bytes(data)
    client.log_artifacts(parent, str(files))
    for algorithm in run.algorithms:
        nested = {**tags, "mlflow.parentRunId": parent, **({"error": algorithm.error} if algorithm.error else {})}
        child = client.create_run(experiment, run_name=algorithm.name, tags=nested).info.run_id
        _log(client, child, algorithm.params, algorithm.metrics)
        client.set_terminated(child, "FAILED" if algorithm.error else "FINISHED")
    client.set_terminated(parent)


def _experiment(client: Any, uri: str, name: str) -> str:
    present = client.get_experiment_by_name(name)
    if present is not None:
        return str(present.experiment_id)
    return str(client.create_experiment(name, artifact_location=_artifact_location(uri)))


def _artifact_location(uri: str) -> str | None:
    """Next to the file of a SQLite store; a server has a place of its own."""
    if not uri.startswith(SQLITE):
        return None
    folder = Path(uri.removeprefix(SQLITE)).resolve().parent / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


def _log(client: Any, run: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(
        run,
        metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],
        params=[Param(name, str(value)) for name, value in params.items()],
    )


def _error_name(stderr: bytes) -> str:
    """The last line names the type only: messages may hold the credentials of a URI."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    name = lines[-1].split(":", 1)[0] if lines else ""
    return name if name.isidentifier() else "an error without a name"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
