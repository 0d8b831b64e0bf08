"""The contract of the routes as one table, asked of the running function: method, path, request, status, problems."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, running, storage, store
from tests.unit.predict.promoted import ROW, promote

__all__ = ["storage", "store"]  # fixtures

GETS = ("/", "/docs", "/health", "/ready", "/schema", "/meta", "/openapi.json", "/app.js", "/style.css")
POSTS = ("/predict", "/predict_batch")
LIMIT = 4096
MOST_ROWS = 5
JSON = "application/json"
CSV = "text/csv"
PROBLEM = "application/problem+json"
Found = list[tuple[str, str]]


def row(**changes: Any) -> bytes:
    return json.dumps({**ROW, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({field: cell for field, cell in ROW.items() if field != name}).encode()


def table(cells: str, header: str = ",".join(ROW)) -> bytes:
    return f"{header}\n{cells}\n".encode()


METHODS: list[tuple[str, str, int]] = [
    *(("GET", path, 200) for path in GETS),
    *(("HEAD", path, 200) for path in GETS),
    *((method, path, 405) for path in GETS for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    *((method, path, 405) for path in POSTS for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")),
    *((method, path, 404) for path in ("/nope", "/predict/", "/Predict") for method in ("GET", "POST", "DELETE")),
]

THREE = [("/a", "unknown_field"), ("/age", "wrong_type"), ("/gender", "unknown_category")]
BAD: list[tuple[str, str, bytes, int, Found]] = [
    ("/predict", JSON, b"", 400, [("", "empty_body")]),
    ("/predict", JSON, b"{", 400, [("", "malformed_json")]),
    ("/predict", JSON, b'{"gender": "\xff"}', 400, [("", "invalid_utf8")]),
    ("/predict", JSON, b'{"gender": "\\ud800"}', 400, [("", "malformed_json")]),
    ("/predict", JSON, b"[" * 33 + b"]" * 33, 400, [("", "too_deep")]),
    ("/predict", JSON, b'{"a": 1, "a": 2}', 400, [("/a", "duplicate_key")]),
    ("/predict", JSON, b'{"age": NaN}', 400, [("", "malformed_json")]),
    ("/predict", JSON, b'{"age": -Infinity}', 400, [("", "malformed_json")]),
    ("/predict", "text/plain", row(), 415, [("", "media_type")]),
    ("/predict", "", row(), 415, [("", "media_type")]),
    ("/predict", "application/json; charset=latin-1", row(), 415, [("", "charset")]),
    ("/predict", CSV, row(), 415, [("", "media_type")]),
    ("/predict", JSON, b" " * (LIMIT + 1), 413, [("", "body_too_large")]),
    ("/predict", "text/plain", b" " * (LIMIT + 1), 413, [("", "body_too_large")]),
    ("/predict_batch", JSON, json.dumps([{}] * (MOST_ROWS + 1)).encode(), 413, [("", "too_many_rows")]),
    ("/predict_batch", CSV, b"gender\n" + b"male\n" * (MOST_ROWS + 1), 413, [("", "too_many_rows")]),
    ("/predict", JSON, b"[]", 422, [("", "not_an_object")]),
    ("/predict", JSON, b"null", 422, [("", "not_an_object")]),
    ("/predict", JSON, without("gender"), 422, [("/gender", "missing")]),
    ("/predict", JSON, row(surprise=1), 422, [("/surprise", "unknown_field")]),
    ("/predict", JSON, row(gender=None), 422, [("/gender", "null")]),
    ("/predict", JSON, row(gender=1), 422, [("/gender", "wrong_type")]),
    ("/predict", JSON, row(gender="x"), 422, [("/gender", "unknown_category")]),
    ("/predict", JSON, row(age="15"), 422, [("/age", "wrong_type")]),
    ("/predict", JSON, row(age=True), 422, [("/age", "wrong_type")]),
    ("/predict", JSON, row(age=26), 422, [("/age", "out_of_range")]),
    ("/predict", JSON, row(**{"race/ethnicity": "group A"}), 422, [("/race~1ethnicity", "duplicate_field")]),
    ("/predict", JSON, row(gender="x", age="y", a=1), 422, THREE),
    ("/predict_batch", JSON, b"3", 422, [("", "not_an_array")]),
    ("/predict_batch", JSON, b'{"rows": []}', 422, [("/instances", "missing"), ("/rows", "unknown_field")]),
    ("/predict_batch", JSON, b"[" + row() + b"," + row(age=99) + b"]", 422, [("/1/age", "out_of_range")]),
    ("/predict_batch", JSON, b"[1]", 422, [("/0", "not_an_object")]),
    ("/predict_batch", CSV, b"pupil;class\nAda;3\n", 422, [("", "no_known_column")]),
    ("/predict_batch", CSV, b"[" + row() + b"]", 400, [("", "json_as_csv")]),
    ("/predict_batch", CSV, b"gender,gender\na,b\n", 400, [("/gender", "duplicate_header")]),
    ("/predict_batch", CSV, b"gender,age\nmale\n", 400, [("/0", "ragged_row")]),
    ("/predict_batch", CSV, b"gender\nma\0le\n", 400, [("", "malformed_csv")]),
    ("/predict_batch", CSV, table("male,15 years,group B,some college,standard,4"), 422, [("/0/age", "wrong_type")]),
]

GOOD: list[tuple[str, str, bytes]] = [
    ("/predict", JSON, row()),
    ("/predict", "application/vnd.school+json", row()),
    ("/predict", JSON, b"\xef\xbb\xbf" + row()),
    ("/predict", JSON, row(gender="  MALE ", race_ethnicity="Group b")),
    ("/predict", JSON, row(parental_level_of_education="bachelor\u2019s degree")),
    ("/predict", JSON, row(age=15.0)),
    ("/predict", JSON, row(math_score=1)),
    ("/predict_batch", JSON, b"[" + row() + b"]"),
    ("/predict_batch", JSON, b'{"instances": [' + row() + b"]}"),
    ("/predict_batch", CSV, table("male,15,group B,bachelor's degree,standard,4")),
    ("/predict_batch", CSV, table("male;15;group B;bachelor's degree;standard;4,0", ";".join(ROW).upper())),
    ("/predict_batch", CSV, b"\xef\xbb\xbf" + table('"male", 15 ,"group B",bachelor\'s degree,Standard,4\r')),
]


@pytest.fixture(scope="module")
def function(storage: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with pytest.MonkeyPatch.context() as patch:
        bucket = "contract"
        httpx.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=PATIENCE).raise_for_status()
        for name, value in {"STORAGE_EMULATOR_HOST": storage.http_url, "GOOGLE_CLOUD_PROJECT": "local"}.items():
            patch.setenv(name, value)
        promote(CloudStore(bucket))
        limits = {"BUCKET": bucket, "MAX_BODY_BYTES": str(LIMIT), "MAX_BATCH_ROWS": str(MOST_ROWS)}
        with running(tmp_path_factory.mktemp("contract"), limits) as function:
            assert function.get("/ready").status_code == 200
            yield function


@pytest.mark.parametrize(("method", "path", "status"), METHODS)
def test_a_method_on_a_path(function: Function, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, function.url + path, timeout=PATIENCE)
    assert answer.status_code == status
    if status == 405:
        assert answer.headers["allow"] == ("POST" if path in POSTS else "GET, HEAD")
    if status != 200:
        assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["x-request-id"]
    assert bool(answer.content) == (method != "HEAD")


def asked_as_bytes(function: Function, *parts: bytes) -> bytes:
    """What a connection that sends `parts` and no more is answered until it is closed."""
    host, port = function.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    return found


@pytest.mark.parametrize("path", [b"/predict", b"/predict_batch"])
def test_a_client_that_offers_another_protocol_is_answered_in_this_one(function: Function, path: bytes) -> None:
    """As the JDK's HttpClient sends every request on clear text; the second one on a connection has no offer."""
    body = row() if path == b"/predict" else b"[" + row() + b"]"
    plain = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (
        path,
        len(body),
    )
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n\r\n"
    answers = asked_as_bytes(function, plain + offer + body[:3], body[3:], plain + b"Connection: close\r\n\r\n" + body)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b'"prediction":66.0') == 2


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"TRACE /predict", b"405 Method Not Allowed"),
        (b"CONNECT a:443", b"405 Method Not Allowed"),
        (b"PROPFIND /", b"405 Method Not Allowed"),
        (b"GET /robots.txt", b"404 Not Found"),
        (b"GET /favicon.ico", b"404 Not Found"),
        (b"TRACE /nope", b"404 Not Found"),
    ],
)
def test_what_the_framework_would_answer_itself_is_answered_as_the_rest(
    function: Function, line: bytes, status: bytes
) -> None:
    head, _, body = asked_as_bytes(function, line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/problem+json" in head
    assert b"x-request-id: " in head
    assert (b"allow: " in head) == status.startswith(b"405")
    assert json.loads(body)["status"] == int(status[:3])


@pytest.mark.parametrize(("path", "media_type", "content", "status", "found"), BAD)
def test_a_bad_request(
    function: Function, path: str, media_type: str, content: bytes, status: int, found: Found
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = httpx.post(function.url + path, content=content, headers=headers, timeout=PATIENCE)
    problem = answer.json()
    assert (answer.status_code, problem["status"], answer.headers["content-type"]) == (status, status, PROBLEM)
    told = [(entry["pointer"], entry["code"]) for entry in problem["errors"]]
    assert sorted(told) == sorted(found)
    assert {"type", "title", "status", "detail", "errors"} == set(problem)


@pytest.mark.parametrize(("path", "media_type", "content"), GOOD)
def test_a_good_request_in_another_spelling_has_the_same_answer(
    function: Function, path: str, media_type: str, content: bytes
) -> None:
    answer = httpx.post(function.url + path, content=content, headers={"Content-Type": media_type}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    (outcome,) = found["predictions"] if path == "/predict_batch" else [found]
    assert outcome["prediction"] == function.predict().json()["prediction"]
    assert ("warnings" in found) == (b"math_score" in content)
