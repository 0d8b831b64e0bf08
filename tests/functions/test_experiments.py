"""`make mlflow` against a real bucket: the runs that wait in it, the aliases, the page."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.train import pipeline
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import BucketTracker
from shared import layout
from shared.codec import encode
from shared.decisions import Decision, Pointer
from shared.documents import SCHEMA_VERSION
from shared.layout import Stage
from shared.store import CloudStore
from tests.local_storage import running_storage
from tests.sample import IN_THIS_PROCESS, seed
from tests.tools import free_port, ignored

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "experiments"
COMMAND = (sys.executable, "-m", "infra.operate.experiments")

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]  # mlflow's own warnings


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_storage() as server, pytest.MonkeyPatch.context() as patch:
        client = server.client()
        client.create_bucket(BUCKET)
        client.close()
        reach = {"STORAGE_EMULATOR_HOST": server.http_url, "GOOGLE_CLOUD_PROJECT": "local"}
        for name, value in reach.items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        state = str(tmp_path_factory.mktemp("state"))
        yield {**os.environ, "PYTHONPATH": str(ROOT), "LOCAL_STATE": state, "BUCKET": BUCKET}


@pytest.fixture(scope="module")
def run_ids(environment: dict[str, str]) -> list[str]:
    """Two runs in the bucket, the second of which staging serves, the first production."""
    store = CloudStore(BUCKET)
    seed(store)
    settings = TrainSettings.from_env({"BUCKET": BUCKET, **IN_THIS_PROCESS})
    found: list[str] = []
    for _ in range(2):
        done = pipeline.run(
            store, BucketTracker(store), settings, settings.dataset, force=bool(found), zoo=MODEL_ZOO[:3]
        )
        found.append(done.run_id)
        time.sleep(1.1)  # run ids have a resolution of a second
    store.write(f"{layout.TRACKED}stray", b"\xc1", if_generation=None, content_type="text/plain")
    point(store, "production", found[0])
    point(store, "staging", found[1])
    return found


def point(store: CloudStore, stage: Stage, run_id: str) -> None:
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        run_id=run_id,
        manifest_sha256="0" * 64,
        promoted_at=datetime.now(UTC),
        previous_run_id=None,
        decision=Decision(passed=True, checks=()),
    )
    store.write(layout.pointer(stage), encode(pointer), if_generation=None, content_type="application/json")


def client_of(environment: dict[str, str]) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{environment['LOCAL_STATE']}/experiments/{BUCKET}/mlflow.db")


def once(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [*COMMAND, "--no-page"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runs_of_the_bucket_are_merged_into_one_store_whose_aliases_follow_the_stages(
    environment: dict[str, str], run_ids: list[str]
) -> None:
    said = once(environment)
    assert "mlflow/stray is not a run of this version, and is left out" in said
    assert f"staging → {run_ids[1]}; production → {run_ids[0]}" in said
    client = client_of(environment)
    aliases = client.get_registered_model("student-performance").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"production": "1", "staging": "2"}
    point(CloudStore(BUCKET), "production", run_ids[1])
    once(environment)
    aliases = client.get_registered_model("student-performance").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"production": "2", "staging": "2"}
    experiment = client.get_experiment_by_name("student-performance").experiment_id
    whole = client.search_runs([experiment], "tags.part = 'whole'")
    assert sorted(one.info.run_name for one in whole) == run_ids


def test_the_page_opens_at_the_runs_and_ctrl_c_ends_it(
    environment: dict[str, str], run_ids: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "printed"
    port = free_port()
    with output.open("wb") as printed, ignored(signal.SIGINT):
        process = subprocess.Popen(
            [*COMMAND, "--port", str(port)], env=environment, start_new_session=True, stdout=printed
        )
    try:
        deadline = time.monotonic() + 240
        while (found := _search(port)) is None:
            assert process.poll() is None, "it ended early"
            assert time.monotonic() < deadline, "the page did not open"
            time.sleep(0.5)
        assert "student-performance" in found
        experiment = client_of(environment).get_experiment_by_name("student-performance").experiment_id
        link = f"MLflow: http://127.0.0.1:{port}/#/experiments/{experiment}?workflowType=machine_learning "
        while link not in output.read_text():
            assert process.poll() is None, "it ended early"
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))  # nobody is left there


def _search(port: int) -> str | None:
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as page:
            if page.get("/").status_code != 200:
                return None
            return page.post("/api/2.0/mlflow/experiments/search", json={"max_results": 10}).text
    except httpx.HTTPError:
        return None


def test_without_runs_the_way_to_some_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    bare = {name: value for name, value in environment.items() if name != "BUCKET"} | {"LOCAL_STATE": str(tmp_path)}
    done = subprocess.run(COMMAND, env=bare, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "mlflow: no runs yet: start with 'make run', or name the bucket of a deployment with BUCKET=\n"
    )
