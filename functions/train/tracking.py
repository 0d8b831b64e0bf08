"""Experiment tracking: a run with one nested run per algorithm, the winner registered. The only home of mlflow.

mlflow works in a process of its own: it takes seconds to import, and a server that hangs is then ended with a signal.
Run as `python -m functions.train.tracking record FOLDER PARENT` (or `aliases`), this module is that process.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from functions.train.search.processes import end_with_parent
from functions.train.tracked import TrackedModel, TrackedRun, decode_run, encode_run
from shared import layout, logs, terminal
from shared.cells import number_of
from shared.documents import Feature
from shared.errors import PipelineError
from shared.model_runtime import CATEGORICAL, NUMERIC, PREDICTION
from shared.store import Store, write_once

LIMIT_SECONDS = 30.0
FILE_LIMIT_SECONDS = 120.0
"""A file cannot hang; making a new store in one takes long where the processors are shared."""
SQLITE = "sqlite:///"
DIGEST_CHARACTERS = 36  # MLflow's limit
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

    def follow(self, serving: Mapping[str, str | None]) -> str | None:
        """Let the aliases of `serving` name the version of the run that each stage serves; what went wrong, if so."""
        with tempfile.TemporaryDirectory(prefix="tracking-") as folder:
            (Path(folder) / "serving.json").write_text(json.dumps(dict(serving)))
            return self._problem("aliases", Path(folder), self._limit)

    def _problem(self, action: str, folder: Path, limit: float) -> str | None:
        command = [sys.executable, "-m", "functions.train.tracking", action, str(folder), str(os.getpid())]
        environment = {**self._environment, "MLFLOW_TRACKING_URI": self._uri}
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"MLflow did not take it within {limit:g} s"
        except OSError as error:
            return f"the process for MLflow did not start: {error.strerror}"
        return f"MLflow raised {_error_name(done.stderr)}" if done.returncode else None


def main(action: str, folder: Path, parent: int) -> None:
    """Do what `folder` says; the last line on stderr names the error, if any. mlflow reads the store's URI itself."""
    end_with_parent(parent)
    try:
        if action == "aliases":
            _set_aliases(json.loads((folder / "serving.json").read_text()))
        for file in sorted(folder.glob("*.run")):
            _record(decode_run(file.read_bytes()), folder)
    except Exception as error:  # noqa: BLE001 - mlflow passes on whatever its stores raise
        sys.stderr.write(f"\n{type(error).__name__}\n")
        sys.exit(1)


def _record(run: TrackedRun, folder: Path) -> None:
    """The parent run ends last: one that is not finished was not recorded whole."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = _experiment(client, mlflow.get_tracking_uri(), run.experiment)
    if client.search_runs(
        [experiment], f"tags.run_id = '{run.run_id}' AND tags.part = 'whole' AND status = 'FINISHED'"
    ):
        return
    began, ended = _milliseconds(layout.run_time(run.run_id)), _milliseconds(run.ended)
    tags = {"run_id": run.run_id, **run.tags}
    whole = client.create_run(experiment, began, {**tags, "part": "whole"}, run_name=run.run_id).info.run_id
    _log(client, whole, run.params, run.metrics, run.folds, ended)
    client.log_inputs(whole, [_dataset(run)])
    files = folder / run.run_id
    files.mkdir()
    for name, data in run.files.items():
        (files / name).write_bytes(data)
    client.log_artifacts(whole, str(files))
    for algorithm in run.algorithms:
        failed = {"error": algorithm.error} if algorithm.error else {}
        nested = {**tags, "part": "algorithm", "mlflow.parentRunId": whole, **failed}
        child = client.create_run(experiment, began, nested, run_name=algorithm.name).info.run_id
        _log(client, child, algorithm.params, algorithm.metrics, algorithm.folds, ended)
        client.set_terminated(child, "FAILED" if algorithm.error else "FINISHED", ended)
    _register(client, run, whole, _log_models(run.model, whole))
    client.set_terminated(whole, end_time=ended)


def _log_models(model: TrackedModel, run: str) -> str:
    """The address of the fitted pipeline; the graph is logged beside it."""
    import mlflow.onnx
    import mlflow.sklearn
    import onnx
    import pandas as pd

    example = pd.DataFrame(list(model.example), columns=[feature.name for feature in model.features])
    for feature in model.features:
        cells = example[feature.name].astype("object")
        example[feature.name] = cells if feature.kind == "categorical" else cells.map(number_of).astype("float64")
    with mlflow.start_run(run_id=run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.onnx.log_model(
            onnx.load_model_from_string(model.graph),
            name="onnx",
            signature=_graph_signature(model.features),
            pip_requirements=[f"onnxruntime=={model.libraries['onnxruntime']}", f"numpy=={model.libraries['numpy']}"],
            save_as_external_data=False,
        )
        logged = mlflow.sklearn.log_model(
            pickle.loads(model.pipeline),  # noqa: S301 (made by this code, a moment ago or in the same bucket)
            name="pipeline",
            serialization_format="cloudpickle",
            signature=_signature(model.features),
            input_example=example,
            pip_requirements=[f"{name}=={version}" for name, version in model.libraries.items()],
        )
    return str(logged.model_uri)


def _register(client: Any, run: TrackedRun, whole: str, source: str) -> None:
    from mlflow.exceptions import MlflowException

    name = registered_name(run.experiment)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(name, source, whole, tags={"run_id": run.run_id}, await_creation_for=0)


def registered_name(dataset: str) -> str:
    """MLflow's registry allows no slash and no colon in a name."""
    return dataset.replace("/", "-").replace(":", "-")


