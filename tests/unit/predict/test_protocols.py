"""MLflow's scoring protocol and the Open Inference Protocol, answered over the same schema and by the same model."""

import json
from typing import Any

import httpx
import pytest

from functions.predict.settings import Limits
from tests.memory_store import MemoryStore
from tests.unit.predict.client import Client, codes
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, promote

NAME = "students"
INFER = f"/v2/models/{NAME}/infer"
SECOND_ROW = {**ROW, "gender": "female", "age": 16, "hours": None}
ROWS = [dict(ROW), SECOND_ROW]
EXPECTED = [66.0, 61.0 + 1.0 + 3.0]


@pytest.fixture
def client() -> Client:
    store = MemoryStore()
    promote(store)
    return Client(store, limits=Limits(max_rows=5))


def tensors(rows: list[dict[str, Any]], **beside: Any) -> str:
    kinds = {feature.name: "BYTES" if feature.kind == "categorical" else "FP64" for feature in FEATURES}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[name], "data": [row[name] for row in rows]}
        for name in ROW
    ]
    return json.dumps({"inputs": inputs, **beside})


def outputs(answer: httpx.Response) -> dict[str, list[Any]]:
    return {tensor["name"]: tensor["data"] for tensor in answer.json()["outputs"]}


def test_rows_as_tensors_are_answered_as_tensors(client: Client) -> None:
    answer = client.post(INFER, tensors(ROWS, id="a-1"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"]) == (NAME, FIRST, "a-1")
    batch = client.post("/predict_batch", json.dumps(ROWS)).json()["predictions"]
    found = outputs(answer)
    assert found["prediction"] == EXPECTED == [entry["prediction"] for entry in batch]
    assert found["interval_low"] == [entry["interval"]["low"] for entry in batch]
    assert found["risk_probability"] == [entry["risk"]["probability"] for entry in batch]
    assert found["risk_tier"] == [entry["risk"]["tier"] for entry in batch]
    assert {tuple(tensor["shape"]) for tensor in body["outputs"]} == {(2,)}


def test_the_type_of_an_inference_request_may_be_left_unsaid_as_tritonclient_does(client: Client) -> None:
    assert client.post(INFER, tensors(ROWS), {}).status_code == 200
    assert client.post(INFER, tensors(ROWS), {"Content-Type": "application/octet-stream"}).status_code == 415
    assert client.post("/invocations", json.dumps({"inputs": ROWS}), {}).status_code == 415


def test_the_metadata_names_what_infer_takes_and_gives(client: Client) -> None:
    metadata = client.get(f"/v2/models/{NAME}").json()
    assert metadata["versions"] == [FIRST]
    assert [entry["name"] for entry in metadata["inputs"]] == [feature.name for feature in FEATURES]
    found = {tensor["name"]: tensor["datatype"] for tensor in client.post(INFER, tensors(ROWS)).json()["outputs"]}
    assert found == {entry["name"]: entry["datatype"] for entry in metadata["outputs"]}


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{NAME}/ready", "/ping"])
def test_it_says_that_it_is_ready(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.request("HEAD", path).status_code == 200
    assert client.post(path, "{}").status_code == 405


@pytest.mark.parametrize("path", ["/v2/health/ready", f"/v2/models/{NAME}/ready", "/ping"])
def test_without_a_model_it_is_not(path: str) -> None:
    assert Client(MemoryStore()).get(path).status_code == 503
    assert Client(MemoryStore()).get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v2/models/{NAME}/versions/{FIRST}", 200),
        (f"/v2/models/{NAME}/versions/20000101T000000Z-00000000", 404),
        ("/v2/models/houses", 404),
        ("/v2/models", 404),
        (f"/v2/models/{NAME}/explain", 404),
    ],
)
def test_only_the_model_in_hand_is_found(client: Client, path: str, status: int) -> None:
    assert client.get(path).status_code == status


def test_outputs_may_be_chosen(client: Client) -> None:
    assert outputs(client.post(INFER, tensors(ROWS, outputs=[{"name": "prediction"}]))) == {"prediction": EXPECTED}
    refused = client.post(INFER, tensors(ROWS, outputs=[{"name": "prediction"}, {"name": "x"}]))
    assert codes(refused) == [("/outputs/1", "unknown_output")]


def test_a_problem_points_into_the_tensors_and_has_the_protocol_s_own_field(client: Client) -> None:
    answer = client.post(INFER, tensors([ROWS[0], {**ROW, "age": 99, "gender": "x"}]))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert codes(answer) == [("/inputs/0/data/1", "unknown_category"), ("/inputs/1/data/1", "out_of_range")]
    assert answer.json()["error"] == answer.json()["detail"]


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "age", "shape": [1], "datatype": "FP64", "data": [15], **changes}


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (None, [("", "no_inputs")]),
        ([], [("", "no_inputs")]),
        ([7], [("/inputs/0", "bad_tensor")]),
        ([tensor(shape=[2])], [("/inputs/0", "bad_tensor")]),
        ([tensor(shape=[1, 2])], [("/inputs/0", "bad_tensor")]),
        ([tensor(shape=[])], [("/inputs/0", "bad_tensor")]),
        ([tensor(shape=None)], [("/inputs/0", "bad_tensor")]),
        ([tensor(datatype="BOOL")], [("/inputs/0", "bad_tensor")]),
        ([tensor(data="AAAA")], [("/inputs/0", "bad_tensor")]),
        ([tensor(), tensor()], [("/inputs/1", "duplicate_field")]),
        ([tensor(), tensor(name="hours", shape=[2], data=[1, 2])], [("", "bad_tensor")]),
    ],
)
def test_what_is_no_tensor_of_a_column_is_refused(client: Client, inputs: Any, found: list[tuple[str, str]]) -> None:
    answer = client.post(INFER, json.dumps({"inputs": inputs}))
    assert (answer.status_code, codes(answer)) == (422, found)


