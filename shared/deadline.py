"""A store that begins no call after the deadline, so that an event ends in an orderly way before the platform ends it.

Everything that takes long here is a storage call, and every step can be repeated: the next delivery goes on from there.
"""

from collections.abc import Callable

from shared.errors import TransientError
from shared.store import MAX_BYTES, Download, Metadata, ObjectInfo, Store


class DeadlineStore:
    """`store` until `seconds` after construction; from then on every call raises TransientError."""

    def __init__(self, store: Store, seconds: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        return self._in_time().read(name, generation, max_bytes=max_bytes)

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        return self._in_time().read_range(name, generation, start, length)

    def stat(self, name: str) -> ObjectInfo | None:
        return self._in_time().stat(name)

    def write(
        self, name: str, data: bytes, *, if_generation: int | None, content_type: str, metadata: Metadata | None = None
    ) -> ObjectInfo:
        return self._in_time().write(
            name, data, if_generation=if_generation, content_type=content_type, metadata=metadata
        )

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        return self._in_time().copy(source, name)

    def list(self, prefix: str) -> list[ObjectInfo]:
        return self._in_time().list(prefix)

    def _in_time(self) -> Store:
        if self._clock() >= self._end:
            raise TransientError(f"not finished within {self._seconds:g} s; the next delivery goes on from here")
        return self._store
