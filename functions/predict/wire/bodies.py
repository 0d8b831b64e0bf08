"""Large bodies: how many bytes of them, and of what is made of them, one worker holds at once.

Small ones pass, unless they unfold. A large one waits for its turn, first come first served, and is asked to come
again where none comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from functions.predict.settings import Limits
from functions.predict.wire import payload
from shared.problems import refuse

WAIT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 2


class Budget:
    """Bytes that may be taken at once, in the order of asking. For one event loop."""

    def __init__(self, total: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._left = self._total = total
        self._wait = wait_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` while the block runs; more than there is counts as all. Raises Refusal (503)."""
        amount = min(amount, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._left += amount
            self._serve()

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._left:
            self._left -= amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # its turn came at the same moment
                self._left += amount
            self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
            self._serve()
            if not isinstance(error, TimeoutError):
                raise
            # The connection stays: closed beside a body that still arrives, it would take the answer with it.
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise refuse(503, "busy", "other large requests are worked on; try again later", headers) from None

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left:
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._left -= amount
                turn.set_result(None)


class Bodies:
    """The bodies of one worker, each held from its first byte to the end of its answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._arriving = Budget(limits.work_bytes // 2)
        self._computing = Budget(limits.work_bytes // 2)

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body of `request`. Raises Refusal, ClientDisconnect as `payload.read` does, and 503."""
        limits = self._limits
        expected = payload.declared(request)
        if 0 <= expected < payload.SMALL_BYTES:
            body = await payload.read(request, limits.max_bytes, limits.body_seconds)
            if payload.is_small(body):
                yield body
                return
            async with self._computing.hold(limits.work_of(body)):
                yield body
            return
        payload.require_accepted(expected, limits.max_bytes)
        async with self._arriving.hold(expected if expected >= 0 else limits.max_bytes):
            body = await payload.read(request, limits.max_bytes, limits.body_seconds)
            async with self._computing.hold(limits.work_of(body)):
                yield body