def test_a_column_may_be_a_matrix_of_one_column(client: Client) -> None:
    body = json.loads(tensors(ROWS))
    for entry in body["inputs"]:
        entry["shape"], entry["data"] = [2, 1], [[cell] for cell in entry["data"]]
    assert outputs(client.post(INFER, json.dumps(body)))["prediction"] == EXPECTED


FORMS: list[dict[str, Any]] = [
    {"dataframe_split": {"columns": list(ROW), "data": [list(row.values()) for row in ROWS]}},
    {"dataframe_split": {"index": [0, 1], "columns": list(ROW), "data": [list(row.values()) for row in ROWS]}},
    {"dataframe_records": ROWS},
    {"instances": ROWS},
    {"inputs": {name: [row[name] for row in ROWS] for name in ROW}},
    {"inputs": ROWS, "params": {}},
]


@pytest.mark.parametrize("body", FORMS)
def test_every_form_of_mlflow_is_answered_with_a_number_for_each_row(client: Client, body: dict[str, Any]) -> None:
    answer = client.post("/invocations", json.dumps(body))
    assert (answer.status_code, answer.json()) == (200, {"predictions": EXPECTED})


def test_one_row_as_an_object_is_one_row(client: Client) -> None:
    assert client.post("/invocations", json.dumps({"inputs": ROW})).json() == {"predictions": [EXPECTED[0]]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "not_an_invocation"),
        ([], 422, "not_an_invocation"),
        ({"instances": ROWS, "inputs": ROWS}, 422, "not_an_invocation"),
        ({"instances": 3}, 422, "not_an_array"),
        ({"dataframe_split": {"columns": ["a"]}}, 422, "not_a_table"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, 422, "not_a_table"),
        ({"inputs": {"age": [1, 2], "hours": [1]}}, 422, "not_a_table"),
        ({"inputs": {"age": [1, 2], "hours": 1}}, 422, "not_a_table"),
        ({"instances": ROWS * 3}, 413, "too_many_rows"),
    ],
)
def test_another_form_is_refused(client: Client, body: Any, status: int, code: str) -> None:
    answer = client.post("/invocations", json.dumps(body))
    assert (answer.status_code, codes(answer)) == (status, [("", code)])


def test_a_missing_number_may_be_spelt_as_mlflow_s_client_does(client: Client) -> None:
    body = json.dumps({"instances": [{**ROW, "hours": float("nan"), "lunch": "NaN"}]})
    assert codes(client.post("/invocations", body)) == [("/instances/0/lunch", "unknown_category")]
    body = json.dumps({"instances": [{**ROW, "hours": float("nan")}]})
    assert client.post("/invocations", body).json() == {"predictions": [69.0]}
    for constant in ("Infinity", "-Infinity"):
        assert client.post("/invocations", body.replace("NaN", constant)).status_code == 400
    assert client.post("/predict", json.dumps({**ROW, "hours": float("nan")})).status_code == 400


def test_a_problem_points_into_the_form(client: Client) -> None:
    split = {"columns": list(ROW), "data": [list({**ROW, "age": 99}.values())]}
    assert codes(client.post("/invocations", json.dumps({"dataframe_split": split}))) == [
        ("/dataframe_split/data/0/1", "out_of_range")
    ]
    columns = {name: [cell, cell] for name, cell in ROW.items()} | {"age": [15, 99]}
    assert codes(client.post("/invocations", json.dumps({"inputs": columns}))) == [("/inputs/age/1", "out_of_range")]
    assert codes(client.post("/invocations", json.dumps({"inputs": {**ROW, "age": 99}}))) == [
        ("/inputs/0/age", "out_of_range")
    ]
