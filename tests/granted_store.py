"""A bucket that lets an identity do only what it is granted, as Cloud Storage's permissions work.

Reading needs storage.objects.get; whether an object is missing is told only to who may list; a write needs create and,
where something is overwritten, delete; a copy needs to read its source and to create its target.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shared.errors import NotPermitted, PreconditionFailed
from shared.store import CREATE_ONLY, ObjectInfo, Store
from tests.watched_store import PassingStore

T = TypeVar("T")
Grants = Mapping[str, tuple[str, ...]]
"""Role (reader, creator, remover) → the prefixes of names for which it is granted."""


class GrantedStore(PassingStore):
    """`bucket` as an identity with these grants sees it. `used` collects what was needed: (role, prefix)."""

    def __init__(self, bucket: Store, grants: Grants) -> None:
        super().__init__(bucket)
        self.bucket, self.grants = bucket, grants
        self.used: set[tuple[str, str]] = set()

    def unused(self) -> set[tuple[str, str]]:
        """Grants that nothing needed."""
        return {(role, prefix) for role, prefixes in self.grants.items() for prefix in prefixes} - self.used

    def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
        self._require_write(name, if_generation)
        return super().write(name, data, if_generation=if_generation, **described)

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        self._require("reader", source.name)
        self._require_write(name, CREATE_ONLY)
        return super().copy(source, name)

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        if kind in ("read", "range", "stat"):
            self._require("reader", name)
        return do()

    def _require_write(self, name: str, if_generation: int | None) -> None:
        self._require("creator", name)
        if self.bucket.stat(name) is None:
            return
        if if_generation == CREATE_ONLY:
            raise PreconditionFailed(f"{name!r} is there")
        self._require("remover", name)

    def _require(self, role: str, name: str) -> None:
        covering = [prefix for prefix in self.grants.get(role, ()) if name.startswith(prefix)]
        if not covering:
            raise NotPermitted(f"no {role} on {name!r}")
        self.used.update((role, prefix) for prefix in covering)