def _set_aliases(serving: Mapping[str, str | None]) -> None:
    """A stage whose run was not recorded has no alias, rather than that of an older run."""
    import mlflow

    client = mlflow.MlflowClient()
    for model in client.search_registered_models():
        for stage, run_id in serving.items():
            wanted = f"name = '{model.name}' AND tags.run_id = '{run_id}'"
            found = max((int(one.version) for one in client.search_model_versions(wanted)), default=None)
            present = model.aliases.get(stage)
            if found is not None and str(found) != str(present):
                client.set_registered_model_alias(model.name, stage, str(found))
            elif found is None and present is not None:
                client.delete_registered_model_alias(model.name, stage)


def _dataset(run: TrackedRun) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = run.dataset
    columns = [*_columns(run.model.features), {"type": "double", "name": data.target, "required": True}]
    return DatasetInput(
        Dataset(
            name=data.name,
            digest=data.sha256[:DIGEST_CHARACTERS],
            source_type="gs" if layout.is_address(data.uri) else "local",
            source=json.dumps({"uri": data.uri}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": data.rows, "num_elements": data.rows * len(columns)}),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def _columns(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {"type": "string" if one.kind == "categorical" else "double", "name": one.name, "required": not one.nullable}
        for one in features
    ]


def _signature(features: Sequence[Feature]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(**column) for column in _columns(features)])
    return ModelSignature(inputs, Schema([ColSpec("double", PREDICTION)]))


def _graph_signature(features: Sequence[Feature]) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    tensors = []
    for words, name, dtype in ((False, NUMERIC, "float64"), (True, CATEGORICAL, "str")):
        width = sum((feature.kind == "categorical") == words for feature in features)
        if width:
            tensors.append(TensorSpec(np.dtype(dtype), (-1, width), name))
    return ModelSignature(Schema(tensors), Schema([TensorSpec(np.dtype("float64"), (-1, 1), PREDICTION)]))


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


def _log(
    client: Any, run: str, params: Mapping[str, Any], metrics: Mapping[str, float], folds: Sequence[float], at: int
) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(
        run,
        metrics=[
            *(Metric(name, value, at, 0) for name, value in metrics.items()),
            *(Metric("fold_r2", value, at, fold) for fold, value in enumerate(folds)),
        ],
        params=[Param(name, str(value)) for name, value in params.items()],
    )


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def _error_name(stderr: bytes) -> str:
    """The last line names the type only: messages may hold the credentials of a URI."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    name = lines[-1].split(":", 1)[0] if lines else ""
    return name if name.isidentifier() else "an error without a name"


def without_credentials(uri: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri


if __name__ == "__main__":
    terminal.prepare()
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
