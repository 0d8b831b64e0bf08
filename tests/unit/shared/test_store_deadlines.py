"""Every call to storage ends: an answer that drips, in its head or in its body, is cut; the next call works again."""

import socket
import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.errors import StorageUnavailable
from shared.store import CREATE_ONLY, CloudStore
from tests.http_receiver import listening

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nx-goog-generation: 7\r\n"
BODIES = {
    "head": HEAD + b"x-slow: " + b"a" * 1000,
    "length": HEAD + b"Content-Length: 100000\r\n\r\n" + b"a" * 1000,
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 500,
    "until it closes": HEAD + b"Connection: close\r\n\r\n" + b"a" * 1000,
}

DRIPS = 80.0
"""Seconds at least until one of them is whole."""


@contextmanager
def dripping(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends the answer to everything a byte at a time; its address, and what to answer at once."""
    well: list[bytes] = []

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while connection.recv(65536):
                    if well:
                        connection.sendall(well[0])
                        continue
                    for place in range(len(answer)):
                        connection.sendall(answer[place : place + 1])
                        time.sleep(0.1 if place > 150 else 0)
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with listening(Server(("127.0.0.1", 0), Drip)) as url:
        yield url, well


@pytest.mark.parametrize("kind", BODIES)
def test_a_dripping_answer_is_cut_at_the_deadline(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping(BODIES[kind]) as (url, well):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        store = CloudStore("b", timeout=1.0, deadline=1.0)
        begun = time.monotonic()
        with pytest.raises(StorageUnavailable, match="did not finish"):
            store.read("staging/current.json", max_bytes=100)
        assert time.monotonic() - begun < DRIPS / 2
        well.append(HEAD + b"Content-Length: 4\r\n\r\nwell")
        assert store.read("staging/current.json").data == b"well"


def test_a_write_whose_answer_drips_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping(BODIES["head"]) as (url, _):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        store, begun = CloudStore("b", timeout=1.0, deadline=1.0), time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.write("x", b"data", if_generation=CREATE_ONLY, content_type="text/plain")
        with pytest.raises(StorageUnavailable):
            store.list("x")
        assert time.monotonic() - begun < DRIPS / 2
