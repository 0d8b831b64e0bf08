"""The engine of the local storage: every change of an object with its precondition and its event in one transaction.

Generations come from one clock and only ever grow. What a reader of `outbox` sees is exactly what happened: an
overwrite removes (or, with versioning, archives) the old generation and finalizes the new one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.local.storage.buckets import Buckets
from infra.local.storage.conditions import Conditions
from infra.local.storage.contents import Contents
from infra.local.storage.database import Database
from infra.local.storage.faults import Fault, invalid, no_object
from infra.local.storage.resources import (
    PUBLIC_LINKS,
    Change,
    ObjectVersion,
    merged,
    object_resource,
    timestamp,
    writable,
)

VERSION_COLUMNS = (
    "SELECT o.bucket, o.name, o.generation, o.metageneration, o.content, o.live, o.created, o.updated, o.deleted,"
    " o.fields, c.size, c.md5, c.crc32c, c.components FROM object o JOIN content c ON c.id = o.content"
)
MAX_NAME_BYTES = 1024
MAX_COMPOSED = 32


class Objects:
    """All objects of one database. Faults leave everything as it was."""

    def __init__(self, database: Database, contents: Contents, buckets: Buckets) -> None:
        self._database = database
        self._contents = contents
        self._buckets = buckets

    def find(self, bucket: str, name: str, generation: int | None = None) -> ObjectVersion | None:
        """The live version, or the one of that generation."""
        condition = "o.live = 1" if generation is None else "o.generation = ?"
        row = self._database.execute(
            f"{VERSION_COLUMNS} WHERE o.bucket = ? AND o.name = ? AND {condition}",
            *((bucket, name) if generation is None else (bucket, name, generation)),
        ).fetchone()
        return None if row is None else version_of(row)

    def get(self, bucket: str, name: str, generation: int | None = None) -> ObjectVersion:
        self._buckets.get(bucket)
        version = self.find(bucket, name, generation)
        if version is None:
            raise no_object(bucket, name, generation)
        return version

    def require_writable(self, bucket: str, name: str, conditions: Conditions) -> None:
        """Refuse early what `put` would refuse, before the bytes arrive."""
        self._buckets.get(bucket)
        require_valid_name(name)
        current = self.find(bucket, name)
        conditions.require_for_write(current)
        _require_no_hold(current)

    def put(
        self,
        bucket: str,
        name: str,
        fields: Mapping[str, Any],
        conditions: Conditions,
        content: Callable[[], int],
    ) -> ObjectVersion:
        """A new live generation. `content` is called in the transaction and gives the bytes' id."""
        with self._database.transaction():
            self.require_writable(bucket, name, conditions)
            return self._put(bucket, name, fields, content())

    def copy(
        self,
        source: tuple[str, str, int | None],
        target: tuple[str, str],
        fields: Mapping[str, Any] | None,
        conditions: Conditions,
        source_conditions: Conditions,
    ) -> ObjectVersion:
        """The source's bytes under another name, none of them moved; its metadata too unless `fields` replaces it."""
        with self._database.transaction():
            origin = self.get(*source)
            source_conditions.require_for_write(origin)
            self.require_writable(*target, conditions)
            return self._put(*target, origin.fields if fields is None else fields, origin.content)

    def compose(
        self,
        bucket: str,
        name: str,
        sources: Sequence[tuple[str, int | None, Conditions]],
        fields: Mapping[str, Any],
        conditions: Conditions,
    ) -> ObjectVersion:
        """The sources' bytes, one after the other; each source is a name, a generation and its conditions."""
        if not 1 <= len(sources) <= MAX_COMPOSED:
            raise invalid(f"The number of source components must be from 1 to {MAX_COMPOSED}, found {len(sources)}")
        with self._database.transaction():
            self.require_writable(bucket, name, conditions)
            origins = [self.get(bucket, source, generation) for source, generation, _ in sources]
            for origin, (_, _, wanted) in zip(origins, sources, strict=True):
                wanted.require_for_write(origin)
            inherited = {"contentType": origins[0].fields.get("contentType")}
            content = self._contents.concatenate([origin.content for origin in origins])
            return self._put(bucket, name, merged(inherited, fields), content)

    def patch(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        changes: Mapping[str, Any],
        conditions: Conditions,
        *,
        replace: bool = False,
    ) -> ObjectVersion:
        """New metadata under the same generation: merged with the present one, or instead of it."""
        with self._database.transaction():
            current = self.get(bucket, name, generation)
            conditions.require_for_write(current)
            now = self._database.tick()
            fields = merged({} if replace else current.fields, writable(changes))
            if fields.get("storageClass") != current.fields.get("storageClass"):
                fields.setdefault("storageClass", self._buckets.get(bucket).storage_class)
                fields["timeStorageClassUpdated"] = timestamp(now)
            self._database.execute(
                "UPDATE object SET metageneration = metageneration + 1, updated = ?, fields = ?"
                " WHERE bucket = ? AND name = ? AND generation = ?",
                *(now, json.dumps(fields), bucket, name, current.generation),
            )
            changed = self.get(bucket, name, current.generation)
            self._record("metadataUpdated", changed)
            return changed

    def delete(self, bucket: str, name: str, generation: int | None, conditions: Conditions) -> None:
        """The live version (archived where the bucket keeps versions), or one generation for good."""
        with self._database.transaction():
            current = self.get(bucket, name, generation)
            conditions.require_for_write(current)
            _require_no_hold(current)
            self._retire(current, archive=generation is None and self._buckets.get(bucket).versioning)

    def _put(self, bucket: str, name: str, fields: Mapping[str, Any], content: int) -> ObjectVersion:
        settings = self._buckets.get(bucket)
        if current := self.find(bucket, name):
            self._retire(current, archive=settings.versioning, content_kept=content)
        generation = self._database.tick()
        kept = {"storageClass": settings.storage_class, **merged({}, writable(fields))}
        self._database.execute(
            "INSERT INTO object VALUES (?, ?, ?, 1, ?, 1, ?, ?, NULL, ?)",
            *(bucket, name, generation, content, generation, generation, json.dumps(kept)),
        )
        version = self.get(bucket, name, generation)
        self._record("finalized", version)
        return version

    def _retire(self, version: ObjectVersion, *, archive: bool, content_kept: int | None = None) -> None:
        key = (version.bucket, version.name, version.generation)
        self._database.execute(
            "UPDATE object SET live = 0, deleted = ? WHERE bucket = ? AND name = ? AND generation = ?",
            *(self._database.tick(), *key),
        )
        retired = self.get(*key)
        self._record("archived" if archive else "deleted", retired)
        if archive:
            return
        self._database.execute("DELETE FROM object WHERE bucket = ? AND name = ? AND generation = ?", *key)
        if version.content != content_kept:
            self._contents.drop_if_unused(version.content)

    def _record(self, change: Change, version: ObjectVersion) -> None:
        now = self._database.tick()
        self._database.execute(
            "INSERT INTO outbox (id, type, bucket, name, generation, time, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(str(now), f"google.cloud.storage.object.v1.{change}"),
            *(version.bucket, version.name, version.generation, timestamp(now)),
            json.dumps(object_resource(version, PUBLIC_LINKS), ensure_ascii=False),
        )


def version_of(row: Sequence[Any]) -> ObjectVersion:
    """A row of `VERSION_COLUMNS`."""
    columns = list(row)
    columns[9] = json.loads(columns[9])
    return ObjectVersion(*columns)


def require_valid_name(name: str) -> None:
    """Raise a 400 for a name that Cloud Storage does not take."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise invalid("The object name is not valid Unicode") from error
    if not 1 <= size <= MAX_NAME_BYTES:
        raise invalid(f"The object name must have from 1 to {MAX_NAME_BYTES} bytes in UTF-8, found {size}")
    if name in (".", "..") or "\r" in name or "\n" in name or name.startswith(".well-known/acme-challenge/"):
        raise invalid("Disallowed object name: '.', '..', line breaks and .well-known/acme-challenge/ are reserved")


def _require_no_hold(version: ObjectVersion | None) -> None:
    if version and (version.fields.get("temporaryHold") or version.fields.get("eventBasedHold")):
        raise Fault(403, "forbidden", "The object is under active hold and cannot be deleted or overwritten.")
