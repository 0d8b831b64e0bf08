"""What Terraform sets is what the functions read: no variable too many or too few, and times that fit each other."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.batch.settings import BatchSettings
from functions.predict.settings import PredictSettings
from functions.train.settings import TrainSettings
from functions.validate.settings import ValidateSettings
from functions.watch import main as watch
from functions.watch.settings import WatchSettings
from infra.local import services
from shared import layout
from shared.layout import STAGES
from tests.candidates import run_id
from tests.infra.terraform import Workspace, of_type, with_the_job

ROOT = Path(__file__).resolve().parents[2]
Plan = dict[str, Any]
ADA = "user:ada@example.org"
LEFT_TO_THEIR_DEFAULT = {
    "train": {
        "MLFLOW_TRACKING_URI": "set by the variable mlflow_tracking_uri; else runs are kept in the bucket",
        "OIDC_AUDIENCE": "the platform in front lets only the scheduler's identity in",
        "OIDC_CALLERS": "nobody else reaches it, without OIDC_AUDIENCE",
        "OIDC_CERTS_URL": "Google's own",
        "TRAIN_JOBS": "the processors of the instance",
        "TRAIN_BACKEND": "processes on the instance",
        "LEASE_SECONDS": "60",
        "TRAIN_FULL": "who is far behind gives its time away, unless a person asks for the full search",
    },
    "validate": {},
    "batch": {"BATCH_ENGINE_ROWS": "0: no file goes to Dataflow, unless an owner allows it"},
    "watch": {"SCHEDULER_HOST": "Google's own"},
    "predict": {
        "LIVE_COUNTERS": "live rows are counted, unless somebody decides against it",
        "REMEMBERED_ROWS": "what the service's memory is sized for",
        "BODY_SECONDS": "well within the service's own time-out",
    },
}
"""Variables that are read but not set, and why."""
LEFT_TO_THEIR_DEFAULT["train on machines"] = {
    name: why for name, why in LEFT_TO_THEIR_DEFAULT["train"].items() if name != "TRAIN_BACKEND"
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return with_the_job(Workspace(tmp_path_factory.mktemp("infra")).get(), promoters=[ADA], data_editors=[ADA])


class Recorded(Mapping[str, str]):
    """An environment that remembers which variables it was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return self._values.get(key, default)

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def function_service(plan: Plan, name: str) -> dict[str, Any]:
    functions = of_type(plan, "google_cloudfunctions2_function")
    address = next(address for address, values in functions.items() if values["name"] == f"tabular-{name}")
    found: dict[str, Any] = functions[address]["service_config"][0]
    return found


def function_environment(plan: Plan, name: str) -> dict[str, str]:
    found: dict[str, str] = function_service(plan, name)["environment_variables"]
    return found


def job_environment(plan: Plan) -> dict[str, str]:
    (job,) = of_type(plan, "google_cloud_run_v2_job").values()
    return {entry["name"]: entry["value"] for entry in job["template"][0]["template"][0]["containers"][0]["env"]}


