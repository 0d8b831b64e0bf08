"""Every status, in the order of precedence, and the shape of every answer."""

import asyncio
import csv
import gc
import io
import json
import logging
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from functions.predict.contract.description import typical
from functions.predict.settings import Limits
from functions.predict.wire.payload import SMALL_BYTES
from shared import logs
from shared.documents import Cell, Feature
from shared.errors import StorageUnavailable
from shared.model_runtime import Model
from shared.store import Download
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client, codes, log_records
from tests.unit.predict.promoted import EXPECTED, FEATURES, FIRST, ROW, SECOND, golden_rows, promote, served_model

LIMITS = Limits(max_bytes=4096, max_rows=5)
GETS = [
    "/",
    "/app.js",
    "/style.css",
    "/health",
    "/ready",
    "/schema",
    "/meta",
    "/openapi.json",
    "/docs",
    "/docs.js",
    "/dom.js",
]
POSTS = ["/predict", "/predict_batch"]


@pytest.fixture
def client(store: MemoryStore) -> Client:
    return Client(store)


@pytest.fixture
def small(store: MemoryStore) -> Client:
    return Client(store, limits=LIMITS)


@pytest.fixture
def empty() -> Client:
    return Client(MemoryStore(), limits=LIMITS)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as found:
        yield found


