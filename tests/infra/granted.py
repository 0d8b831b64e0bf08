"""A bucket that lets an identity do only what the plan grants it, as Cloud Storage's permissions work.

Reading needs storage.objects.get; whether an object is missing is told only to who may list; a write needs create and,
where something is overwritten, delete; a copy needs to read its source and to create its target.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shared.errors import NotPermitted, PreconditionFailed
from shared.store import CREATE_ONLY, ObjectInfo
from tests.infra.terraform import of_type
from tests.memory_store import MemoryStore
from tests.watched_store import PassingStore

T = TypeVar("T")
ROLES = ("reader", "creator", "remover")
_PREFIX = re.compile(r'resource\.name\.startsWith\("projects/_/buckets/[^/]+/objects/([^"]*)"\)')
Grants = Mapping[str, tuple[str, ...]]


def grants(plan: dict[str, Any], module: str) -> Grants:
    """Role → the prefixes for which `module` grants it."""
    found: dict[str, tuple[str, ...]] = {}
    owners = "owner." if f"owner.module.{module}.google_storage_bucket_iam_member.list" in plan else ""
    name = f"{owners}module.{module}.google_storage_bucket_iam_member"
    members = of_type(plan, "google_storage_bucket_iam_member")
    for address, values in members.items():
        role = re.fullmatch(re.escape(f"{name}.objects") + r'\["(\w+)"\]', address)
        if role:
            expression = values["condition"][0]["expression"]
            assert re.sub(_PREFIX, "", expression).replace(" || ", "") == "", expression
            found[role[1]] = tuple(_PREFIX.findall(expression))
    assert f"{name}.list" in members
    return found


class GrantedStore(PassingStore):
    """`bucket` as an identity with these grants sees it. `used` collects what was needed: (role, prefix)."""

    def __init__(self, bucket: MemoryStore, grants: Grants) -> None:
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
