"""The registered model of a table: a version for each winner, aliases on what serves, the verdict on each version."""

from collections.abc import Iterable, Mapping
from typing import Any

from functions.train.tracking.tracked import OUR_TAGS, Standing, TrackedRun


def register(client: Any, run: TrackedRun, whole: str, source: str) -> None:
    """Record MLflow's run `whole` as a new version of its data set's registered model, whose files are at `source`."""
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


def follow(standing: Standing) -> tuple[str, ...]:
    """Set the aliases of the stages and the tags of the versions; the runs of `standing` that have no version.

    A stage whose run was not recorded has no alias, rather than that of an older run.
    """
    import mlflow

    client = mlflow.MlflowClient()
    found: set[str] = set()
    for model in client.search_registered_models():
        versions = _by_run(client.search_model_versions(f"name = '{model.name}'"))
        for stage, run_id in standing.serving.items():
            _set_alias(client, model, stage, versions.get(run_id) if run_id else None)
        for run_id, wanted in standing.tags.items():
            if run_id in versions:
                _set_tags(client, versions[run_id], wanted)
        found |= set(versions)
    asked = {run_id for run_id in standing.serving.values() if run_id} | set(standing.tags)
    return tuple(sorted(asked - found))


def _by_run(versions: Iterable[Any]) -> dict[str, Any]:
    """The newest version of each run."""
    ordered = sorted(versions, key=lambda version: int(version.version))
    return {version.tags["run_id"]: version for version in ordered if "run_id" in version.tags}


def _set_alias(client: Any, model: Any, stage: str, version: Any) -> None:
    present = model.aliases.get(stage)
    if version is not None and str(version.version) != str(present):
        client.set_registered_model_alias(model.name, stage, str(version.version))
    elif version is None and present is not None:
        client.delete_registered_model_alias(model.name, stage)


def _set_tags(client: Any, version: Any, wanted: Mapping[str, str]) -> None:
    """Set what differs, and take away what is of ours and not true any more; tags of other people stay."""
    for name, value in wanted.items():
        if version.tags.get(name) != value:
            client.set_model_version_tag(version.name, str(version.version), name, value)
    for name in (set(version.tags) & OUR_TAGS) - set(wanted):
        client.delete_model_version_tag(version.name, str(version.version), name)
