"""Connections that send no request, a head without end, or come in too large a number cost little, and end."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from functions.predict.wire import connections
from functions.predict.wire.connections import MAX_HEAD_BYTES, Connection
from functions.predict.wire.payload import WHOLE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK"
PATIENCE = 60.0


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything, after the whole body; tells in a header whether that had come before the application."""
    came = (b"whole", b"yes" if WHOLE in scope else b"no")
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2"), came]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that allows few connections and gives each little time."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(Connection, "limit", 20)
    config = uvicorn.Config(hello, port=0, log_level="critical", http=Connection, lifespan="off", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE)
    listening.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def asked(caller: socket.socket, request: bytes = GET) -> bytes:
    """Send `request` and read until its answer is whole: head and body may arrive apart."""
    caller.sendall(request)
    answer = b""
    while not whole(answer) and (piece := caller.recv(65536)):
        answer += piece
    return answer


def whole(answer: bytes) -> bool:
    head, ended, body = answer.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head) or [0]
    return bool(ended) and len(body) >= int(length)


def ends(caller: socket.socket) -> bool:
    """Whether the server closes the connection."""
    try:
        while caller.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_requests_are_answered_one_after_the_other_and_in_pieces(port: int) -> None:
    with connected(port) as caller:
        for _ in range(3):
            assert asked(caller).startswith(OK)
        caller.sendall(GET[:10])
        time.sleep(0.1)
        assert asked(caller, GET[10:]).startswith(OK)
        large = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
        assert asked(caller, large).startswith(OK)
        assert asked(caller, GET + GET).count(OK) >= 1


def test_a_body_that_has_come_to_its_end_is_known_to_be_whole_and_no_other(port: int) -> None:
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
    with connected(port) as caller:
        assert b"whole: yes" in asked(caller, post + b"{}")
        caller.sendall(post)
        time.sleep(0.3)
        assert b"whole: no" in asked(caller, b"{}")
        assert b"whole: yes" in asked(caller)


def test_who_asks_whether_to_go_on_is_told_so_before_the_body(port: int) -> None:
    with connected(port) as caller:
        post = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        assert asked(caller, post).startswith(b"HTTP/1.1 100 Continue")
        assert asked(caller, b"{}").startswith(OK)


def test_a_connection_that_sends_nothing_ends(port: int) -> None:
    with connected(port) as caller:
        assert ends(caller)


def test_a_head_that_drips_ends_though_it_never_pauses(port: int) -> None:
    with connected(port) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            for place in range(200):
                caller.sendall(b"x-%d: y\r\n" % place)
                time.sleep(0.05)


def test_a_pause_between_requests_ends_the_connection_and_a_slow_answer_does_not(port: int) -> None:
    with connected(port) as caller:
        assert asked(caller).startswith(OK)
        assert ends(caller)


def test_a_header_without_end_is_refused_as_soon_as_it_is_too_long(port: int) -> None:
    with connected(port) as caller:
        assert asked(caller, b"GET / HTTP/1.1\r\nx: " + b"a" * MAX_HEAD_BYTES).startswith(b"HTTP/1.1 431")
        with pytest.raises(OSError, match=r"reset|pipe"):
            while True:
                caller.sendall(b"a" * 65536)


@pytest.mark.parametrize(
    "sent", [b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
)
def test_what_is_no_request_is_refused_with_a_problem_and_the_connection_ends(port: int, sent: bytes) -> None:
    with connected(port) as caller:
        head, _, body = asked(caller, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["errors"][0]["code"] == "bad_request"
        assert ends(caller)


def test_many_idle_connections_keep_nobody_out(port: int) -> None:
    idle = [connected(port) for _ in range(100)]
    try:
        for _ in range(30):
            with connected(port) as caller:
                assert asked(caller).startswith(OK)
    finally:
        for caller in idle:
            caller.close()


def refused(port: int) -> bool:
    """Whether one more connection is refused at once because there are too many."""
    with connected(port) as one_more:
        one_more.settimeout(0.5)
        try:
            return one_more.recv(65536).startswith(b"HTTP/1.1 503")
        except TimeoutError:
            return False


def test_where_everybody_is_at_work_one_more_is_told_so(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    at_work = [connected(port) for _ in range(20)]
    try:
        for caller in at_work:
            caller.sendall(head)
        assert any(refused(port) for _ in range(60)), "the server never had all of them at work"
        for caller in at_work:
            assert asked(caller, b"12345").startswith(OK)
    finally:
        for caller in at_work:
            caller.close()
