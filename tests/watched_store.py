"""Stores around another store: tests see its calls, make them fail, hold them back, or act between two of them."""

from collections.abc import Callable
from typing import Any, TypeVar

from shared.errors import StorageUnavailable
from shared.store import MAX_BYTES, Download, ObjectInfo, Store

T = TypeVar("T")


class PassingStore:
    """Makes every call on the store behind it, through `_call`, which a derived store overrides."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        return self._call("read", name, lambda: self._store.read(name, generation, max_bytes=max_bytes))

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        return self._call("range", name, lambda: self._store.read_range(name, generation, start, length))

    def stat(self, name: str) -> ObjectInfo | None:
        return self._call("stat", name, lambda: self._store.stat(name))

    def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
        """`described`: the content type, and the metadata where there are any."""
        return self._call(
            "write", name, lambda: self._store.write(name, data, if_generation=if_generation, **described)
        )

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        return self._call("copy", name, lambda: self._store.copy(source, name))

    def list(self, prefix: str) -> list[ObjectInfo]:
        return self._call("list", prefix, lambda: self._store.list(prefix))

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        """`do` makes the call, and may be called again for a call that arrives twice."""
        raise NotImplementedError


class WatchedStore(PassingStore):
    """`before` and `after` see the number of each call, from 1, its kind and its object."""

    def __init__(
        self,
        store: Store,
        before: Callable[[int, str, str], None] = lambda *_: None,
        after: Callable[[int, str, str], None] = lambda *_: None,
    ) -> None:
        super().__init__(store)
        self._before = before
        self._after = after
        self.calls: list[tuple[str, str]] = []

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        self.calls.append((kind, name))
        number = len(self.calls)
        self._before(number, kind, name)
        try:
            return do()
        finally:  # also where the object is missing: the call was made
            self._after(number, kind, name)


def failing_at(store: Store, number: int, *, after: bool) -> WatchedStore:
    """A store whose `number`-th call fails, before or after it took effect."""

    def fail(found: int, kind: str, name: str) -> None:
        if found == number:
            raise StorageUnavailable(f"call {number}, {kind} {name}")

    return WatchedStore(store, after=fail) if after else WatchedStore(store, before=fail)


def interrupted_at(store: Store, kind: str, name: str, action: Callable[[], object]) -> WatchedStore:
    """A store that runs `action` just before its first call of that kind on objects whose name begins so."""
    pending = [action]

    def interrupt(_: int, found: str, where: str) -> None:
        if pending and found == kind and where.startswith(name):
            pending.pop()()

    return WatchedStore(store, before=interrupt)
