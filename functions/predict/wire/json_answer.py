"""Values as JSON answers, and work that is kept off the event loop."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from functions.predict.wire.payload import is_small
from functions.predict.wire.threads import off_loop

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_JSON_TYPE = (b"content-type", b"application/json")


class JsonAnswer:
    """A value as JSON, as an ASGI application: what Starlette's response does for every answer is done once here."""

    def __init__(self, value: object, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._body = _ENCODER.encode(value)
        self._headers = [(b"content-length", b"%d" % len(self._body)), _JSON_TYPE, *headers]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the answer."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


async def computed(body: bytes, work: Callable[[], T]) -> T:
    """The result of `work`, off the event loop where `body` is large or unfolds."""
    if is_small(body):
        return work()
    return await off_loop(work)
