"""The head of an answer and its body in one write.

uvicorn writes them one after the other, and uvloop hands each write to the system at once: two calls and two packets
for every answer, of which the caller wakes up twice.
"""

from asyncio import AbstractEventLoop, Transport
from typing import Any

_BEGINS = b"HTTP/1.1 "
_ENDS = b"\r\n\r\n"


class JoinedWrites:
    """A transport that keeps the head of an answer for its body, until the end of this turn of the event loop at most.

    Everything else is the transport's own.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """Whatever a transport has besides writing and closing."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, with the head that waits for it."""
        head = self._head
        if data.startswith(_BEGINS) and data.endswith(_ENDS):
            if not head:
                self._loop.call_soon(self._flush)  # an answer that streams has its body later
            self._head = head + data
        elif head:
            self._head = b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close, when everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)
