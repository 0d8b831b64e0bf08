"""A training run in MLflow: its parameters, scores, data and files, with one nested run for each algorithm."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from functions.train.tracking.mlflow_registry import register
from functions.train.tracking.mlflow_schemas import dataset_input, graph_signature, signature
from functions.train.tracking.pipelines import unpickled
from functions.train.tracking.tracked import TrackedModel, TrackedRun
from functions.train.tracking.trackers import SQLITE
from shared import layout
from shared.cells import number_of
from shared.graph_rules import require_known


def record(run: TrackedRun, folder: Path) -> None:
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
    client.log_inputs(whole, [dataset_input(run)])
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
    register(client, run, whole, _log_models(run.model, whole))
    client.set_terminated(whole, end_time=ended)


def _log_models(model: TrackedModel, run: str) -> str:
    """The address of the fitted pipeline; the graph is logged beside it."""
    import mlflow.onnx
    import mlflow.sklearn
    import onnx
    import pandas as pd

    require_known(model.graph)
    example = pd.DataFrame(list(model.example), columns=[feature.name for feature in model.features])
    for feature in model.features:
        cells = example[feature.name].astype("object")
        example[feature.name] = cells if feature.kind == "categorical" else cells.map(number_of).astype("float64")
    with mlflow.start_run(run_id=run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.onnx.log_model(
            onnx.load_model_from_string(model.graph),
            name="onnx",
            signature=graph_signature(model.features),
            pip_requirements=[f"onnxruntime=={model.libraries['onnxruntime']}", f"numpy=={model.libraries['numpy']}"],
            save_as_external_data=False,
        )
        logged = mlflow.sklearn.log_model(
            unpickled(model.pipeline),
            name="pipeline",
            serialization_format="cloudpickle",
            signature=signature(model.features),
            input_example=example,
            pip_requirements=[f"{name}=={version}" for name, version in model.libraries.items()],
        )
    return str(logged.model_uri)


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
