"""Connections with limits before the application: bytes and time of a request's head, idle time, how many there are.

uvicorn has a limit for the pause between two requests, and none for a connection that never sends one, for a head that
never ends, or for more connections than the process has descriptors: then nobody is accepted any more, in silence.
Offers of another protocol are taken out here too, before the parser sees them (`upgrades`).
"""

import asyncio
import resource
from asyncio import TimerHandle
from http import HTTPStatus
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions.predict.wire.joined_writes import JoinedWrites
from functions.predict.wire.payload import WHOLE
from functions.predict.wire.upgrades import without_offers
from shared.problems import MEDIA_TYPE, Refusal, problem_body, refuse

MAX_HEAD_BYTES = 64 * 1024
"""Beyond it a head is not read on; `envelope` refuses smaller ones that are too large, with a problem."""

HEAD_SECONDS = 10.0
"""From a connection's beginning, or a head's first byte, to the head's end."""

LISTEN_SECONDS = 1.0
"""How long what still comes is thrown away after a refusal: closing at once could take the answer from the caller."""

LEAVING_SECONDS = 5
"""How long a request that is under way has when the process is told to end: Cloud Run leaves it ten seconds."""

RESERVED_DESCRIPTORS = 24
MOST_CONNECTIONS = 1000


def _answer(refusal: Refusal) -> bytes:
    """A whole answer, for callers that never come to the application."""
    body = problem_body(refusal)
    headers = {"content-type": MEDIA_TYPE, "content-length": len(body), "connection": "close", **refusal.headers}
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


HEAD_TOO_LARGE = _answer(
    refuse(431, "headers_too_large", f"the headers are larger than the {MAX_HEAD_BYTES} bytes that are read")
)
MALFORMED = _answer(refuse(400, "bad_request", "expected a request as HTTP/1.1 has them"))
FULL = _answer(refuse(503, "busy", "every connection has a request under way; try again later", {"retry-after": "1"}))


def most_connections() -> int:
    """As many as the process has descriptors for, less what it needs itself."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MOST_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS))


class Connection(HttpToolsProtocol):
    """One connection of uvicorn's, ended where it goes beyond a limit."""

    limit = most_connections()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; where there are too many connections, the one that waits the longest for a request makes room."""
        joined = JoinedWrites(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, joined))
        self.config.timeout_graceful_shutdown = LEAVING_SECONDS  # the worker's options have no name for it
        self.since = self.loop.time()
        self.refused = False
        self.head_bytes = 0
        self.head_timer: TimerHandle | None = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        if len(self.connections) > self.limit and not self._makes_room():
            self._refuse(FULL)

    def data_received(self, data: bytes) -> None:
        """Read on, unless this is a head without end."""
        if self.refused:
            return
        if self.cycle is not None and self.cycle.more_body:
            super().data_received(data)
            return
        self.head_bytes += len(data)
        super().data_received(without_offers(data))
        if self.head_bytes == 0:  # a head has ended within these bytes
            return
        if self.head_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif self.head_timer is None:
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server has logged it
        """What the parser makes nothing of is refused as everything else is."""
        self._refuse(MALFORMED)

    def on_headers_complete(self) -> None:
        """The head is whole: its limits are over."""
        self.head_bytes = 0
        self.since = self.loop.time()
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole: nobody has to wait for it with a clock in hand."""
        super().on_message_complete()
        cast(dict[str, object], self.scope)[WHOLE] = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """Whether no request is under way: nobody loses an answer when it ends."""
        return self.cycle is None or self.cycle.response_complete

    def _makes_room(self) -> bool:
        others = [
            other for other in self.connections if other is not self and isinstance(other, Connection) and other.waits
        ]
        if not others:
            return False
        oldest = min(others, key=lambda other: other.since)
        oldest.transport.close()
        self.connections.discard(oldest)
        return True

    def _too_slow(self) -> None:
        self.head_timer = None
        if self.waits:
            self.transport.close()

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.refused = True
            self.transport.write(answer)
            self.loop.call_later(LISTEN_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
