"""Callers who are slow, send too much or lie about it, against the running function: nobody else waits for them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, running, serving, storage, store
from tests.local_storage import LocalStorage
from tests.unit.predict.promoted import EXPECTED, ROW, promote

__all__ = ["storage", "store"]  # fixtures

BODY = json.dumps(dict(ROW)).encode()
POST = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
SLOW_CALLERS = 100


BODY_SECONDS = PATIENCE
"""As long as the test itself waits: on a busy machine, too, no slow caller is cut off while others are served."""


@pytest.fixture(scope="module")
def function(storage: LocalStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with serving(storage, tmp_path_factory.mktemp("patient"), {"BODY_SECONDS": str(BODY_SECONDS)}) as function:
        yield function


@pytest.fixture
def impatient(store: CloudStore, tmp_path: Path) -> Iterator[Function]:
    """A function that waits for a body for a moment only."""
    promote(store)
    with running(tmp_path, {"BODY_SECONDS": "1.5"}) as function:
        assert function.get("/ready").status_code == 200
        yield function


@contextmanager
def connection(function: Function) -> Iterator[socket.socket]:
    port = urlsplit(function.url).port
    assert port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as found:
        yield found


def answer(caller: socket.socket) -> tuple[int, bytes]:
    """Status and everything received until the server closes, or the declared end."""
    received = b""
    while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < length(received):
        part = caller.recv(65536)
        if not part:
            break
        received += part
    return int(received.split(b" ", 2)[1]) if received else 0, received


def length(received: bytes) -> int:
    for line in received.split(b"\r\n\r\n", 1)[0].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def test_callers_who_drip_their_headers_or_body_hold_up_nobody(function: Function) -> None:
    with ExitStack() as stack, httpx.Client(base_url=function.url, timeout=PATIENCE) as client:
        callers = [stack.enter_context(connection(function)) for _ in range(SLOW_CALLERS)]
        for number, caller in enumerate(callers):
            caller.sendall(POST if number % 2 else POST + b"Content-Length: 100\r\n\r\n{")
        for _ in range(50):
            assert client.post("/predict", json=dict(ROW)).json()["prediction"] == EXPECTED
            for caller in callers[1:6:2]:
                caller.sendall(b"X-A: b\r\n")
        require_still_waiting(callers[::2])
        callers[1].sendall(b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)  # slow, but complete in the end
        assert answer(callers[1])[0] == 200


def require_still_waiting(callers: list[socket.socket]) -> None:
    """None of them has an answer yet or was hung up on: whoever was answered before did not wait for them."""
    for caller in callers:
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            caller.recv(1)


def test_a_body_that_does_not_arrive_in_time_is_408_and_the_connection_ends(impatient: Function) -> None:
    with connection(impatient) as caller:
        caller.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        status, text = answer(caller)
        assert status == 408
        assert b"application/problem+json" in text
        assert b"slow_body" in text
        assert caller.recv(1) == b""
    assert impatient.predict().status_code == 200


@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_headers_that_are_too_large_are_refused(function: Function, size: int) -> None:
    with connection(function) as caller:
        caller.sendall(POST + b"X-Large: " + b"x" * size + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        status, text = answer(caller)
    assert (status, b"headers_too_large" in text, b"xxx" in text) == (431, True, False)
    assert function.predict().status_code == 200


def test_a_body_in_chunks_without_a_length_is_read_whole(function: Function) -> None:
    with connection(function) as caller:
        caller.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in (BODY[:10], BODY[10:]):
            caller.sendall(b"%x\r\n%s\r\n" % (len(byte), byte))
            time.sleep(0.1)
        caller.sendall(b"0\r\n\r\n")
        assert answer(caller)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\n", 400),  # no length and no chunks: an empty body, the rest is no request
        (b"Content-Length: -5\r\n\r\n", 400),
        (b"Content-Length: ten\r\n\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"Content-Length: 999999999999\r\n\r\n", 413),
        (b"Content-Length: 5\r\n\r\n", 400),  # less than was sent: what was declared is not JSON
    ],
)
def test_a_length_that_is_absent_or_a_lie_is_refused(function: Function, head: bytes, status: int) -> None:
    with connection(function) as caller:
        caller.sendall(POST + head + BODY)
        assert answer(caller)[0] == status
    assert function.predict().status_code == 200


def test_a_caller_who_promises_more_and_hangs_up_leaves_no_trace(function: Function) -> None:
    before = len(function.log_lines())
    with connection(function) as caller:
        caller.sendall(POST + b"Content-Length: 1000\r\n\r\n" + BODY)
    assert function.predict().status_code == 200
    time.sleep(2)
    assert len(function.log_lines()) == before
