"""Who may work at once in one process: candidates one after the other, and never on the threads that markers need."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TransientError

FOR_MARKERS = 2
"""Threads that candidates leave alone: one for the marker at work, one for whatever else comes."""


class Lanes:
    """`threads`: requests that the process takes at once; `seconds` that one may wait for its turn."""

    def __init__(self, threads: int = 4, seconds: float = 500.0) -> None:
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(max(1, threads - FOR_MARKERS))
        self._candidate = threading.Lock()
        self._marker = threading.Lock()

    @contextmanager
    def candidate(self) -> Iterator[None]:
        """The turn of a candidate. Raises TransientError where too many wait, so that it is delivered again."""
        if not self._places.acquire(blocking=False):
            raise TransientError("other candidates are being judged; the next delivery finds a place")
        try:
            with self._turn(self._candidate):
                yield
        finally:
            self._places.release()

    @contextmanager
    def marker(self) -> Iterator[None]:
        """The turn of a promotion marker."""
        with self._turn(self._marker):
            yield

    @contextmanager
    def _turn(self, lock: threading.Lock) -> Iterator[None]:
        if not lock.acquire(timeout=self._seconds):
            raise TransientError(f"no turn came within {self._seconds:g} s; the next delivery tries again")
        try:
            yield
        finally:
            lock.release()
