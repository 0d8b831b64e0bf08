"""An honest in-memory `Store`: same preconditions, same errors, checked by the adapter's own contract suite."""

import itertools
import threading

from shared.errors import ObjectMissing, ObjectTooLarge, PreconditionFailed
from shared.store import MAX_BYTES, Download, Metadata, ObjectInfo


class MemoryStore:
    """Objects in a dictionary; generations count up over the whole bucket."""

    def __init__(self) -> None:
        self._objects: dict[str, Download] = {}
        self._metadata: dict[str, Metadata] = {}
        self._generations = itertools.count(1)
        self._lock = threading.Lock()

    def fork(self) -> "MemoryStore":
        """An independent bucket with the same objects; generations go on from the newest of them."""
        other = MemoryStore()
        with self._lock:
            other._objects = dict(self._objects)
            other._metadata = dict(self._metadata)
        newest = max((present.generation for present in other._objects.values()), default=0)
        other._generations = itertools.count(newest + 1)
        return other

    def state(self) -> int:
        """The same for buckets with the same objects at the same generations."""
        with self._lock:
            return hash(tuple((name, self._objects[name]) for name in sorted(self._objects)))

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        with self._lock:
            found = self._live(name, generation)
        if len(found.data) > max_bytes:
            raise ObjectTooLarge(f"{name!r} has more than {max_bytes} bytes")
        return found

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        with self._lock:
            return self._live(name, generation).data[start : start + max(length, 0)]

    def stat(self, name: str) -> ObjectInfo | None:
        with self._lock:
            return self._info(name) if name in self._objects else None

    def write(
        self, name: str, data: bytes, *, if_generation: int | None, content_type: str, metadata: Metadata | None = None
    ) -> ObjectInfo:
        with self._lock:
            self._require(name, if_generation)
            self._objects[name] = Download(data=data, generation=next(self._generations))
            self._metadata[name] = dict(metadata or {})
            return self._info(name)

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        with self._lock:
            origin = self._live(source.name, source.generation)
            self._require(name, 0)
            self._objects[name] = Download(data=origin.data, generation=next(self._generations))
            self._metadata[name] = self._metadata.get(source.name, {})
            return self._info(name)

    def list(self, prefix: str) -> list[ObjectInfo]:
        with self._lock:
            return [self._info(name) for name in sorted(self._objects) if name.startswith(prefix)]

    def delete(self, name: str, *, if_generation: int) -> None:
        """What people and the rules of a bucket do to it; this system never does, so the port has no such call."""
        with self._lock:
            self._live(name, None)
            self._require(name, if_generation)
            del self._objects[name]

    def _live(self, name: str, generation: int | None) -> Download:
        present = self._objects.get(name)
        if present is None or generation not in (None, present.generation):
            raise ObjectMissing(f"no object {name!r} at generation {generation or 'live'}")
        return present

    def _info(self, name: str) -> ObjectInfo:
        present = self._objects[name]
        return ObjectInfo(name, present.generation, len(present.data), self._metadata.get(name, {}))

    def _require(self, name: str, if_generation: int | None) -> None:
        present = self._objects.get(name)
        found = present.generation if present else 0
        if if_generation not in (None, found):
            raise PreconditionFailed(f"{name!r} is at generation {found}, expected {if_generation}")
