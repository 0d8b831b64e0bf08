"""A proxy in front of the storage server that fails as networks and services do. The seed decides what befalls whom."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("503", "429", "connection reset", "lost response", "truncated download", "time-out")
STALL_SECONDS = 16.0
"""Longer than validation waits for one request."""

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length", "host", "date", "server"})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to `upstream`, and counts what it did instead. `stalls`: time-outs at most, as each takes long."""

    daemon_threads = True

    def __init__(self, upstream: str, seed: int, rate: float, stalls: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.counts: Counter[str] = Counter()
        self._chance, self._rate, self._stalls = random.Random(seed), rate, stalls  # noqa: S311
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, method: str) -> str | None:
        """The fault that this request meets, if any."""
        with self._lock:
            self.counts["requests"] += 1
            if self._chance.random() >= self._rate:
                return None
            kinds = [kind for kind in KINDS if method == "GET" or kind != "truncated download"]
            kind = self._chance.choice(kinds if self.counts["time-out"] < self._stalls else kinds[:-1])
            self.counts[kind] += 1
            return kind

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that were killed: their connections break."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.command)
        if fault in ("503", "429"):
            self._answer(int(fault), {"Content-Type": "application/json"}, b'{"error": {"message": "later"}}')
        elif fault == "connection reset":
            self._reset()
        else:
            if fault == "time-out":
                time.sleep(STALL_SECONDS)
            status, headers, content = self._upstream(body)
            if fault == "lost response":
                self._reset()
            else:
                self._answer(status, headers, content, cut=fault == "truncated download" and len(content) > 1)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _forward

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: nobody reads it."""

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, {**headers, "Host": self.server.upstream})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True


@contextmanager
def faulty_proxy(upstream: str, seed: int, *, rate: float, stalls: int = 1) -> Iterator[FaultyProxy]:
    """Run the proxy until the block ends."""
    proxy = FaultyProxy(upstream, seed, rate, stalls)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
