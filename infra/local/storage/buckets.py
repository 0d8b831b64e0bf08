"""Buckets, their notification settings and their access policies, as rows."""

import json
import re
from collections.abc import Mapping
from typing import Any

from infra.local.storage.conditions import Conditions
from infra.local.storage.database import Database
from infra.local.storage.faults import Fault, invalid, no_bucket, required
from infra.local.storage.resources import Bucket, Json, merged

_NAME = re.compile(r"(?=.{3,222}$)[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_FIXED = ("kind", "id", "name", "selfLink", "projectNumber", "metageneration", "etag", "timeCreated", "updated")


class Buckets:
    """Every write checks its preconditions in the transaction that it is made in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, resource: Mapping[str, Any]) -> Bucket:
        name = resource.get("name")
        if not isinstance(name, str):
            raise required("name")
        if not _NAME.fullmatch(name):
            raise invalid(f"Invalid bucket name: {name[:222]!r}")
        with self._database.transaction():
            if self.find(name):
                raise Fault(409, "conflict", f"Your previous request to create the named bucket succeeded: {name}")
            now = self._database.tick()
            self._database.execute(
                "INSERT INTO bucket VALUES (?, 1, ?, ?, ?, NULL)", name, now, now, json.dumps(_settable(resource))
            )
        return self.get(name)

    def find(self, name: str) -> Bucket | None:
        row = self._database.execute(
            "SELECT name, metageneration, created, updated, fields FROM bucket WHERE name = ?", name
        ).fetchone()
        if row is None:
            return None
        columns = list(row)
        columns[4] = json.loads(columns[4])
        return Bucket(*columns)

    def get(self, name: str) -> Bucket:
        bucket = self.find(name)
        if bucket is None:
            raise no_bucket(name)
        return bucket

    def after(self, prefix: str, last: str, limit: int) -> list[Bucket]:
        """The buckets behind `last`, by name."""
        rows = self._database.execute(
            "SELECT name FROM bucket WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            *(last, len(prefix), prefix, limit),
        ).fetchall()
        return [self.get(name) for (name,) in rows]

    def patch(self, name: str, changes: Mapping[str, Any], conditions: Conditions, *, replace: bool = False) -> Bucket:
        """Merge `changes` into the bucket's settings, or take them instead of the settings."""
        with self._database.transaction():
            bucket = self.get(name)
            conditions.require_for_write(bucket)
            fields = merged({} if replace else bucket.fields, _settable(changes))
            self._database.execute(
                "UPDATE bucket SET metageneration = metageneration + 1, updated = ?, fields = ? WHERE name = ?",
                *(self._database.tick(), json.dumps(fields), name),
            )
        return self.get(name)

    def delete(self, name: str, conditions: Conditions) -> None:
        with self._database.transaction():
            conditions.require_for_write(self.get(name))
            if self._database.execute("SELECT 1 FROM object WHERE bucket = ? LIMIT 1", name).fetchone():
                raise Fault(409, "conflict", "The bucket you tried to delete is not empty.")
            self._database.execute("DELETE FROM notification WHERE bucket = ?", name)
            self._database.execute("DELETE FROM bucket WHERE name = ?", name)

    def policy(self, name: str) -> Json:
        self.get(name)
        (text,) = self._database.execute("SELECT policy FROM bucket WHERE name = ?", name).fetchone()
        policy = {"kind": "storage#policy", "version": 1, "etag": "CAE=", "bindings": []}
        return {**policy, **(json.loads(text) if text else {}), "resourceId": f"projects/_/buckets/{name}"}

    def set_policy(self, name: str, policy: Mapping[str, Any]) -> Json:
        self.get(name)
        self._database.execute("UPDATE bucket SET policy = ? WHERE name = ?", json.dumps(dict(policy)), name)
        return self.policy(name)

    def add_notification(self, bucket: str, resource: Mapping[str, Any]) -> Json:
        if not isinstance(resource.get("topic"), str):
            raise required("topic")
        with self._database.transaction():
            self.get(bucket)
            (last,) = self._database.execute(
                "SELECT COALESCE(MAX(id), 0) FROM notification WHERE bucket = ?", bucket
            ).fetchone()
            self._database.execute(
                "INSERT INTO notification VALUES (?, ?, ?)", bucket, last + 1, json.dumps(dict(resource))
            )
        return self.notification(bucket, str(last + 1))

    def notifications(self, bucket: str) -> list[Json]:
        self.get(bucket)
        rows = self._database.execute("SELECT id, fields FROM notification WHERE bucket = ? ORDER BY id", bucket)
        return [_notification(number, fields) for number, fields in rows.fetchall()]

    def notification(self, bucket: str, number: str) -> Json:
        for notification in self.notifications(bucket):
            if notification["id"] == number:
                return notification
        raise Fault(404, "notFound", f"The specified notification configuration does not exist: {number[:64]}")

    def delete_notification(self, bucket: str, number: str) -> None:
        self.notification(bucket, number)
        self._database.execute("DELETE FROM notification WHERE bucket = ? AND id = ?", bucket, int(number))


def _settable(resource: Mapping[str, Any]) -> Json:
    fields = {field: value for field, value in resource.items() if field not in _FIXED}
    for field in ("versioning", "labels", "iamConfiguration", "lifecycle"):
        if fields.get(field) is not None and not isinstance(fields[field], Mapping):
            raise invalid(f"Invalid value for {field}: expected an object, found {type(fields[field]).__name__}")
    return fields


def _notification(number: int, fields: str) -> Json:
    return {**json.loads(fields), "kind": "storage#notification", "id": str(number), "etag": str(number)}
