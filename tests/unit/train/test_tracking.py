"""Runs in MLflow: what its own client finds after a real run, and what a server that is ill costs."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from functions.train import pipeline
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import TrainSettings
from functions.train.tracking import mlflow_runs
from functions.train.tracking.mlflow_registry import follow
from functions.train.tracking.tracked import OUR_TAGS, Standing, TrackedRun, decode_run
from functions.train.tracking.trackers import BucketTracker, Followed, MlflowTracker, without_credentials
from shared import layout, logs
from shared.codec import decode
from shared.documents import Manifest
from shared.errors import StorageUnavailable
from shared.profiles import Golden
from shared.store import ObjectInfo
from tests.http_receiver import Scripted, listening
from tests.memory_store import MemoryStore
from tests.sample import IN_THIS_PROCESS, seed
from tests.tools import queued_seconds

SETTINGS = TrainSettings.from_env({"BUCKET": "b", "GIT_SHA": "abc123", **IN_THIS_PROCESS})

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # mlflow's own warnings


def trained(store: MemoryStore) -> TrackedRun:
    """A run of a small zoo over the sample, as the bucket holds it for MLflow; one of its algorithms fails."""
    seed(store)
    zoo = (*MODEL_ZOO[:4], Algorithm("Broken", lambda _: object()))
    summary = pipeline.run(store, BucketTracker(store), SETTINGS, SETTINGS.dataset, force=False, zoo=zoo)
    return decode_run(store.read(layout.tracked(summary.run_id)).data)


@pytest.fixture(scope="module")
def bucket() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def run(bucket: MemoryStore) -> TrackedRun:
    return trained(bucket)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def client(run: TrackedRun, uri: str) -> Any:
    """MLflow's client over a store in which the run was recorded twice, once as training does it."""
    assert MlflowTracker(uri, os.environ, limit=300).record([run]) is None
    import mlflow

    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        mlflow_runs.record(run, Path(folder))
    return mlflow.MlflowClient(tracking_uri=uri)


def runs_of(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("student-performance")
    found = client.search_runs([experiment.experiment_id])
    by_name = {one.info.run_name: one for one in found}
    assert len(by_name) == len(found)  # recorded once
    return by_name


def test_a_run_holds_one_nested_run_per_algorithm(client: Any, run: TrackedRun) -> None:
    runs = runs_of(client)
    whole = runs[run.run_id]
    assert set(runs) == {run.run_id, "Dummy", "LinearRegression", "Ridge", "Lasso", "Blend", "Broken"}
    assert (whole.data.tags["run_id"], whole.data.tags["git_sha"]) == (run.run_id, "abc123")
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in set(runs) - {run.run_id}} == {whole.info.run_id}
    assert {name: one.info.status for name, one in runs.items() if one.info.status != "FINISHED"} == {
        "Broken": "FAILED"
    }
    assert runs["Broken"].data.tags["error"]
    assert runs["Ridge"].data.params["alpha"]


def test_every_fold_and_the_holdout_are_scored(client: Any, run: TrackedRun) -> None:
    runs = runs_of(client)
    for name in (run.run_id, "Ridge", "Lasso"):
        metrics = runs[name].data.metrics
        assert {"cv_r2_mean", "cv_r2_std", "holdout_r2", "holdout_mae", "holdout_rmse", "fit_seconds"} <= set(metrics)
        folds = sorted(client.get_metric_history(runs[name].info.run_id, "fold_r2"), key=lambda one: int(one.step))
        assert [one.step for one in folds] == [0, 1, 2, 3, 4]
        assert sum(one.value for one in folds) / 5 == pytest.approx(metrics["cv_r2_mean"])


def test_the_data_are_an_input_with_name_digest_and_schema(client: Any, run: TrackedRun) -> None:
    (given,) = client.get_run(runs_of(client)[run.run_id].info.run_id).inputs.dataset_inputs
    assert given.dataset.name == "student-performance"
    assert run.dataset.sha256.startswith(given.dataset.digest)
    columns = msgspec.json.decode(given.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns][-2:] == ["test_preparation_course", "math_score"]
    assert msgspec.json.decode(given.dataset.source) == {"uri": "gs://b/data/stud.csv"}


def test_the_report_is_an_artifact(client: Any, run: TrackedRun, tmp_path: Path) -> None:
    whole = runs_of(client)[run.run_id].info.run_id
    assert {"report.json", "report.html"} <= {entry.path for entry in client.list_artifacts(whole)}
    page = Path(client.download_artifacts(whole, "report.html", str(tmp_path)))
    assert page.read_bytes() == run.files["report.html"]