def row(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


def table(rows: list[dict[str, Cell]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[feature.name for feature in FEATURES])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def test_one_row_is_answered_with_prediction_interval_risk_band_and_model(client: Client) -> None:
    answer = client.post("/predict", json.dumps(ROW))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "prediction": EXPECTED,
        "interval": {"level": 0.9, "low": EXPECTED - 22, "high": EXPECTED + 21},
        "risk": {"probability": 0.3, "tier": "low"},
        "band": "medium",
        "model": {"run_id": FIRST},
    }


def test_a_target_without_a_notion_of_risk_is_answered_without_it() -> None:
    store = MemoryStore()
    promote(store, assessment=None)
    answer = Client(store).post("/predict", json.dumps(ROW))
    assert set(answer.json()) == {"prediction", "interval", "model"}


def test_warnings_stand_beside_the_prediction(client: Client) -> None:
    single = client.post("/predict", json.dumps(row(math_score=1))).json()
    assert [entry["pointer"] for entry in single["warnings"]] == ["/math_score"]
    batch = client.post("/predict_batch", json.dumps([ROW, row(reading_score=1)])).json()
    assert [entry["pointer"] for entry in batch["warnings"]] == ["/1/reading_score"]
    assert set(batch["predictions"][0]) == {"prediction", "interval", "risk", "band"}


@pytest.mark.parametrize("door", ["array", "instances", "csv"])
def test_a_batch_is_answered_row_by_row_as_the_runtime_and_the_single_route_do(client: Client, door: str) -> None:
    rows = [dict(entry) for entry in golden_rows()]
    content = {"array": json.dumps(rows), "instances": json.dumps({"instances": rows}), "csv": table(rows)}[door]
    batch = client.post("/predict_batch", content, CSV if door == "csv" else JSON)
    assert (batch.status_code, batch.json()["model"]) == (200, {"run_id": FIRST})
    found = batch.json()["predictions"]
    assert [entry["prediction"] for entry in found] == served_model().predict_rows(rows).tolist()
    for entry, outcome in zip(rows, found, strict=True):
        alone = client.post("/predict", json.dumps(entry)).json()
        assert {**outcome, "model": {"run_id": FIRST}} == alone


def test_a_large_batch_leaves_the_event_loop_and_gives_the_same(client: Client) -> None:
    rows = [row(age=5 + position % 21) for position in range(10_000)]
    content = json.dumps(rows)
    assert len(content) > SMALL_BYTES
    found = client.post("/predict_batch", content).json()["predictions"]
    expected = served_model().predict_rows([{**entry, "age": float(entry["age"])} for entry in rows])
    np.testing.assert_allclose([entry["prediction"] for entry in found], expected)


def test_only_large_bodies_are_worked_on_in_another_thread(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    run = Model.run

    def spy(model: Model, numeric: Any, categorical: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return run(model, numeric, categorical)

    client.get("/ready")
    monkeypatch.setattr(Model, "run", spy)
    for rows in (1, 10_000):
        client.post("/predict_batch", json.dumps([ROW] * rows))
    assert threads == [True, False]


@pytest.mark.parametrize(("content", "headers"), [("[]", JSON), ('{"instances": []}', JSON), ("gender,age\n", CSV)])
def test_an_empty_batch_is_answered_with_an_empty_list(client: Client, content: str, headers: dict[str, str]) -> None:
    answer = client.post("/predict_batch", content, headers)
    assert (answer.status_code, answer.json()) == (200, {"predictions": [], "model": {"run_id": FIRST}})


@pytest.mark.parametrize("path", ["/nope", "/predict/", "/predict/x", "/web/app.js", "/health/", "/Predict"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths_are_404_for_every_method(client: Client, method: str, path: str) -> None:
    answer = client.request(method, path, content=b"{", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, codes(answer)) == (404, [("", "not_found")])


@pytest.mark.parametrize(("paths", "allow"), [(GETS, "GET, HEAD"), (POSTS, "POST")])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_405_with_allow(client: Client, method: str, paths: list[str], allow: str) -> None:
    if method in allow:
        return
    for path in paths:
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"], codes(answer)) == (
            405,
            allow,
            [("", "method_not_allowed")],
        )


@pytest.mark.parametrize("path", GETS)
def test_head_works_where_get_does_and_has_no_body(client: Client, path: str) -> None:
    got, head = client.get(path), client.request("HEAD", path)
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    if path not in ("/ready", "/meta"):  # these tell the time
        assert head.headers["content-length"] == got.headers["content-length"]


TOO_LARGE = b" " * (LIMITS.max_bytes + 1)
PRECEDENCE: list[tuple[str, str, dict[str, str], bytes, int]] = [
    ("413 before 415", "/predict", {"Content-Type": "text/plain"}, TOO_LARGE, 413),
    ("413 before 400", "/predict", JSON, TOO_LARGE, 413),
    ("415 before 400", "/predict", {"Content-Type": "text/plain"}, b"{", 415),
    ("rows: 413 before 422", "/predict_batch", JSON, b"[1, 2, 3, 4, 5, 6]", 413),
    ("400 before 422", "/predict", JSON, b'[1, {"a": 1, "a": 1}]', 400),
    ("400 before 503", "/predict", JSON, b"{", 400),
    ("422 before 503", "/predict", JSON, b"[]", 422),
    ("422 before 503, batch", "/predict_batch", JSON, b"3", 422),
    ("503 where nothing else is wrong", "/predict", JSON, b"{}", 503),
    ("503 for an empty batch too", "/predict_batch", JSON, b"[]", 503),
]


@pytest.mark.parametrize(
    ("path", "headers", "content", "status"), [case[1:] for case in PRECEDENCE], ids=[case[0] for case in PRECEDENCE]
)
def test_of_several_refusals_the_first_in_order_is_given(
    empty: Client, path: str, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = empty.post(path, content, headers)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_body_is_accepted_up_to_the_limit_and_not_one_byte_beyond(small: Client) -> None:
    body = json.dumps(ROW).encode()
    assert small.post("/predict", body.ljust(LIMITS.max_bytes)).status_code == 200
    refused = small.post("/predict", body.ljust(LIMITS.max_bytes + 1))
    assert (refused.status_code, codes(refused)) == (413, [("", "body_too_large")])


def test_a_body_that_declares_itself_too_large_is_refused_unread(small: Client) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"99999999")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}
    asyncio.run(small.app(scope, receive, send))
    assert sent[0]["status"] == 413


def test_a_caller_who_hangs_up_is_no_fault(small: Client, records: list[logging.LogRecord]) -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}
    asyncio.run(small.app(scope, receive, send))
    assert records == []


def test_a_body_without_a_declared_length_is_counted_while_it_comes(small: Client) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 1000

    async def fitting() -> Any:
        for character in json.dumps(ROW):
            yield character.encode()

    assert small.request("POST", "/predict", content=chunks(), headers=JSON).status_code == 413
    assert small.request("POST", "/predict", content=fitting(), headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (json.dumps([ROW] * 6), JSON),
        (json.dumps({"instances": [{}] * 6}), JSON),
        (table([dict(golden_rows()[0])] * 6), CSV),
    ],
)
def test_one_row_too_many_is_413(small: Client, content: str, headers: dict[str, str]) -> None:
    answer = small.post("/predict_batch", content, headers)
    assert (answer.status_code, codes(answer)) == (413, [("", "too_many_rows")])


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.api+json",
        "application/problem+json; q=1",
    ],
)
def test_json_by_any_of_its_names_is_accepted(client: Client, media_type: str) -> None:
    for path, body in (("/predict", ROW), ("/predict_batch", [ROW])):
        assert client.post(path, json.dumps(body), {"Content-Type": media_type}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/json"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=application/json"},
        {"Content-Type": "application/json, text/csv"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
def test_any_other_media_type_or_encoding_is_415(client: Client, headers: dict[str, str]) -> None:
    for path, body in (("/predict", ROW), ("/predict_batch", [ROW])):
        answer = client.post(path, json.dumps(body).encode(), headers)
        assert answer.status_code == 415
        assert answer.json()["errors"][0]["message"]


def test_csv_is_for_batches_only(client: Client) -> None:
    content = table([dict(golden_rows()[0])])
    assert client.post("/predict", content, CSV).status_code == 415
    assert client.post("/predict_batch", content, {"Content-Type": "text/csv; charset=utf-8"}).status_code == 200


def test_a_refused_row_is_422_with_every_problem(client: Client) -> None:
    answer = client.post("/predict", json.dumps({"gender": "secret", "age": 99, "Lunch": "standard"}))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert (body["type"], body["status"]) == ("about:blank", 422)
    assert len(body["errors"]) == 7
    gender = next(entry for entry in body["errors"] if entry["pointer"] == "/gender")
    assert (gender["code"], gender["allowed"]) == ("unknown_category", ["female", "male"])
    age = next(entry for entry in body["errors"] if entry["pointer"] == "/age")
    assert age["allowed"] == {"min": 5.0, "max": 25.0}
    assert "secret" not in answer.text
    assert "99" not in answer.text


@pytest.mark.parametrize("given", ["a", "Trace-1:2.3_4", "x" * 128])
def test_a_well_formed_request_id_comes_back(client: Client, given: str) -> None:
    for answer in (
        client.get("/health", headers={"X-Request-ID": given}),
        client.get("/x", headers={"X-Request-ID": given}),
    ):
        assert answer.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a,b", "<script>", "é".encode()])
def test_an_ill_formed_request_id_is_replaced(client: Client, given: str | bytes) -> None:
    raw = given if isinstance(given, bytes) else given.encode()
    answer = client.get("/health", headers=[(b"X-Request-ID", raw)])
    (found,) = answer.headers.get_list("x-request-id")
    assert found.encode("latin-1") != raw
    assert len(found) == 32


def test_every_answer_has_a_request_id_of_its_own(client: Client) -> None:
    paths = [*GETS, "/nope", "/predict"]
    assert len({client.get(path).headers["x-request-id"] for path in paths}) == len(paths)


def test_answers_are_neither_stored_nor_guessed_at(client: Client) -> None:
    for answer in (client.post("/predict", json.dumps(ROW)), client.get("/meta"), client.get("/nope")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_health_asks_for_nothing_and_says_whether_a_model_is_loaded(client: Client, empty: Client) -> None:
    assert client.get("/health").json() == {"status": "ok", "model_loaded": False}
    client.get("/ready")
    assert client.get("/health").json() == {"status": "ok", "model_loaded": True}
    assert empty.get("/health").status_code == 200


def test_ready_loads_the_model_or_asks_to_come_back(client: Client, empty: Client) -> None:
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()["run_id"], ready.json()["stale"]) == (200, FIRST, False)
    for path in ("/ready", "/schema", "/meta"):
        answer = empty.get(path)
        assert (answer.status_code, codes(answer)) == (503, [("", "no_model")])
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("imputed", "least", "told"),
    [
        (-0.11549999999999999, None, -0.1155),
        (33.333333333333336, None, 33.3333333333),
        (0.30000000000000004, 0.30000000000000004, 0.30000000000000004),  # what the model accepts comes first
        (9007199254740991.0, None, 9007199254740991.0),
        (1.2345e-9, None, 1.2345e-9),
    ],
)
def test_a_typical_number_has_no_digits_that_only_floats_have(imputed: float, least: float | None, told: float) -> None:
    assert typical(Feature(name="x", kind="numeric", nullable=False, imputed=imputed, min=least)) == told


