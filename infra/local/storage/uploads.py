"""Resumable uploads: sessions whose bytes arrive in several requests, possibly across a restart of the server.

A session is a row; what has arrived is an ordinary content without an object. Only multiples of 256 KiB are kept of an
unfinished part, as Cloud Storage does, so a client always learns where to go on.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.storage.conditions import Conditions
from infra.local.storage.contents import Contents, ContentWriter, new_content
from infra.local.storage.database import Database
from infra.local.storage.faults import Fault, invalid
from infra.local.storage.objects import Objects
from infra.local.storage.resources import ObjectVersion, writable

UNIT_BYTES = 256 * 1024
KEPT_MICROSECONDS = 7 * 24 * 3600 * 1_000_000


@dataclass
class UploadSession:
    """An upload under way. `finished` names the generation that it became; `cancelled` ends it without one."""

    id: str
    bucket: str
    name: str
    fields: dict[str, Any]
    conditions: Conditions
    declared_size: int | None
    content: int | None
    finished: int | None


class Uploads:
    """All sessions of one database. The writers with their running checksums are kept in memory and rebuilt if lost."""

    def __init__(self, database: Database, contents: Contents, objects: Objects) -> None:
        self._database = database
        self._contents = contents
        self._objects = objects
        self._writers: dict[str, ContentWriter] = {}

    def start(
        self, bucket: str, name: str, fields: Mapping[str, Any], conditions: Conditions, declared_size: int | None
    ) -> UploadSession:
        """A new session, unless its preconditions fail already. They are checked again when it is finished."""
        writable(fields)
        session_id = secrets.token_urlsafe(32)
        request = {"fields": dict(fields), "conditions": conditions.to_dict(), "declared_size": declared_size}
        with self._database.transaction():
            self._objects.require_writable(bucket, name, conditions)
            self._database.execute(
                "INSERT INTO upload VALUES (?, ?, ?, ?, ?, NULL, ?)",
                *(session_id, bucket, name, json.dumps(request), new_content(self._database), self._database.tick()),
            )
        return self.get(session_id)

    def get(self, session_id: str) -> UploadSession:
        row = self._database.execute(
            "SELECT id, bucket, name, request, content, result FROM upload WHERE id = ?", session_id
        ).fetchone()
        if row is None:
            raise Fault(404, "notFound", "No such upload session; it may have expired: start a new one")
        request = json.loads(row[3])
        session = UploadSession(
            *(row[0], row[1], row[2], request["fields"], Conditions(**request["conditions"])),
            *(request["declared_size"], row[4], None if row[5] is None else int(row[5])),
        )
        if session.content is None and session.finished is None:
            raise Fault(410, "gone", "The upload session was cancelled or has failed: start a new one")
        return session

    def writer(self, session: UploadSession) -> ContentWriter:
        if session.id not in self._writers:
            assert session.content is not None  # noqa: S101
            self._writers[session.id] = self._contents.resumed_writer(session.content)
        return self._writers[session.id]

    def result(self, session: UploadSession) -> ObjectVersion:
        """The object that a finished session has made. Raises a 404 if it is gone by now."""
        return self._objects.get(session.bucket, session.name, session.finished)

    def finish(self, session: UploadSession, claims: Mapping[str, str]) -> ObjectVersion:
        """Make the object of what has arrived. A failed precondition or checksum ends the session."""
        writer = self.writer(session)
        if session.declared_size not in (None, writer.received):
            raise invalid(f"Expected {session.declared_size} bytes as announced, received {writer.received}")
        try:
            with self._database.transaction():
                version = self._objects.put(
                    session.bucket, session.name, session.fields, session.conditions, lambda: writer.close(claims)
                )
                self._database.execute(
                    "UPDATE upload SET content = NULL, result = ? WHERE id = ?", version.generation, session.id
                )
        except Fault:
            self.cancel(session)
            raise
        del self._writers[session.id]
        return version

    def cancel(self, session: UploadSession) -> None:
        """End the session and drop its bytes."""
        self._writers.pop(session.id, None)
        with self._database.transaction():
            self._database.execute("UPDATE upload SET content = NULL WHERE id = ?", session.id)
            if session.content is not None:
                self._contents.drop_if_unused(session.content)

    def expire(self) -> None:
        """Forget sessions older than a week, as Cloud Storage does; called when the storage starts."""
        with self._database.transaction():
            self._database.execute("DELETE FROM upload WHERE created < ?", self._database.tick() - KEPT_MICROSECONDS)
