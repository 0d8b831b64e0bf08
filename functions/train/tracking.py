"""Experiment tracking: a run with one nested run per algorithm. The only home of mlflow.

Tracking comes after publishing, and whatever it does costs at most its time limit and a warning.
"""

import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shared import logs

EXPERIMENT_FALLBACK = "tabular-regression"


@dataclass(frozen=True)
class TrackedAlgorithm:
    """One algorithm's best setting with its scores."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedRun:
    """What is recorded of one training run."""

    experiment: str
    run_id: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    algorithms: tuple[TrackedAlgorithm, ...]
    files: Mapping[str, bytes]


class Tracker(Protocol):
    """Where runs are recorded."""

    def track(self, run: TrackedRun) -> None:
        """Record `run`; never raises, never takes longer than its limit."""


class NullTracker:
    """Records nothing: no tracking store is configured."""

    def track(self, run: TrackedRun) -> None:
        logs.info("no tracking store is configured", run_id=run.run_id)


class MlflowTracker:
    """An MLflow server, or a `sqlite:///` store with its artifacts beside it."""

    def __init__(self, uri: str, limit_seconds: float = 30.0) -> None:
        self._uri = uri
        self._limit = limit_seconds

    def track(self, run: TrackedRun) -> None:
        """In a thread of its own, since no client option bounds a whole sequence of calls."""
        failure: list[str] = []
        thread = threading.Thread(target=self._record, args=(run, failure), name="mlflow", daemon=True)
        thread.start()
        thread.join(self._limit)
        if thread.is_alive():
            failure.append(f"no answer within {self._limit:.0f} s")
        if failure:
            logs.warning(f"the run was not tracked: {failure[0]}", reason="tracking_failed", run_id=run.run_id)

    def _record(self, run: TrackedRun, failure: list[str]) -> None:
        try:
            self._send(run)
        except Exception as error:  # noqa: BLE001 - mlflow raises whatever its transports raise; tracking must not matter
            failure.append(f"{type(error).__name__}: {error}")

    def _send(self, run: TrackedRun) -> None:
        from mlflow import environment_variables as limits
        from mlflow.tracking import MlflowClient

        limits.MLFLOW_HTTP_REQUEST_TIMEOUT.set(10)
        limits.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)
        client = MlflowClient(tracking_uri=self._uri)
        experiment = self._experiment(client, run.experiment or EXPERIMENT_FALLBACK)
        tags = {"mlflow.runName": run.run_id, "run_id": run.run_id, **run.tags}
        parent = client.create_run(experiment, tags=tags).info.run_id
        _log(client, parent, run.params, run.metrics)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in run.files.items():
                path = Path(folder) / name
                path.write_bytes(data)
                client.log_artifact(parent, str(path))
        for algorithm in run.algorithms:
            nested = {"mlflow.runName": algorithm.name, "mlflow.parentRunId": parent, **tags_of(run), **algorithm.tags}
            child = client.create_run(experiment, tags=nested).info.run_id
            _log(client, child, algorithm.params, algorithm.metrics)
            client.set_terminated(child, "FAILED" if "error" in algorithm.tags else "FINISHED")
        client.set_terminated(parent)

    def _experiment(self, client: Any, name: str) -> str:
        present = client.get_experiment_by_name(name)
        if present is not None:
            return str(present.experiment_id)
        return str(client.create_experiment(name, artifact_location=self._artifacts()))

    def _artifacts(self) -> str | None:
        """Beside the database of a sqlite store; a server knows its own place."""
        if not self._uri.startswith("sqlite:///"):
            return None
        database = Path(self._uri.removeprefix("sqlite:///")).resolve()
        database.parent.mkdir(parents=True, exist_ok=True)
        return (database.parent / "artifacts").as_uri()


def tags_of(run: TrackedRun) -> dict[str, str]:
    """The tags that parent and nested runs share."""
    return {"run_id": run.run_id, **run.tags}


def _log(client: Any, run: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    for name, value in params.items():
        client.log_param(run, name, value)
    for name, number in metrics.items():
        client.log_metric(run, name, number)
