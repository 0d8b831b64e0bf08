"""What the relay has still to deliver, and what it delivered: kept in SQLite, so that being killed loses nothing."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursors (trigger_name TEXT PRIMARY KEY, seq INTEGER NOT NULL, event_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
  trigger_name TEXT NOT NULL, seq INTEGER NOT NULL, copy INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given up')),
  attempts INTEGER NOT NULL DEFAULT 0, next_attempt REAL NOT NULL, accepted REAL NOT NULL,
  PRIMARY KEY (trigger_name, seq, copy));
CREATE INDEX IF NOT EXISTS due ON deliveries (trigger_name, state, next_attempt);
"""


class Key(NamedTuple):
    """One delivery: an event for a trigger. Copies above 0 are the duplicates that tests ask for."""

    trigger: str
    seq: int
    copy: int


@dataclass(frozen=True)
class Delivery:
    """A delivery that is due. `accepted` is when the relay first saw the event (seconds since 1970)."""

    key: Key
    attempts: int
    accepted: float


class Deliveries:
    """The relay's own progress. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def cursor(self, trigger: str) -> tuple[int, str]:
        """The last event that was looked at for a trigger, with its id; (0, "") for a new trigger."""
        row = self._database.execute("SELECT seq, event_id FROM cursors WHERE trigger_name = ?", (trigger,)).fetchone()
        return (row[0], row[1]) if row else (0, "")

    def accept(
        self, trigger: str, cursor: tuple[int, str], firsts: Sequence[tuple[int, int, float]], now: float
    ) -> None:
        """Move the cursor and take over what is before it, as (seq, copy, time of first attempt): all or nothing."""
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO deliveries (trigger_name, seq, copy, next_attempt, accepted)"
                " VALUES (?, ?, ?, ?, ?)",
                [(trigger, seq, copy, first, now) for seq, copy, first in firsts],
            )
            self._database.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (trigger, *cursor))

    def due(self, trigger: str, now: float, limit: int) -> list[Delivery]:
        """Pending deliveries whose time has come, the longest waiting first."""
        rows = self._database.execute(
            "SELECT seq, copy, attempts, accepted FROM deliveries WHERE trigger_name = ? AND state = 'pending'"
            " AND next_attempt <= ? ORDER BY next_attempt, seq, copy LIMIT ?",
            (trigger, now, limit),
        )
        return [Delivery(Key(trigger, seq, copy), attempts, accepted) for seq, copy, attempts, accepted in rows]

    def delivered(self, key: Key) -> None:
        self._update("state = 'delivered', attempts = attempts + 1", key)

    def failed(self, key: Key, next_attempt: float) -> None:
        self._update("attempts = attempts + 1, next_attempt = ?", key, next_attempt)

    def given_up(self, key: Key) -> None:
        self._update("state = 'given up', attempts = attempts + 1", key)

    def forget(self, trigger: str) -> None:
        """Start over: the outbox that the progress belongs to is gone."""
        with self._database:
            self._database.execute("DELETE FROM deliveries WHERE trigger_name = ?", (trigger,))
            self._database.execute("DELETE FROM cursors WHERE trigger_name = ?", (trigger,))

    def close(self) -> None:
        self._database.close()

    def _update(self, assignment: str, key: Key, *values: float) -> None:
        with self._database:
            self._database.execute(
                f"UPDATE deliveries SET {assignment} WHERE trigger_name = ? AND seq = ? AND copy = ?",  # noqa: S608
                (*values, *key),
            )
