"""The storage server's outbox, read only: every change of an object, written in one transaction with the change."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BETWEEN = (
    "SELECT seq, id, type, bucket, name, generation, time, data FROM outbox"
    " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
_END = 2**63 - 1


@dataclass(frozen=True)
class OutboxEvent:
    """One change. `seq` grows without end; `data` is the object's JSON resource."""

    seq: int
    id: str
    type: str
    bucket: str
    name: str
    generation: int
    time: str
    data: str


class Outbox:
    """Reads the events of a database that may not exist yet, or that is deleted and made anew meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def ready(self) -> bool:
        """Whether there is an outbox to read. Follows the file when it was replaced."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            self.close()
            return False
        if self._database is None or inode != self._inode:
            self.close()
            self._database, self._inode = self._open(), inode
        return self._database is not None

    def after(self, seq: int, limit: int) -> list[OutboxEvent]:
        """The next events after `seq`, in order."""
        return [OutboxEvent(*row) for row in self._query(_BETWEEN, seq, _END, limit)]

    def event(self, seq: int) -> OutboxEvent | None:
        rows = self._query(_BETWEEN, seq - 1, seq, 1)
        return OutboxEvent(*rows[0]) if rows else None

    def continues(self, seq: int, event_id: str) -> bool:
        """Whether this is still the outbox in which event `seq` had that id, not a new one that counts from 1 again."""
        event = self.event(seq)
        if event is not None:
            return event.id == event_id
        rows = self._query("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")
        return bool(rows) and rows[0][0] >= seq

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection | None:
        database = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone():
                return database
        except sqlite3.OperationalError:  # the server is just making it
            pass
        database.close()
        return None

    def _query(self, statement: str, *values: int) -> list[tuple[Any, ...]]:
        if self._database is None:
            raise RuntimeError("the outbox is not ready")
        return self._database.execute(statement, values).fetchall()
