"""Reads without Google's client: only what is plainly there, whole and right is taken; the rest is left to the client.

What a read must give, whoever does it, stands in tests/contract/test_store.py, which runs over this one too.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

import google_crc32c
import pytest

from shared import plain_reads, store
from shared.errors import ObjectMissing, ObjectTooLarge, StorageUnavailable
from shared.plain_reads import OTHER_WAYS, PROXIES, TOKEN_PATH, PlainReads
from shared.store import CloudStore
from tests.functions.test_predict_function import ROOT
from tests.http_receiver import Scripted, listening
from tests.local_storage import running_storage
from tests.unit.predict.promoted import FIRST, promote
from tests.unit.shared.test_store_deadlines import BODIES, DRIPS, dripping

DATA = b"content"
OBJECT = "/storage/v1/b/b/o/x%20y%2Fz?alt=media"


def of(data: bytes) -> str:
    return f"crc32c={base64.b64encode(google_crc32c.value(data).to_bytes(4, 'big')).decode()},md5=x"


PLAIN = {"x-goog-generation": "7", "x-goog-hash": of(DATA), "x-goog-stored-content-encoding": "identity"}
WITHOUT_LENGTH = {**PLAIN, "Content-Length": ""}


@dataclass
class Bucket:
    """A server that gives the same answer to every read of an object, and a token to who asks as Google wants it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: PLAIN)
    data: bytes = DATA
    token: bytes = b'{"access_token": "t1", "expires_in": 3599, "token_type": "Bearer"}'
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Authorization of each request."""

    @contextmanager
    def serving(self) -> Iterator[str]:
        bucket = self

        class Handler(Scripted):
            def do_GET(self) -> None:
                bucket.asked.append((self.path, self.headers.get("Authorization")))
                if self.path == TOKEN_PATH:
                    self.answer(200 if self.headers.get("Metadata-Flavor") == "Google" else 403, bucket.token)
                elif self.path == "/elsewhere":
                    self.answer(200, DATA, PLAIN)
                else:
                    self.answer(bucket.status, bucket.data, bucket.headers)

        with listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
            yield url


@pytest.fixture(autouse=True)
def no_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OTHER_WAYS, *PROXIES, "K_SERVICE", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


def read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, generation: int | None = None, most: int = 100) -> object:
    with bucket.serving() as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        return PlainReads("b", os.environ, 1.0).read("x y/z", generation, most)


def test_what_is_plainly_there_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    assert read(bucket, monkeypatch) == (DATA, 7)
    assert read(bucket, monkeypatch, 7, most=len(DATA)) == (DATA, 7)
    assert bucket.asked == [(OBJECT, None), (f"{OBJECT}&generation=7", None)]
    assert read(Bucket(headers=WITHOUT_LENGTH), monkeypatch) == (DATA, 7)


@pytest.mark.parametrize(
    "bucket",
    [
        Bucket(status=500),
        Bucket(status=503),
        Bucket(status=429),
        Bucket(status=403),
        Bucket(status=401),
        Bucket(status=302, headers={**PLAIN, "Location": "/elsewhere"}),
        Bucket(status=206),
        Bucket(headers={**PLAIN, "x-goog-hash": of(b"another")}),
        Bucket(headers={**PLAIN, "x-goog-hash": "md5=x"}),
        Bucket(headers={"x-goog-generation": "7"}),
        Bucket(headers={"x-goog-hash": of(DATA)}),
        Bucket(headers={**PLAIN, "x-goog-generation": "seven"}),
        Bucket(headers={**PLAIN, "x-goog-stored-content-encoding": "gzip"}),
        Bucket(headers={**PLAIN, "Content-Encoding": "gzip"}),
        Bucket(headers=WITHOUT_LENGTH, data=DATA[:-1]),
    ],
    ids=lambda bucket: f"{bucket.status} {bucket.headers}",
)
def test_what_is_not_plain_is_left_to_the_client(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(bucket, monkeypatch) is None


def test_another_generation_than_the_one_that_was_asked_for_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(Bucket(), monkeypatch, 8) is None


def test_a_missing_object_and_one_that_is_too_large_need_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ObjectMissing, match="x y/z"):
        read(Bucket(status=404), monkeypatch)
    with pytest.raises(ObjectTooLarge, match="more than 6 bytes"):
        read(Bucket(), monkeypatch, most=6)
    with pytest.raises(ObjectTooLarge):
        read(Bucket(headers=WITHOUT_LENGTH), monkeypatch, most=6)


def test_nobody_there_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bucket().serving() as url:
        pass
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    assert PlainReads("b", os.environ, 1.0).read("x", None, 100) is None


@contextmanager
def as_on_cloud_run(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainReads]:
    with bucket.serving() as url:
        monkeypatch.setattr(plain_reads, "ORIGIN", url)
        monkeypatch.setenv("K_SERVICE", "predict")
        monkeypatch.setenv("GCE_METADATA_HOST", url.removeprefix("http://"))
        yield PlainReads("b", os.environ, 1.0)


def test_a_service_reads_with_its_own_token_until_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    with as_on_cloud_run(bucket, monkeypatch) as reads:
        assert reads.read("x y/z", None, 100) == (DATA, 7)
        assert reads.read("x y/z", None, 100) == (DATA, 7)
        paths = [path for path, _ in bucket.asked]
        assert paths == [TOKEN_PATH, OBJECT, OBJECT]
        assert [sent for path, sent in bucket.asked if path == OBJECT] == ["Bearer t1", "Bearer t1"]
        now = time.monotonic()
        monkeypatch.setattr("shared.plain_reads.time.monotonic", lambda: now + 3599 - 220)
        bucket.token = bucket.token.replace(b"t1", b"t2")
        assert reads.read("x y/z", None, 100) == (DATA, 7)
        assert bucket.asked[-1] == (OBJECT, "Bearer t2")


def test_a_token_that_is_refused_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(status=401)
    with as_on_cloud_run(bucket, monkeypatch) as reads:
        assert reads.read("x y/z", None, 100) is None
        bucket.status = 200
        assert reads.read("x y/z", None, 100) == (DATA, 7)
    assert [path for path, _ in bucket.asked].count(TOKEN_PATH) == 2


@pytest.mark.parametrize("token", [b"", b"{}", b"[]", b'{"access_token": "t", "expires_in": null}', b"<html>"])
def test_without_a_token_the_client_is_asked(token: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(token=token)
    with as_on_cloud_run(bucket, monkeypatch) as reads:
        assert reads.read("x y/z", None, 100) is None
    assert [path for path, _ in bucket.asked] == [TOKEN_PATH]


def test_elsewhere_only_the_client_knows_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    with as_on_cloud_run(bucket, monkeypatch) as reads:
        for name in (*OTHER_WAYS, *PROXIES):
            with monkeypatch.context() as patch:
                patch.setenv(name, "x")
                assert reads.read("x", None, 100) is None
        monkeypatch.delenv("K_SERVICE")
        assert reads.read("x", None, 100) is None
    assert bucket.asked == []


@pytest.mark.parametrize("kind", ["head", "until it closes"])
def test_an_answer_that_drips_is_cut_here_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PLAIN_SECONDS", 0.3)
    with dripping(BODIES[kind]) as (url, well):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        reads, begun = CloudStore("b", timeout=1.0, deadline=0.3, environ=os.environ), time.monotonic()
        with pytest.raises(StorageUnavailable, match="did not finish"):
            reads.read("staging/current.json", max_bytes=100)
        assert time.monotonic() - begun < DRIPS / 2
        lines = [f"{name}: {value}" for name, value in PLAIN.items()]
        well.append("\r\n".join(["HTTP/1.1 200 OK", *lines, "Content-Length: 7", "", ""]).encode() + DATA)
        assert reads.read("staging/current.json").data == DATA


SERVING = """
import asyncio, json, sys, httpx
from functions.predict.main import service

async def ready():
    transport = httpx.ASGITransport(service())
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return (await client.get("/ready")).json()

ready = asyncio.run(ready())
heavy = ("google.cloud.storage", "google.auth", "requests")
print(json.dumps([ready["run_id"], [name for name in heavy if name in sys.modules]]))
"""


def test_a_service_has_its_first_model_without_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_storage(tmp_path) as storage:
        storage.fill("bucket")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        monkeypatch.setenv("BUCKET", "bucket")
        promote(CloudStore("bucket"))
        done = subprocess.run([sys.executable, "-c", SERVING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [FIRST, []]
