"""Uploads step by step, as the client library does not show them: resumable sessions and multipart bodies."""

from typing import Any

import pytest
import requests

from tests.contract.objects import crc32c, md5, names, read, write

UNIT = 256 * 1024


def session_of(http: requests.Session, upload: str, name: str, **parameters: Any) -> str:
    answer = http.post(upload, params={"uploadType": "resumable", "name": name, **parameters}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def put(http: requests.Session, session: str, data: bytes, span: str, **headers: str) -> requests.Response:
    return http.put(session, data=data, headers={"content-range": f"bytes {span}", **headers}, timeout=30)


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
    refused = http.post(upload, params={"uploadType": "resumable", "name": "o", "ifGenerationMatch": "0"}, timeout=30)
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