def test_schema_tells_what_a_request_must_hold(small: Client) -> None:
    schema = small.get("/schema").json()
    assert [entry["name"] for entry in schema["features"]] == [feature.name for feature in FEATURES]
    gender, age, *_, hours = schema["features"]
    text = {"name": "gender", "kind": "categorical", "nullable": False, "typical": "female", "written": "female"}
    assert gender == text | {"categories": ["female", "male"], "on_unknown": "refuse"}
    number = {"name": "age", "kind": "numeric", "nullable": False, "typical": 15.0, "written": "15"}
    assert age == number | {"min": 5.0, "max": 25.0, "lowest": 5.0, "highest": 25.0}
    open_number = {"name": "hours", "kind": "numeric", "nullable": True, "typical": 10.0, "written": "10"}
    assert hours == open_number | dict.fromkeys(("min", "max", "lowest", "highest"))
    assert schema["target"] == "math_score"
    cells = {"max_cells": 341, "max_workbook_cells": 341}
    sizes = {"max_bytes": 4096, "max_workbook_bytes": 16 * 2**20}
    assert schema["limits"] == {"max_rows": 5, "max_values": 256} | cells | sizes


def test_meta_tells_where_the_model_comes_from(client: Client, store: MemoryStore) -> None:
    meta = client.get("/meta").json()
    pointer = store.stat("staging/current.json")
    assert pointer is not None
    assert meta["pointer_generation"] == pointer.generation
    assert (meta["run_id"], meta["stage"], meta["promoted_at"]) == (FIRST, "staging", "2026-01-05T07:30:00Z")
    assert (meta["algorithm"], meta["cv"]["r2_mean"], meta["holdout"]["r2"]) == ("Ridge", 0.23, 0.22)
    assert (meta["dataset"]["sha256"], meta["libraries"]) == ("ab" * 32, {"onnxruntime": "1.32.0"})
    assert (meta["stale"], meta["last_refresh"] is None) == (False, False)


