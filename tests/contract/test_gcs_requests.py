"""Both doors, error bodies, ranges, plain paths and listings, over plain HTTP."""

import gzip
from typing import Any
from urllib.parse import quote

import pytest
import requests
from google.api_core import exceptions

from tests.contract.objects import ONCE, md5, names, read, write
from tests.local_storage import LocalStorage


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


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"contentType": "\\ud800"}'),
        *(b'{"contentType": 5}', b'{"metadata": "k"}', b'{"metadata": {"k": 5}}', b'{"temporaryHold": "yes"}'),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(http: requests.Session, api: str, bucket: Any, body: bytes) -> None:
    write(bucket, "o")
    assert http.patch(f"{api}/o", data=body, timeout=30).status_code == 400
    assert bucket.get_blob("o", **ONCE).metageneration == 1


def test_numbers_beyond_64_bits_are_refused(http: requests.Session, api: str, bucket: Any) -> None:
    write(bucket, "o")
    for parameters in ({"generation": str(2**63)}, {"ifGenerationMatch": "9" * 30}):
        assert http.get(f"{api}/o", params=parameters, timeout=30).status_code == 400


def test_an_object_under_hold_is_neither_overwritten_nor_deleted(http: requests.Session, api: str, bucket: Any) -> None:
    write(bucket, "o")
    assert http.patch(f"{api}/o", json={"temporaryHold": True}, timeout=30).status_code == 200
    assert http.delete(f"{api}/o", timeout=30).status_code == 403
    with pytest.raises(exceptions.Forbidden):
        write(bucket, "o", b"2")
    assert http.patch(f"{api}/o", json={"temporaryHold": None}, timeout=30).status_code == 200
    assert http.delete(f"{api}/o", timeout=30).status_code == 204


def test_an_object_may_be_copied_onto_itself_and_appended_to(
    http: requests.Session, api: str, bucket: Any, storage: LocalStorage
) -> None:
    write(bucket, "o", b"one ")
    write(bucket, "tail", b"two")
    rewritten = http.post(f"{api}/o/rewriteTo/b/{bucket.name}/o/o", json={"contentType": "text/x"}, timeout=30)
    assert rewritten.json()["resource"]["contentType"] == "text/x"
    sources = {"sourceObjects": [{"name": "o"}, {"name": "tail"}]}
    assert http.post(f"{api}/o/compose", json=sources, timeout=30).json()["componentCount"] == 2
    assert read(bucket, "o", checksum="crc32c") == b"one two"


def test_a_put_replaces_the_metadata_that_a_patch_merges(http: requests.Session, api: str, bucket: Any) -> None:
    write(bucket, "o", content_type="text/x")
    http.patch(f"{api}/o", json={"metadata": {"a": "1", "b": "2"}}, timeout=30)
    patched = http.patch(f"{api}/o", json={"metadata": {"a": None, "c": "3"}}, timeout=30).json()
    assert (patched["metadata"], patched["contentType"]) == ({"b": "2", "c": "3"}, "text/x")
    replaced = http.put(f"{api}/o", json={"metadata": {"d": "4"}}, timeout=30).json()
    assert (replaced["metadata"], replaced.get("contentType")) == ({"d": "4"}, None)
    assert replaced["metageneration"] == "4"


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
