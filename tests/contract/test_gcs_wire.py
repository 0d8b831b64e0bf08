"""What the client library does not show: both doors, error bodies, resumable sessions step by step, headers."""

import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.contract.objects import ONCE, crc32c, md5, names, read, write
from tests.local_storage import LocalStorage

UNIT = 256 * 1024


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def api(storage: LocalStorage, bucket: Any) -> str:
    return f"{storage.http_url}/storage/v1/b/{bucket.name}/o"


@pytest.fixture
def upload(storage: LocalStorage, bucket: Any) -> str:
    return f"{storage.http_url}/upload/storage/v1/b/{bucket.name}/o"


def session_of(http: requests.Session, upload: str, name: str, **parameters: Any) -> str:
    answer = http.post(upload, params={"uploadType": "resumable", "name": name, **parameters}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def put(http: requests.Session, session: str, data: bytes, span: str, **headers: str) -> requests.Response:
    return http.put(session, data=data, headers={"content-range": f"bytes {span}", **headers}, timeout=30)


def test_http_and_https_are_two_doors_to_the_same_objects(
    http: requests.Session, storage: LocalStorage, bucket: Any
) -> None:
    write(bucket, "o", b"one")
    for url, trusted in ((storage.http_url, True), (storage.https_url, str(storage.certificate))):
        answer = http.get(f"{url}/storage/v1/b/{bucket.name}/o/o?alt=media", verify=trusted, timeout=30)
        assert answer.content == b"one"
    localhost = storage.https_url.replace("127.0.0.1", "localhost")
    assert http.get(f"{localhost}/{bucket.name}/o", verify=str(storage.certificate), timeout=30).content == b"one"


def test_an_error_is_json_with_its_code_and_reason(http: requests.Session, api: str) -> None:
    error = http.get(f"{api}/nope", timeout=30).json()["error"]
    assert (error["code"], error["errors"][0]["reason"], error["errors"][0]["domain"]) == (404, "notFound", "global")
    assert "nope" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/storage/v1/nothing", 404, "notFound"),
        ("POST", "/storage/v1/b", 400, "required"),
        ("GET", "/storage/v1/b", 400, "required"),
        ("DELETE", "/storage/v1/b", 405, "methodNotAllowed"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    http: requests.Session, storage: LocalStorage, method: str, path: str, status: int, reason: str
) -> None:
    answer = http.request(method, storage.http_url + path, timeout=30)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (status, reason)


def test_a_condition_that_is_no_number_is_refused_by_name(http: requests.Session, api: str, bucket: Any) -> None:
    write(bucket, "o")
    answer = http.delete(f"{api}/o", params={"ifGenerationMatch": "abc"}, timeout=30)
    assert answer.status_code == 400
    assert "ifGenerationMatch" in answer.json()["error"]["message"]


def test_a_broken_json_body_is_refused(http: requests.Session, api: str, bucket: Any) -> None:
    write(bucket, "o")
    for body in (b"{", b"[1]", b"\xff", b"[" * 100_000):
        assert http.patch(f"{api}/o", data=body, timeout=30).status_code == 400


def test_a_resumable_upload_says_how_far_it_is(http: requests.Session, upload: str, bucket: Any) -> None:
    session = session_of(http, upload, "o")
    asked = put(http, session, b"", "*/*")
    assert (asked.status_code, asked.headers.get("range")) == (308, None)
    part = put(http, session, b"a" * (UNIT + 100), f"0-{UNIT + 99}/*")
    assert (part.status_code, part.headers["range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert put(http, session, b"", "*/*").headers["range"] == f"bytes=0-{UNIT - 1}"
    last = put(http, session, b"b" * 10, f"{UNIT}-{UNIT + 9}/{UNIT + 10}")
    assert (last.status_code, last.json()["size"]) == (200, str(UNIT + 10))
    assert read(bucket, "o") == b"a" * UNIT + b"b" * 10
    again = put(http, session, b"", "*/*")
    assert (again.status_code, again.json()["generation"]) == (200, last.json()["generation"])


def test_a_resumable_upload_skips_what_it_has_and_refuses_a_gap(
    http: requests.Session, upload: str, bucket: Any
) -> None:
    session = session_of(http, upload, "o")
    put(http, session, b"a" * UNIT, f"0-{UNIT - 1}/*")
    assert put(http, session, b"x", f"{UNIT + 5}-{UNIT + 5}/{UNIT + 6}").status_code == 400
    whole = b"a" * UNIT + b"tail"
    assert put(http, session, whole, f"0-{UNIT + 3}/{UNIT + 4}").status_code == 200
    assert read(bucket, "o") == whole


def test_a_resumable_upload_ends_when_its_size_is_named(http: requests.Session, upload: str, bucket: Any) -> None:
    session = session_of(http, upload, "o")
    put(http, session, b"a" * UNIT, f"0-{UNIT - 1}/*")
    assert put(http, session, b"", f"*/{UNIT}").status_code == 200
    empty = session_of(http, upload, "empty")
    assert put(http, empty, b"", "*/0").json()["size"] == "0"


def test_a_resumable_upload_checks_its_condition_again_at_the_end(
    http: requests.Session, upload: str, bucket: Any
) -> None:
    session = session_of(http, upload, "o", ifGenerationMatch=0)
    write(bucket, "o", b"first")
    answer = put(http, session, b"second", "0-5/6")
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert read(bucket, "o") == b"first"
    refused = http.post(upload, params={"uploadType": "resumable", "name": "o", "ifGenerationMatch": 0}, timeout=30)
    assert refused.status_code == 412


def test_a_cancelled_upload_is_over(http: requests.Session, upload: str, bucket: Any) -> None:
    session = session_of(http, upload, "o")
    put(http, session, b"a" * UNIT, f"0-{UNIT - 1}/*")
    assert http.delete(session, timeout=30).status_code == 499
    assert put(http, session, b"", "*/*").status_code == 410
    assert names(bucket) == []


def test_checksums_of_a_resumable_upload_are_verified(http: requests.Session, upload: str, bucket: Any) -> None:
    for claim in (f"crc32c={crc32c(b'other')}", f"md5={md5(b'other')}", "md5=***"):
        answer = put(http, session_of(http, upload, "o"), b"hello", "0-4/5", **{"x-goog-hash": claim})
        assert answer.status_code == 400
    right = f"crc32c={crc32c(b'hello')},md5={md5(b'hello')}"
    answer = put(http, session_of(http, upload, "o"), b"hello", "0-4/5", **{"x-goog-hash": right})
    assert answer.status_code == 200


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("data", [b"", b"x", b"--cut", b"\r\n--cu", b"ends in \r", b"a\r\n" * 100_000])
def test_a_multipart_body_is_cut_at_its_delimiter_only(
    http: requests.Session, upload: str, bucket: Any, newline: bytes, data: bytes
) -> None:
    head = [b"--cut", b"Content-Type: application/json", b"", b'{"name": "o"}', b"--cut", b"Content-Type: text/x", b""]
    body = newline.join([*head, data, b"--cut--"])
    headers = {"content-type": "multipart/related; boundary='cut'"}
    answer = http.post(upload, params={"uploadType": "multipart"}, data=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json().get("contentType")) == (200, "text/x")
    assert read(bucket, "o") == data


def test_a_multipart_body_without_an_end_makes_no_object(http: requests.Session, upload: str, bucket: Any) -> None:
    body = b'--cut\r\n\r\n{"name": "o"}\r\n--cut\r\n\r\nhello'
    headers = {"content-type": "multipart/related; boundary=cut"}
    answer = http.post(upload, params={"uploadType": "multipart"}, data=body, headers=headers, timeout=30)
    assert answer.status_code == 400
    assert names(bucket) == []


def test_a_large_refused_upload_still_gets_its_answer(http: requests.Session, upload: str, bucket: Any) -> None:
    write(bucket, "o")
    parameters = {"uploadType": "media", "name": "o", "ifGenerationMatch": "0"}
    assert http.post(upload, params=parameters, data=b"z" * (32 << 20), timeout=60).status_code == 412


@pytest.mark.parametrize(
    ("asked", "status", "content", "answered"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=10-", 416, None, None),
    ],
)
def test_ranges_follow_the_standard(
    http: requests.Session, api: str, bucket: Any, asked: str, status: int, content: bytes | None, answered: str | None
) -> None:
    write(bucket, "o", b"0123456789")
    answer = http.get(f"{api}/o", params={"alt": "media"}, headers={"range": asked}, timeout=30)
    assert (answer.status_code, answer.headers.get("content-range")) == (status, answered)
    assert content is None or answer.content == content


def test_an_object_at_its_plain_path_has_xml_errors_and_header_conditions(
    http: requests.Session, storage: LocalStorage, bucket: Any
) -> None:
    plain = f"{storage.http_url}/{bucket.name}/{quote('a/ü')}"
    missing = http.get(plain, timeout=30)
    assert (missing.status_code, "<Code>NoSuchKey</Code>" in missing.text) == (404, True)
    create_only = {"x-goog-if-generation-match": "0", "x-goog-meta-k": "v", "content-type": "text/csv"}
    assert http.put(plain, data=b"1", headers=create_only, timeout=30).status_code == 200
    assert http.put(plain, data=b"2", headers=create_only, timeout=30).status_code == 412
    head = http.head(plain, timeout=30)
    assert (head.headers["content-length"], head.headers["content-type"]) == ("1", "text/csv")
    assert head.headers["x-goog-meta-k"] == "v"
    assert head.headers["x-goog-generation"] == str(bucket.get_blob("a/ü", **ONCE).generation)
    assert http.put(plain, data=b"2", headers={"content-md5": md5(b"3")}, timeout=30).status_code == 400
    assert http.delete(plain, timeout=30).status_code == 204


def test_a_signed_url_is_refused_after_its_time(http: requests.Session, storage: LocalStorage, bucket: Any) -> None:
    write(bucket, "o")
    parameters = {"X-Goog-Signature": "00", "X-Goog-Date": "20200101T000000Z", "X-Goog-Expires": "600"}
    answer = http.get(f"{storage.http_url}/{bucket.name}/o", params=parameters, timeout=30)
    assert (answer.status_code, "<Code>ExpiredToken</Code>" in answer.text) == (400, True)


def test_a_gzip_object_is_unzipped_for_a_client_that_does_not_take_it(
    http: requests.Session, api: str, bucket: Any
) -> None:
    blob = bucket.blob("o")
    blob.content_encoding = "gzip"
    data = b"0123456789" * 500_000
    blob.upload_from_string(gzip.compress(data), **ONCE)
    answer = http.get(f"{api}/o", params={"alt": "media"}, headers={"accept-encoding": "identity"}, timeout=30)
    assert (answer.content, answer.headers.get("content-encoding")) == (data, None)
    assert answer.headers["x-goog-stored-content-encoding"] == "gzip"


@pytest.mark.parametrize("call", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"ifGenerationMatch": "current"}, True),
        ({"ifGenerationMatch": "1"}, False),
        ({"ifGenerationNotMatch": "1"}, True),
        ({"ifGenerationNotMatch": "current"}, False),
        ({"ifMetagenerationMatch": "1"}, True),
        ({"ifMetagenerationMatch": "2"}, False),
        ({"ifMetagenerationNotMatch": "2"}, True),
        ({"ifMetagenerationNotMatch": "1"}, False),
    ],
)
def test_every_condition_holds_on_every_call(
    http: requests.Session, api: str, bucket: Any, call: str, condition: dict[str, str], holds: bool
) -> None:
    generation = str(write(bucket, "o").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    answer = http.request(call, f"{api}/o", params=parameters, json={} if call in ("PATCH", "PUT") else None, timeout=30)
    if holds:
        assert answer.status_code in (200, 204)
    elif call == "GET" and "NotMatch" in next(iter(condition)):
        assert answer.status_code == 304
    else:
        assert answer.status_code == 412
        assert read(bucket, "o") == b"1"


@pytest.mark.parametrize("way", ["media", "resumable", "copyTo", "rewriteTo", "compose"])
@pytest.mark.parametrize(
    ("condition", "status_if_absent", "status_if_present"),
    [
        ({"ifGenerationMatch": "0"}, 200, 412),
        ({"ifGenerationMatch": "current"}, 412, 200),
        ({"ifGenerationNotMatch": "0"}, 412, 200),
        ({"ifGenerationNotMatch": "current"}, 200, 412),
        ({"ifMetagenerationMatch": "1"}, 412, 200),
        ({"ifMetagenerationNotMatch": "1"}, 200, 412),
    ],
)
def test_every_condition_holds_on_every_way_to_write(  # noqa: PLR0917
    http: requests.Session,
    api: str,
    upload: str,
    bucket: Any,
    way: str,
    condition: dict[str, str],
    status_if_absent: int,
    status_if_present: int,
) -> None:
    write(bucket, "source")
    generation = str(write(bucket, "present", b"old").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    for target, status in (("absent", status_if_absent), ("present", status_if_present)):
        if way in ("media", "resumable"):
            answer = http.post(upload, params={"uploadType": way, "name": target, **parameters}, timeout=30)
        elif way == "compose":
            body = {"sourceObjects": [{"name": "source"}]}
            answer = http.post(f"{api}/{target}/compose", params=parameters, json=body, timeout=30)
        else:
            address = f"{api}/source/{way}/b/{bucket.name}/o/{target}"
            answer = http.post(address, params=parameters, timeout=30)
        assert answer.status_code == status, (target, answer.text)


@pytest.mark.parametrize("way", ["copyTo", "rewriteTo"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"ifSourceGenerationMatch": "current"}, 200),
        ({"ifSourceGenerationMatch": "1"}, 412),
        ({"ifSourceGenerationNotMatch": "current"}, 412),
        ({"ifSourceMetagenerationMatch": "2"}, 412),
        ({"ifSourceMetagenerationNotMatch": "1"}, 412),
        ({"sourceGeneration": "1"}, 404),
    ],
)
def test_every_condition_on_the_source_of_a_copy_holds(
    http: requests.Session, api: str, bucket: Any, way: str, condition: dict[str, str], status: int
) -> None:
    generation = str(write(bucket, "source").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    answer = http.post(f"{api}/source/{way}/b/{bucket.name}/o/target", params=parameters, timeout=30)
    assert answer.status_code == status


def test_a_condition_on_a_part_of_a_composition_holds(http: requests.Session, api: str, bucket: Any) -> None:
    generation = write(bucket, "part").generation
    for wanted, status in ((generation, 200), (1, 412)):
        source = {"name": "part", "objectPreconditions": {"ifGenerationMatch": str(wanted)}}
        answer = http.post(f"{api}/whole/compose", json={"sourceObjects": [source]}, timeout=30)
        assert answer.status_code == status


def test_a_delimiter_with_small_pages_shows_everything_once(http: requests.Session, api: str, bucket: Any) -> None:
    for name in ("a", "d/", "d/1", "d/2", "e/1", "e/2", "f", "😀/1", "￿"):
        write(bucket, name)
    for trailing, expected in (("false", ["a", "f", "￿"]), ("true", ["a", "d/", "f", "￿"])):
        items, prefixes, token = [], [], ""
        while True:
            parameters = {"delimiter": "/", "maxResults": "1", "pageToken": token, "includeTrailingDelimiter": trailing}
            page = http.get(api, params=parameters, timeout=30).json()
            items += [item["name"] for item in page.get("items", [])]
            prefixes += page.get("prefixes", [])
            token = page.get("nextPageToken", "")
            if not token:
                break
        assert items == expected
        assert prefixes == ["d/", "e/", "😀/"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.csv", ["a.csv"]),
        ("**.csv", ["a.csv", "d/b.csv", "d/e/c.csv"]),
        ("d/*", ["d/b.csv"]),
        ("?.csv", ["a.csv"]),
        ("[ab].csv", ["a.csv"]),
        ("[!b].csv", ["a.csv"]),
        ("d/{b,e/c}.csv", ["d/b.csv", "d/e/c.csv"]),
        ("a.c,v", []),
    ],
)
def test_globs_match_as_documented(bucket: Any, glob: str, expected: list[str]) -> None:
    for name in ("a.csv", "d/b.csv", "d/e/c.csv", "z.txt"):
        write(bucket, name)
    assert names(bucket, match_glob=glob) == expected


def test_a_bucket_that_holds_something_is_not_deleted(client: Any, bucket: Any) -> None:
    blob = write(bucket, "o")
    api = client._connection.API_BASE_URL
    assert requests.delete(f"{api}/storage/v1/b/{bucket.name}", timeout=30).status_code == 409
    blob.delete(**ONCE)
    stale = {"ifMetagenerationMatch": "7"}
    assert requests.delete(f"{api}/storage/v1/b/{bucket.name}", params=stale, timeout=30).status_code == 412
    bucket.delete(**ONCE)
    assert client.lookup_bucket(bucket.name, **ONCE) is None


@pytest.mark.parametrize("path", ["storageLayout", "iam", "iam/testPermissions", "managedFolders"])
def test_endpoints_that_the_command_line_tools_ask_first_answer(
    http: requests.Session, storage: LocalStorage, bucket: Any, path: str
) -> None:
    assert http.get(f"{storage.http_url}/storage/v1/b/{bucket.name}/{path}", timeout=30).status_code == 200
    assert http.get(f"{storage.http_url}/storage/v1/b/no-such-bucket-xyz/{path}", timeout=30).status_code == 404
