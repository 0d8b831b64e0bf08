"""A killed server loses nothing that it acknowledged; large objects never sit in its memory."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.objects import ONCE, read
from tests.local_storage import LocalStorage, peak_memory, running_storage

MIB = 2**20
WRITERS = 4
WRITES = 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalStorage]:
    with running_storage(tmp_path) as server:
        yield server


@pytest.fixture
def upload(server: LocalStorage) -> str:
    answer = requests.post(f"{server.http_url}/storage/v1/b?project=p", json={"name": "the-bucket"}, timeout=30)
    assert answer.status_code == 200
    return f"{server.http_url}/upload/storage/v1/b/the-bucket/o"


def content(number: int) -> bytes:
    """Some in one row and some in several, so that the kill finds both."""
    return bytes([number]) * (number * 16_001 + 1)


def stored(server: LocalStorage, table: str) -> int:
    with closing(sqlite3.connect(f"{(server.state / 'gcs.sqlite').as_uri()}?mode=ro", uri=True)) as database:
        (count,) = database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)


def wait_until_empty(server: LocalStorage) -> None:
    """The server notices the end of a connection, and then cleans up, a moment after its client."""
    deadline = time.monotonic() + 30
    while stored(server, "chunk") and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_kill_in_the_middle_of_200_writes_loses_no_object_and_no_event(server: LocalStorage, upload: str) -> None:
    acknowledged: dict[str, int] = {}
    halfway = threading.Event()

    def write_until_killed(writer: int) -> None:
        with requests.Session() as session:
            for number in range(writer, WRITES, WRITERS):
                parameters = {"uploadType": "media", "name": f"o/{number}"}
                try:
                    answer = session.post(upload, params=parameters, data=content(number), timeout=30)
                except requests.RequestException:
                    return
                assert answer.status_code == 200
                acknowledged[f"o/{number}"] = int(answer.json()["generation"])
                if len(acknowledged) >= WRITES // 2:
                    halfway.set()

    threads = [threading.Thread(target=write_until_killed, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    assert halfway.wait(120)
    server.kill()
    for thread in threads:
        thread.join(60)
    assert WRITES // 2 <= len(acknowledged) < WRITES
    server.restart()
    _assert_intact(server, acknowledged)


def _assert_intact(server: LocalStorage, acknowledged: dict[str, int]) -> None:
    """Every acknowledged object is there; each object has exactly its event; nothing else takes room."""
    client = server.client()
    bucket = client.bucket("the-bucket")
    found = {blob.name: int(blob.generation) for blob in bucket.list_blobs(**ONCE)}
    assert acknowledged.items() <= found.items()
    for name in found:
        assert read(bucket, name) == content(int(name.removeprefix("o/")))
    events = [(event["name"], event["generation"]) for event in server.outbox("the-bucket")]
    assert sorted(events) == sorted(found.items())
    assert stored(server, "content") == len(found)
    client.close()


def test_a_kill_during_an_upload_leaves_nothing_behind(server: LocalStorage, upload: str) -> None:
    started = threading.Event()

    def endless() -> Iterator[bytes]:
        for number in range(10_000):
            if number == 8:
                started.set()
            yield os.urandom(MIB)

    def send() -> None:
        parameters = {"uploadType": "media", "name": "never"}
        with pytest.raises(requests.RequestException):
            requests.post(upload, params=parameters, data=endless(), timeout=30)

    sender = threading.Thread(target=send)
    sender.start()
    assert started.wait(60)
    while stored(server, "chunk") == 0:
        time.sleep(0.01)
    server.kill()
    sender.join(60)
    assert stored(server, "chunk") > 0
    server.restart()
    assert [stored(server, table) for table in ("chunk", "piece", "content", "object", "outbox")] == [0] * 5


def test_an_upload_that_the_client_breaks_off_leaves_nothing_behind(server: LocalStorage, upload: str) -> None:
    def broken_off() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * MIB
        while stored(server, "chunk") == 0:
            time.sleep(0.01)
        raise OSError("the client's disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        requests.post(upload, params={"uploadType": "media", "name": "never"}, data=broken_off(), timeout=30)
    wait_until_empty(server)
    assert [stored(server, table) for table in ("chunk", "content", "object")] == [0, 0, 0]
    assert server.log.read_text() == ""


def test_a_resumable_upload_goes_on_after_a_kill(server: LocalStorage, upload: str) -> None:
    data = os.urandom(3 * MIB)
    started = requests.post(upload, params={"uploadType": "resumable", "name": "big"}, timeout=30)
    session = started.headers["location"]
    span = {"content-range": f"bytes 0-{2 * MIB - 1}/{len(data)}"}
    assert requests.put(session, data=data[: 2 * MIB], headers=span, timeout=30).status_code == 308
    server.kill()
    server.restart()
    asked = requests.put(session, headers={"content-range": "bytes */*"}, timeout=30)
    assert asked.headers["range"] == f"bytes=0-{2 * MIB - 1}"
    rest = {"content-range": f"bytes {2 * MIB}-{len(data) - 1}/{len(data)}"}
    assert requests.put(session, data=data[2 * MIB :], headers=rest, timeout=30).status_code == 200
    client = server.client()
    assert read(client.bucket("the-bucket"), "big", checksum="md5") == data
    client.close()


def test_a_download_under_way_survives_the_delete_of_its_object(server: LocalStorage, upload: str) -> None:
    data = os.urandom(48 * MIB)
    requests.post(upload, params={"uploadType": "media", "name": "o"}, data=data, timeout=60)
    object_url = f"{server.http_url}/storage/v1/b/the-bucket/o/o"
    with requests.get(object_url, params={"alt": "media"}, stream=True, timeout=60) as download:
        pieces = download.iter_content(MIB)
        first = next(pieces)
        assert requests.delete(object_url, timeout=30).status_code == 204
        assert first + b"".join(pieces) == data
    wait_until_empty(server)
    assert stored(server, "chunk") == 0


class Pattern:
    """A readable of `size` bytes that exist nowhere: one random block, over and over."""

    def __init__(self, size: int) -> None:
        self.block = os.urandom(MIB)
        self.size = size
        self.position = 0

    def read(self, count: int = -1) -> bytes:
        count = min(self.size - self.position, MIB - self.position % MIB, MIB if count < 0 else count)
        start = self.position % MIB
        self.position += count
        return self.block[start : start + count]

    def tell(self) -> int:
        return self.position


def test_a_gigabyte_of_objects_does_not_sit_in_memory(server: LocalStorage, upload: str) -> None:
    objects, size = 2, 512 * MIB
    with requests.Session() as http:
        for number in range(objects):
            pattern = Pattern(size)
            _upload_resumably(http, upload, f"big/{number}", pattern)
            _assert_downloads(http, f"{server.http_url}/storage/v1/b/the-bucket/o/big%2F{number}", pattern)
    assert peak_memory(server.pid) < 300 * MIB


def _upload_resumably(http: requests.Session, upload: str, name: str, pattern: Pattern) -> None:
    started = http.post(upload, params={"uploadType": "resumable", "name": name}, timeout=60)
    part = 128 * MIB
    for first in range(0, pattern.size, part):
        blocks = (pattern.read() for _ in range(part // MIB))
        headers = {"content-range": f"bytes {first}-{first + part - 1}/{pattern.size}"}
        answer = http.put(started.headers["location"], data=blocks, headers=headers, timeout=120)
        assert answer.status_code == (200 if first + part == pattern.size else 308)


def _assert_downloads(http: requests.Session, url: str, pattern: Pattern) -> None:
    received = 0
    with http.get(url, params={"alt": "media"}, stream=True, timeout=120) as answer:
        for data in iter(lambda: answer.raw.read(MIB), b""):
            assert data == pattern.block
            received += len(data)
    assert received == pattern.size


def test_a_copy_of_a_large_object_moves_no_bytes(server: LocalStorage, upload: str) -> None:
    requests.post(upload, params={"uploadType": "media", "name": "a"}, data=b"z" * (8 * MIB), timeout=60)
    chunks = stored(server, "chunk")
    client: Any = server.client()
    bucket = client.bucket("the-bucket")
    bucket.copy_blob(bucket.blob("a"), bucket, "b", **ONCE)
    bucket.blob("c").compose([bucket.blob("a"), bucket.blob("b")], **ONCE)
    assert stored(server, "chunk") == chunks
    bucket.blob("a").delete(**ONCE)
    assert read(bucket, "b") == b"z" * (8 * MIB)
    assert read(bucket, "c", checksum="crc32c") == b"z" * (16 * MIB)
    for name in ("b", "c"):
        bucket.blob(name).delete(**ONCE)
    assert [stored(server, table) for table in ("chunk", "piece", "content")] == [0, 0, 0]
    client.close()
