"""SIGTERM in seven states of the serving process: it ends within the ten seconds that Cloud Run leaves it, of its own
accord, and whoever was being answered gets the whole answer.

https://cloud.google.com/run/docs/container-contract#instance-shutdown
"""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, running, storage, store
from tests.unit.predict.promoted import EXPECTED, ROW, promote

__all__ = ["storage", "store"]  # fixtures

LEFT_SECONDS = 15.0
"""Half more than Cloud Run leaves: other programs run here. Unbounded, a slow body or storage takes 20 and more."""

ROWS = 10_000
POST = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
GET = b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n"
State = Callable[[Function], Callable[[], None]]
"""Brings a process into a state; what it gives back asks, after the end, whether its callers were treated well."""


def nothing_to_ask() -> None:
    """Nobody was calling."""


def connected(function: Function, sent: bytes) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", urlsplit(function.url).port or 0), timeout=PATIENCE)
    caller.sendall(sent)
    return caller


def idle(function: Function) -> Callable[[], None]:
    assert function.get("/ready").status_code == 200
    return nothing_to_ask


def a_connection_is_kept(function: Function) -> Callable[[], None]:
    caller = connected(function, GET)
    assert caller.recv(4096).startswith(b"HTTP/1.1 200")
    return lambda: closed(caller)


def half_a_body_is_here(function: Function) -> Callable[[], None]:
    assert function.get("/ready").status_code == 200
    caller = connected(function, POST + b"{")
    return lambda: closed(caller)


def a_batch_is_computed(function: Function) -> Callable[[], None]:
    body = json.dumps([dict(ROW)] * ROWS).encode()
    head = POST.replace(b"/predict", b"/predict_batch").replace(b": 100", b": %d" % len(body))
    assert function.get("/ready").status_code == 200
    caller = connected(function, head.replace(b"Host", b"Expect: 100-continue\r\nHost"))
    assert caller.recv(4096).startswith(b"HTTP/1.1 100")  # the request is under way
    caller.sendall(body)

    def whole() -> None:
        with caller, caller.makefile("rb") as answer:
            head, _, text = answer.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert [row["prediction"] for row in json.loads(text)["predictions"]] == [EXPECTED] * ROWS

    return whole


def told_twice(function: Function) -> Callable[[], None]:
    assert function.get("/ready").status_code == 200
    function.process.send_signal(signal.SIGTERM)
    return nothing_to_ask


def no_model_yet(function: Function) -> Callable[[], None]:
    assert function.get("/ready").status_code == 503
    return nothing_to_ask


def closed(caller: socket.socket) -> None:
    with caller:
        while caller.recv(4096):
            pass


def ends(function: Function, state: State) -> None:
    treated_well = state(function)
    function.process.send_signal(signal.SIGTERM)
    code = function.process.wait(timeout=LEFT_SECONDS)
    treated_well()
    assert code == 0


@pytest.mark.parametrize("state", [idle, a_connection_is_kept, half_a_body_is_here, a_batch_is_computed, told_twice])
def test_a_process_that_serves_ends_in_time(state: State, store: CloudStore, tmp_path: Path) -> None:
    promote(store)
    with running(tmp_path) as function:
        ends(function, state)


def test_a_process_without_a_model_ends_in_time(store: CloudStore, tmp_path: Path) -> None:
    with running(tmp_path) as function:
        ends(function, no_model_yet)


def test_a_process_whose_storage_never_answers_ends_in_time(store: CloudStore, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(PATIENCE)
        port = silent.getsockname()[1]

        def asked(function: Function) -> Callable[[], None]:
            connected(function, GET).close()
            silent.accept()[0].detach()  # it stays open until this test's process ends
            return nothing_to_ask

        with running(tmp_path, {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}) as function:
            ends(function, asked)
