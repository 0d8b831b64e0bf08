"""Files beyond one function: started on Dataflow by Google's client, answered by Beam in every byte as by us."""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format

from functions.batch.dataflow import DataflowSettings, job_name
from functions.batch.main import Batcher
from functions.batch.planning import plan, reader
from functions.batch.settings import BatchSettings
from infra.delivery import bundles
from shared import layout
from shared.errors import SettingsError, TransientError
from shared.store import CloudStore
from tests.functions.dataflow_stand_in import TEMPLATE, StandIn, running_dataflow
from tests.local_storage import running_storage
from tests.tools import require
from tests.unit.batch.test_answers import WRITTEN
from tests.unit.batch.world import BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.promoted import FIRST, promote
from tests.unit.validate.world import attributes, resource

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "beam" / "bin" / "python"
BEYOND = DataflowSettings("p", "europe-west1", "gs://b/flex/batch.json", "w@p.iam.gserviceaccount.com", 10)
SIZES: dict[str, Any] = {"part_rows": 60, "part_bytes": 3000, "tolerate": 0.05}


@pytest.fixture(scope="module")
def dataflow_api() -> Iterator[StandIn]:
    with running_dataflow() as stand_in:
        yield stand_in


@pytest.fixture
def api(dataflow_api: StandIn) -> StandIn:
    dataflow_api.launched.clear()
    dataflow_api.fault = None
    return dataflow_api


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStore]:
    with running_storage(tmp_path_factory.mktemp("storage")) as storage, pytest.MonkeyPatch.context() as patch:
        bucket = f"beam-{uuid.uuid4().hex[:12]}"
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=30).raise_for_status()
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patch.setenv("BUCKET_OF_THE_TEST", bucket)
        found = CloudStore(bucket)
        promote(found, "production", FIRST)
        yield found


def spoiled() -> list[list[str]]:
    table = rows(300)
    table[150][2] = "old"
    table[7][0] = 'zwei\nZeilen "und" mehr'
    return table


def parquet() -> bytes:
    table = spoiled()
    table[150][2], table[150][1] = "7", "nobody"
    return as_parquet(table, row_group_size=70)


def batcher(store: CloudStore, api: StandIn, **settings: Any) -> Batcher:
    bucket = os.environ["BUCKET_OF_THE_TEST"]
    return Batcher(BatchSettings(bucket=bucket, **SIZES, **settings), store, connect=api.connect)


def dropped(store: CloudStore, tmp_path: Path, name: str, data: bytes) -> tuple[str, dict[str, object]]:
    """The folder of the answer, and the event's data."""
    path = tmp_path / name
    path.write_bytes(data)
    info = store.upload(layout.BATCH_INPUT + name, path, {})
    return layout.batch_folder(info.name, info.generation), resource(
        info.name, info.generation, os.environ["BUCKET_OF_THE_TEST"]
    )


def answer(store: CloudStore, folder: str) -> dict[str, bytes]:
    """The objects of an answer that do not contain the file's own name."""
    names = [info.name for info in store.list(folder)]
    kept = {name.removeprefix(folder): store.read(name).data for name in names}
    return {name: data for name, data in kept.items() if name.startswith(("part-", "progress/", "errors"))}


@pytest.mark.parametrize(("kind", "data"), [("csv", as_csv(spoiled())), ("parquet", parquet())], ids=["csv", "parquet"])
def test_beam_answers_in_every_byte_as_the_function(
    store: CloudStore, api: StandIn, tmp_path: Path, kind: str, data: bytes
) -> None:
    python = require(str(PYTHON), source="make test installs it")
    usual, event = dropped(store, tmp_path, f"usual.{kind}", data)
    batcher(store, api).receive(attributes(os.environ["BUCKET_OF_THE_TEST"]), event)

    beyond, event = dropped(store, tmp_path, f"beyond #1.{kind}", data)
    large = batcher(store, api, engine_rows=100, dataflow=BEYOND)
    for _ in range(2):  # a duplicate starts no second job
        large.receive(attributes(os.environ["BUCKET_OF_THE_TEST"]), event)
    [request] = api.launched
    asked = dict(request.launch_parameter.parameters)
    assert asked == {"bucket": os.environ["BUCKET_OF_THE_TEST"], "folder": beyond}
    options = [f"--{name}={value}" for name, value in asked.items()]
    # As in the image: the file that its Dockerfile names, with nothing of ours but the bundle that it is built from.
    work = tmp_path / "template"
    bundles.write(bundles.contents(ROOT, "flex"), tmp_path / "flex.zip")
    bundles.unpack(tmp_path / "flex.zip", work)
    program = re.search(r"FLEX_TEMPLATE_PYTHON_PY_FILE=/template/(\S+)", (work / "Dockerfile").read_text())
    assert program is not None
    command = [python, str(work / program[1]), *options, "--runner=DirectRunner"]
    environment = {**os.environ, "PYTHONPATH": str(work)}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len([name for name in answer(store, usual) if name.startswith("part-")]) >= 4
    assert answer(store, beyond) == answer(store, usual)
    found = json.loads(store.read(beyond + layout.SUCCESS).data)
    told = json.loads(store.read(usual + layout.SUCCESS).data)
    assert {**found, "input": None} == {**told, "input": None}