def service_environment(plan: Plan, stage: str) -> dict[str, str]:
    services = of_type(plan, "google_cloud_run_v2_service")
    values = services[f'module.predict["{stage}"].google_cloud_run_v2_service.this']
    return {entry["name"]: entry["value"] for entry in values["template"][0]["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("function", "settings", "environment"),
    [
        ("train", TrainSettings, lambda plan: function_environment(plan, "train")),
        ("train on machines", TrainSettings, job_environment),
        ("validate", ValidateSettings, lambda plan: function_environment(plan, "validate")),
        ("batch", BatchSettings, lambda plan: function_environment(plan, "batch")),
        ("watch", WatchSettings, lambda plan: function_environment(plan, "watch")),
        ("predict", PredictSettings, lambda plan: service_environment(plan, "staging")),
        ("predict", PredictSettings, lambda plan: service_environment(plan, "production")),
    ],
)
def test_every_variable_that_is_set_is_read_and_every_one_that_is_read_is_set(
    plan: Plan, function: str, settings: Any, environment: Callable[[Plan], dict[str, str]]
) -> None:
    values = environment(plan)
    recorded = Recorded(values)
    settings.from_env(recorded)  # and each value is one that the function accepts
    assert set(values) - recorded.asked == set(), "set, but never read"
    assert recorded.asked - set(values) == set(LEFT_TO_THEIR_DEFAULT[function]), "read, but not set"


def test_a_misspelt_variable_is_caught(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.change("modules/event_function/main.tf", "DEADLINE_SECONDS ", "DEADLINE_SECOND ")
    values = function_environment(workspace.get().plan(), "validate")
    recorded = Recorded(values)
    ValidateSettings.from_env(recorded)
    assert set(values) ^ recorded.asked == {"DEADLINE_SECOND", "DEADLINE_SECONDS"}


def test_an_mlflow_server_is_handed_on(tmp_path: Path) -> None:
    plan = Workspace(tmp_path).get().plan(mlflow_tracking_uri="https://mlflow.example.org")
    settings = TrainSettings.from_env(function_environment(plan, "train"))
    assert settings.mlflow_uri == "https://mlflow.example.org"


def test_the_origins_of_other_pages_are_handed_on(tmp_path: Path) -> None:
    origins = ["https://school.example.org", "http://127.0.0.1:8000"]
    plan = Workspace(tmp_path).get().plan(allowed_origins=origins)
    for stage in STAGES:
        assert PredictSettings.from_env(service_environment(plan, stage)).origins == tuple(origins)


def test_each_service_serves_its_own_stage_from_the_pipelines_bucket(plan: Plan) -> None:
    bucket = of_type(plan, "google_storage_bucket")["google_storage_bucket.pipeline"]["name"]
    for stage in STAGES:
        settings = PredictSettings.from_env(service_environment(plan, stage))
        assert (settings.stage, settings.bucket) == (stage, bucket)
    assert TrainSettings.from_env(function_environment(plan, "train")).dataset == f"gs://{bucket}/{layout.SPEC}"


BY_EVENT = [("validate", ValidateSettings), ("batch", BatchSettings), ("watch", WatchSettings)]


@pytest.mark.parametrize(("name", "settings"), BY_EVENT)
def test_a_function_of_events_gives_up_before_the_platform_ends_it(plan: Plan, name: str, settings: Any) -> None:
    timeout = function_service(plan, name)["timeout_seconds"]
    deadline = settings.from_env(function_environment(plan, name)).deadline_seconds
    assert deadline <= timeout - 30


def test_the_daily_call_is_the_event_that_the_function_knows(plan: Plan) -> None:
    job = of_type(plan, "google_cloud_scheduler_job")["google_cloud_scheduler_job.watch"]["http_target"][0]
    assert json.loads(base64.b64decode(job["body"]))["type"] == watch.LOOK == services.LOOK


def test_every_prefix_is_one_of_the_layout(plan: Plan) -> None:
    run = run_id(1)
    keys = [
        *(
            layout.SPEC,
            layout.batch_folder("batch/in/x.csv", 1),
            layout.LIVE,
            layout.LABELS,
            layout.watch_page("staging"),
            layout.watch_page("production"),
            layout.performance(),
            layout.retraining("x"),
            layout.MARKER,
            layout.REJECTED,
            layout.lease("x"),
            layout.attempt("x"),
            layout.tracked(run),
            layout.candidate(run, "x"),
        ),
        *(
            key
            for stage in STAGES
            for key in (layout.pointer(stage), layout.history_folder(stage), layout.staged(stage, run))
        ),
    ]
    rules = of_type(plan, "google_storage_bucket")["google_storage_bucket.pipeline"]["lifecycle_rule"]
    prefixes = {prefix for rule in rules for prefix in rule["condition"][0].get("matches_prefix") or []}
    assert [prefix for prefix in prefixes if not any(key.startswith(prefix) for key in keys)] == []