def test_the_aliases_name_what_each_stage_serves(
    client: Any, run: TrackedRun, uri: str, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    absent = "20200101T000000Z-00000000"
    told = MlflowTracker(uri, os.environ, limit=300).follow(
        Standing(serving={"staging": run.run_id, "production": absent})
    )
    assert told == Followed(None, (absent,))
    model = client.get_registered_model("student-performance")
    assert model.aliases in ({"staging": "1"}, {"staging": 1})
    served = mlflow.pyfunc.load_model("models:/student-performance@staging")
    manifest = decode(bucket.read(layout.candidate(run.run_id, layout.MANIFEST)).data, Manifest, "manifest")
    assert served.metadata.signature.inputs.input_names() == [feature.name for feature in manifest.features]
    assert len(served.input_example) == 5
    golden = decode(bucket.read(layout.candidate(run.run_id, layout.GOLDEN)).data, Golden, "golden")
    predicted = served.predict(pd.DataFrame(list(golden.rows[-5:])))
    assert list(predicted) == pytest.approx(list(golden.predictions[-5:]), abs=1e-3)
    assert follow(Standing(serving={"staging": absent, "production": run.run_id})) == (absent,)
    assert set(client.get_registered_model("student-performance").aliases) == {"production"}
    assert follow(Standing(serving={"staging": None, "production": run.run_id})) == ()
    assert set(client.get_registered_model("student-performance").aliases) == {"production"}


def test_a_version_bears_the_verdict_on_its_run(client: Any, run: TrackedRun) -> None:
    name = "student-performance"
    client.set_model_version_tag(name, "1", "seen_by", "maria")
    refused = {"verdict": "refused", "failed_checks": "score, contract", "reasons": "R² is 0.05; area is gone"}
    absent = "20200101T000000Z-00000000"
    tags = {run.run_id: refused, absent: {"verdict": "accepted"}}
    assert follow(Standing(serving={}, tags=tags)) == (absent,)
    (version,) = client.search_model_versions(f"name = '{name}' AND tags.verdict = 'refused'")
    assert {"run_id": run.run_id, "seen_by": "maria", **refused}.items() <= version.tags.items()
    served = {"verdict": "accepted", "production_since": "2026-11-01T15:00:00Z", "production_by": "otto"}
    assert follow(Standing(serving={}, tags={run.run_id: served})) == ()
    tags = client.get_model_version(name, "1").tags
    assert {tag: value for tag, value in tags.items() if tag in OUR_TAGS} == served
    assert tags["seen_by"] == "maria"


def test_the_graph_is_a_model_of_the_run(client: Any, run: TrackedRun) -> None:
    experiment = client.get_experiment_by_name("student-performance").experiment_id
    assert {one.name for one in client.search_logged_models([experiment])} == {"onnx", "pipeline"}


@pytest.fixture
def warnings_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logs.LOGGER, "propagate", True)
    return caplog


@contextmanager
def failing_server() -> Iterator[int]:
    """A server that answers every request with 500."""

    class Answer(Scripted):
        def do_GET(self) -> None:
            self.send_error(500)

        do_POST = do_GET

    with listening(server := ThreadingHTTPServer(("127.0.0.1", 0), Answer)):
        yield server.server_port


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@contextmanager
def no_server() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("server", [silent_server, failing_server, no_server], ids=["hangs", "answers 500", "refuses"])
def test_a_server_that_is_ill_costs_half_a_minute_and_a_warning(
    server: Any, run: TrackedRun, warnings_of: pytest.LogCaptureFixture
) -> None:
    with server() as port:
        began = time.monotonic() - queued_seconds(os.getpid())
        MlflowTracker(f"http://user:s3cret@127.0.0.1:{port}", os.environ).track(run)
        assert time.monotonic() - queued_seconds(os.getpid()) - began < 32
    assert "the run was not tracked: MLflow " in warnings_of.text
    assert "s3cret" not in warnings_of.text


def test_a_file_that_cannot_be_made_costs_a_warning(run: TrackedRun, warnings_of: pytest.LogCaptureFixture) -> None:
    MlflowTracker("sqlite:////proc/no/mlflow.db", os.environ).track(run)
    assert "the run was not tracked: MLflow raised " in warnings_of.text


def test_a_bucket_that_fails_costs_a_warning(run: TrackedRun, warnings_of: pytest.LogCaptureFixture) -> None:
    class Down(MemoryStore):
        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            raise StorageUnavailable("503")

    BucketTracker(Down()).track(run)
    assert "the run was not tracked: 503" in warnings_of.text


def test_an_address_is_shown_without_its_password() -> None:
    assert without_credentials("https://user:s3cret@mlflow.example:5000/x") == "https://mlflow.example:5000/x"
    assert without_credentials("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"