def test_a_failed_look_shows_at_ready_and_meta_while_predictions_go_on(
    store: MemoryStore, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/ready")

    def down(name: str, generation: int | None = None, **_: object) -> Download:
        raise StorageUnavailable("https://storage.example/secret-bucket refused")

    monkeypatch.setattr(store, "read", down)
    client.predictor.look().result(timeout=30)
    for path in ("/ready", "/meta"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["stale"]) == (200, True)
        assert answer.json()["problem"] == {"reason": "storage_unavailable", "detail": "Cloud Storage does not answer"}
    assert client.post("/predict", json.dumps(ROW)).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/predict_batch?errors=rows", "/explain"])
@pytest.mark.parametrize("rows", [1, 100])
def test_100_000_unknown_keys_are_answered_in_64_kb_or_one_for_a_row_that_is_answered_for_itself(
    store: MemoryStore, path: str, rows: int
) -> None:
    whole = Client(store, limits=Limits())
    strange = {f"{'k' * 40}{place}": 1 for place in range(100_000 // rows)}
    body = [{**ROW, **strange}] * rows if rows > 1 else {**ROW, **strange}
    answer = whole.post(path, json.dumps(body))
    for_itself = "errors" in path and rows > 1
    assert answer.status_code == (200 if for_itself else 422)
    assert len(answer.content) <= (1024 * rows if for_itself else 64 * 1024)


def test_the_next_model_answers_after_its_promotion(store: MemoryStore, client: Client) -> None:
    client.get("/ready")
    promote(store, run_id=SECOND, base=70.0)
    client.predictor.look().result(timeout=30)
    answer = client.post("/predict", json.dumps(ROW)).json()
    assert (answer["prediction"], answer["model"]) == (EXPECTED + 10, {"run_id": SECOND})


def test_a_fault_of_ours_is_500_without_a_trace_and_logged_without_values(
    client: Client, monkeypatch: pytest.MonkeyPatch, records: list[logging.LogRecord]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("shared.serving.rows.RequestSchema.known", fail)
    answer = client.post("/predict", json.dumps(ROW))
    assert (answer.status_code, codes(answer)) == (500, [("", "internal_error")])
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (fault,) = [record for record in records if record.levelname == "ERROR"]
    line = logs.JsonFormatter("predict").format(fault)
    assert answer.headers["x-request-id"] in line
    assert "ValueError" in line
    assert "routes.py" in line
    assert "secret" not in line


def test_requests_leave_no_line_in_the_log(client: Client, records: list[logging.LogRecord]) -> None:
    client.get("/ready")
    before = len(records)
    client.post("/predict", json.dumps(ROW))
    client.post("/predict", json.dumps(row(gender="secret")))
    client.get("/nope")
    assert len(records) == before


def test_a_row_with_many_problems_tells_a_few_of_them_where_rows_stand_for_themselves(client: Client) -> None:
    wide = {**ROW, **{f"k{number}": 1 for number in range(1000)}}
    answer = client.post("/predict_batch?errors=rows", json.dumps([wide, dict(ROW), wide]))
    refused, answered, _ = answer.json()["predictions"]
    assert [problem["code"] for problem in refused["errors"]] == ["unknown_field"] * 5 + ["more_problems"]
    assert answered["prediction"] == EXPECTED
    assert len(answer.content) < 5000


def test_text_that_a_spreadsheet_would_run_is_made_harmless_and_numbers_stay_numbers(client: Client) -> None:
    header = f"{','.join(ROW)},note,figure"
    run = [
        "=cmd|' /C calc'!A0",
        "+49 170",
        "-Smith",
        "@SUM(1)",
        "\t=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20S(1)",
    ]
    notes = [*run, "plain", "-1.5", "+2"]
    cells = ",".join(map(str, ROW.values()))
    table = "\n".join([header, *(f"{cells},{note},-7.25" for note in notes)])
    accept = {"Content-Type": "text/csv", "Accept": "text/csv"}
    safe = list(csv.DictReader(io.StringIO(client.post("/predict_batch", table, accept).text)))
    assert [row["note"] for row in safe] == [*(f"'{note}" for note in run), *notes[len(run) :]]
    assert {row["figure"] for row in safe} == {"-7.25"}
    kept = list(csv.DictReader(io.StringIO(client.post("/predict_batch?formulas=keep", table, accept).text)))
    assert [row["note"] for row in kept] == notes
    assert client.post("/predict_batch?formulas=maybe", table, accept).status_code == 400


def test_a_refused_body_is_gone_with_its_answer(client: Client) -> None:
    """Without a collection of garbage: 64 connections with 8 MiB each would end a worker of 512 MiB before one."""
    long = b"a" * 2**20
    texts = b", ".join([b'"%b"' % long[: 2**17]] * 8)
    bodies = ((long, CSV), (b"[%b]" % texts, JSON), (b'[{"gender": [%b]}]' % texts, JSON))
    for content, headers in bodies:  # what is imported and remembered at first stays
        client.post("/predict_batch", content, headers)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for content, headers in bodies * 3:
            assert client.post("/predict_batch", content, headers).status_code in (400, 422)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 2**22  # the last of the nine may still be on its way out