# ---- where the parts begin -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("size", [300, 1500, 10**6])
def test_parts_begin_where_reading_them_ends(written: str, size: int) -> None:
    """Beam is told all cuts before any row is read: counting lines must come to what reading them comes to."""
    world = BatchWorld()
    info = world.drop("a.csv", WRITTEN[written])
    found = plan(world.bucket, info, BatchSettings(bucket="b", part_bytes=size))
    file = reader(world.bucket, found)
    assert list(file.cuts(found.first)) == [piece.cut for piece in file.pieces(found.first)]


def test_cuts_of_parquet_are_those_of_its_rows() -> None:
    world = BatchWorld()
    for count in (0, 1, 59, 60, 61, 300):
        info = world.drop("a.parquet", as_parquet(rows(count), row_group_size=70))
        found = plan(world.bucket, info, BatchSettings(bucket="b", part_rows=60))
        file = reader(world.bucket, found)
        assert list(file.cuts(found.first)) == [piece.cut for piece in file.pieces(found.first)]
        assert all(next(file.pieces(cut)).cut == cut for cut in file.cuts(found.first))


# ---- starting it -----------------------------------------------------------------------------------------------------


def asked(world: BatchWorld, api: StandIn, **settings: Any) -> list[Any]:
    world.settings = {"engine_rows": 100, "dataflow": BEYOND, **settings}
    world.connect = api.connect
    info = world.drop("a.csv", as_csv(rows(200)))
    return [line["reason"] for line in world.deliver(info)]


def test_a_file_beyond_the_bound_starts_one_job_with_its_plan_pinned(api: StandIn) -> None:
    world = BatchWorld()
    assert asked(world, api) == ["started"]
    [request] = api.launched
    assert (request.project_id, request.location) == ("p", "europe-west1")
    parameter = request.launch_parameter
    assert parameter.container_spec_gcs_path == BEYOND.template
    assert parameter.environment.service_account_email == BEYOND.account
    assert parameter.environment.max_workers == 10
    folder = parameter.parameters["folder"]
    assert parameter.job_name == job_name(folder)
    assert json.loads(world.bucket.read(folder + layout.PLAN).data)["engine"] == "dataflow"


def test_smaller_files_start_none(api: StandIn) -> None:
    world = BatchWorld()
    assert asked(world, api, engine_rows=1000) == ["answered"]
    assert api.launched == []


@pytest.mark.parametrize(
    "fault",
    [
        *(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED),
        grpc.StatusCode.NOT_FOUND,
    ],
)
def test_a_quota_an_outage_a_missing_permission_or_template_is_tried_again(
    api: StandIn, fault: grpc.StatusCode
) -> None:
    api.fault = fault
    world = BatchWorld()
    with pytest.raises(TransientError):
        asked(world, api)
    api.fault = None
    [info] = world.bucket.list(layout.BATCH_INPUT)
    assert [line["reason"] for line in world.deliver(info)] == ["started"]


def test_what_dataflow_will_never_take_is_told_beside_the_answer(api: StandIn) -> None:
    api.fault = grpc.StatusCode.INVALID_ARGUMENT
    world = BatchWorld()
    assert asked(world, api) == ["dataflow_refused"]
    [info] = world.bucket.list(layout.BATCH_INPUT)
    assert "check the template" in world.collect(info).rejection["problems"][0]


def test_with_the_bound_everything_that_dataflow_needs_must_be_set() -> None:
    given = {"BUCKET": "b", "BATCH_ENGINE_ROWS": "1000", "GOOGLE_CLOUD_PROJECT": "p", "DATAFLOW_REGION": "r"}
    with pytest.raises(SettingsError, match="DATAFLOW_TEMPLATE"):
        BatchSettings.from_env(given)
    whole = BatchSettings.from_env({**given, "DATAFLOW_TEMPLATE": "gs://b/t.json", "DATAFLOW_ACCOUNT": "a@b"})
    assert whole.dataflow == DataflowSettings("p", "r", "gs://b/t.json", "a@b", 10)


# ---- the template ----------------------------------------------------------------------------------------------------


def test_the_template_s_file_is_one_that_dataflow_knows() -> None:
    """Google's own message for it takes every field, by name and type; an unknown one is an error."""
    spec = json_format.Parse(TEMPLATE.read_text(), dataflow.ContainerSpec.pb(dataflow.ContainerSpec()))
    assert spec.sdk_info.language == dataflow.SDKInfo.Language.PYTHON
    assert spec.image == spec.default_environment.sdk_container_image
    for parameter in spec.metadata.parameters:
        assert parameter.label
        assert all(re.compile(regex) for regex in parameter.regexes)
    source = (ROOT / "functions" / "batch" / "pipeline.py").read_text()
    assert [f'"--{parameter.name}"' in source for parameter in spec.metadata.parameters] == [True, True]


def test_the_image_has_the_beam_that_is_locked() -> None:
    lock = (ROOT / "functions" / "batch" / "flex" / "requirements.txt").read_text()
    locked = re.search(r"^apache-beam==(\S+)", lock, re.MULTILINE)
    built = (TEMPLATE.parent / "Dockerfile").read_text()
    image = re.search(r"^FROM apache/beam_python3\.11_sdk:(\S+)$", built, re.MULTILINE)
    assert locked is not None
    assert image is not None
    assert locked[1] == image[1]
