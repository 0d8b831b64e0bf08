"""Work that is kept off the event loop, so that small requests need not wait for it."""

import functools
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

THREADS = 2
"""Large bodies that are worked on at once: one processor has no use for more, and each thread keeps memory."""

T = TypeVar("T")


async def off_loop(work: Callable[[], T]) -> T:
    """The result of `work`, in a thread, in its turn."""
    return await anyio.to_thread.run_sync(work, limiter=_threads())


@functools.cache
def _threads() -> anyio.CapacityLimiter:
    """Made at the first use, in the loop that it is for."""
    return anyio.CapacityLimiter(THREADS)
