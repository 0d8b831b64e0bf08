"""A real HTTP server that records what it gets and answers as it is told, for tests of what sends requests."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT = 60.0
"""Seconds: far more than anything here takes, on a machine that is busy with other things."""
NO_HEADERS: Mapping[str, str] = {}


@contextmanager
def listening(server: socketserver.TCPServer) -> Iterator[str]:
    """The address of `server` while it serves, in a thread of its own."""
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Scripted(BaseHTTPRequestHandler):
    """Answers as a subclass says, and logs nothing."""

    def sent(self) -> bytes:
        """The body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, data: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Answer with `data`, whose length is among the headers unless these say otherwise; "" leaves one out."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@dataclass(frozen=True)
class Request:
    """One request as it came in: header names in lower case, `at` in monotonic seconds, `number` counted from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    number: int


class Receiver:
    """Listens on a free port until it is closed; `answer` gives each request its status."""

    def __init__(self, answer: Callable[[Request], int], path: str = "") -> None:
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._answer = answer
        self._at_once = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(Scripted):
            def do_POST(self) -> None:
                body = self.sent()
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver._record(self.command, self.path, headers, body)
                self.answer(status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else {})

            do_GET = do_PUT = do_POST

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """A caller that was killed or gave up leaves its connections broken."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _record(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            request = Request(method, path, headers, body, time.monotonic(), len(self.requests) + 1)
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        status = self._answer(request)
        with self._lock:
            self._at_once -= 1
        return status

    def wait_for(self, count: int) -> list[Request]:
        wait_until(lambda: len(self.requests) >= count, f"{count} requests")
        return list(self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {WAIT:.0f} s"
        time.sleep(0.02)
