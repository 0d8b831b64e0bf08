"""The wait for the first model: for as long as training may take where it runs, and no longer than Google's record of
the call leaves hope."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.delivery import first_model
from infra.delivery.errors import Stopped
from infra.delivery.training_call import AGAIN_SECONDS, JUDGED_SECONDS, PATIENCE, TrainingCall
from infra.operate.training_job import ENDED_BADLY
from tests.infra.api_descriptions import document
from tests.infra.fake_cloud import FakeCloud

BUCKET = "my-project-tabular"
ADDRESS = f"gs://{BUCKET}"
WEEKLY = "projects/my-project/locations/europe-west1/jobs/tabular-train-weekly"
OLDER = {"name": "tabular-train-old", "completionStatus": "EXECUTION_FAILED"}
EARLIER = {"lastAttemptTime": "2026-01-05T07:00:00Z", "status": {"code": 13}}
LEASE = "locks/train/abc.json"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    fake = FakeCloud(tmp_path / "cloud", ("gcloud",))
    fake.change(buckets={ADDRESS: []}, jobs={"tabular-train": "image"})
    for name, value in fake.environment().items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that a sleep moves, by what is set here and not by what is asked for."""
    now = [0.0, 10.0]

    def step(seconds: float) -> None:
        now[1] = seconds

    def sleep(_: float) -> None:
        now[0] += now[1]

    monkeypatch.setattr(first_model, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return step


def the_job() -> TrainingCall:
    return TrainingCall(WEEKLY, "my-project", "europe-west1", "tabular-train", 108_000)


def the_function() -> TrainingCall:
    return TrainingCall(WEEKLY, "my-project", "europe-west1", None, 1800)


def execution(status: str) -> dict[str, str]:
    return {"name": "tabular-train-new", "completionStatus": f"EXECUTION_{status}"}


def attempt(minute: int, code: int = 0) -> dict[str, Any]:
    return {"lastAttemptTime": f"2026-01-06T07:{minute:02}:00Z", "status": {"code": code} if code else {}}


def waited(call: TrainingCall, minutes: float | None = None) -> None:
    wait = first_model.Wait.beginning(BUCKET, call, 1)
    wait.model(call.minutes if minutes is None else minutes)


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_an_execution_that_ended_badly_without_a_word_ends_the_wait(
    cloud: FakeCloud, pass_time: Callable[[float], None], status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The execution took hours: a job may take a day and more."""
    shown = [OLDER, OLDER, execution("PENDING"), execution("RUNNING"), execution("RUNNING"), execution(status)]
    cloud.change(executions=shown)
    with pytest.raises(Stopped, match=f"tabular-train-new of the training job: {status.lower()}, and there is no word"):
        waited(the_job())
    assert capsys.readouterr().out.count("running") == 1, "once said"
    assert len([line for line in cloud.calls if "run jobs describe" in line]) == len(shown)


def test_an_older_execution_that_failed_is_not_this_one(cloud: FakeCloud, pass_time: Callable[[float], None]) -> None:
    cloud.change(executions=[OLDER])
    with pytest.raises(Stopped, match=r"within 0.5 minutes, and no word of a call of training that ended"):
        waited(the_job(), 0.5)


def test_a_run_of_hours_is_waited_for_and_the_gate_is_given_its_time_after_it(
    cloud: FakeCloud, pass_time: Callable[[float], None]
) -> None:
    pass_time(3600)
    cloud.change(executions=[OLDER, *[execution("RUNNING")] * 5, execution("SUCCEEDED")])
    with pytest.raises(Stopped, match="succeeded, and there is no word of what became of it"):
        waited(the_job())
    looks = [line for line in cloud.calls if "run jobs describe" in line]
    assert len(looks) == 8, "the gate's quarter of an hour passed between two looks"


def test_the_reason_in_the_bucket_goes_before_what_google_says(
    cloud: FakeCloud, pass_time: Callable[[float], None]
) -> None:
    key = "runs/1.json"
    wait = first_model.Wait.beginning(BUCKET, the_job(), 1)
    document_of = {"status": "refused", "problems": ["row 7 is empty"]}
    cloud.change(
        executions=[execution("FAILED")],
        buckets={ADDRESS: [key]},
        contents={f"{ADDRESS}/{key}": json.dumps(document_of)},
    )
    with pytest.raises(Stopped, match="row 7 is empty"):
        wait.model(45)


def test_a_call_of_the_function_that_failed_is_waited_for_until_none_is_made_again(
    cloud: FakeCloud, pass_time: Callable[[float], None]
) -> None:
    pass_time(AGAIN_SECONDS / 2)
    cloud.change(attempts=[EARLIER, attempt(1), attempt(1, 4), attempt(13), attempt(13, 13)])
    with pytest.raises(Stopped, match=r"2026-01-06T07:13:00Z got no good answer \(status 13\), and there is no word"):
        waited(the_function())
    assert len([line for line in cloud.calls if "scheduler jobs describe" in line]) == 7


def test_a_run_that_holds_its_lease_is_not_given_up(cloud: FakeCloud, pass_time: Callable[[float], None]) -> None:
    """The record of an earlier attempt does not matter."""
    pass_time(AGAIN_SECONDS)
    lease = {"expires_at": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    cloud.change(
        attempts=[EARLIER, attempt(1, 4)],
        buckets={ADDRESS: [LEASE]},
        contents={f"{ADDRESS}/{LEASE}": json.dumps(lease)},
    )
    with pytest.raises(Stopped, match=r"no staging/current.json within 45 minutes.*\(status 4\)"):
        waited(the_function())
    cloud.change(attempts=[EARLIER, attempt(2, 4)], contents={
        f"{ADDRESS}/{LEASE}": json.dumps({"expires_at": "2026-01-01T00:00:00+00:00"})})  # fmt: skip
    with pytest.raises(Stopped, match="got no good answer"):
        waited(the_function())


def test_the_states_are_those_that_cloud_run_s_api_has() -> None:
    described = document("run.v1")["schemas"]["ExecutionReference"]["properties"]["completionStatus"]["enum"]
    assert set(PATIENCE) == {s for s in described if not s.endswith(("UNSPECIFIED", "RUNNING", "PENDING"))}
    scheduler = document("cloudscheduler.v1")["schemas"]["Job"]["properties"]
    assert {"lastAttemptTime", "status"} <= set(scheduler)


def test_terraform_s_outputs_say_how_long_a_call_may_take() -> None:
    """The values are tested in expectations.tftest.hcl."""
    function = TrainingCall.of({"job": WEEKLY, "training": {"job": None, "seconds": 1800}}, "p", "r")
    assert (function.job, function.minutes) == (None, 45)
    job = TrainingCall.of({"job": WEEKLY, "training": {"job": "tabular-train", "seconds": 108_000}}, "p", "r")
    assert (job.job, job.minutes) == ("tabular-train", (108_000 + JUDGED_SECONDS) / 60)


def test_what_make_retrain_reads_of_a_job_is_what_cloud_run_s_api_shows() -> None:
    schemas = document("run.v2")["schemas"]
    job = schemas["GoogleCloudRunV2Job"]["properties"]
    execution = schemas[job["latestCreatedExecution"]["$ref"]]["properties"]
    assert "name" in execution
    assert set(ENDED_BADLY) <= set(execution["completionStatus"]["enum"])
    task = schemas[schemas[job["template"]["$ref"]]["properties"]["template"]["$ref"]]["properties"]
    assert (task["timeout"]["format"], task["maxRetries"]["format"]) == ("google-duration", "int32")
    method = document("run.v2")["resources"]["projects"]["resources"]["locations"]["resources"]["jobs"]["methods"]
    assert method["get"]["path"] == "v2/{+name}"
