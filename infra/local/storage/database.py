"""The one SQLite file of the local storage: its tables, its transactions and its clock.

A write-ahead log lets another process read (the relay follows `outbox`) while this one writes. A killed process loses
nothing that was committed: the log is in the operating system's hands from then on.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "gcs.sqlite"

_PRAGMAS = (
    "PRAGMA page_size = 16384",  # before the first table: blobs of 1 MiB in 4 KiB pages cost a long chain each
    "PRAGMA auto_vacuum = INCREMENTAL",  # also before it: else a file never shrinks, however much is deleted
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -32768",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 512",  # 8 MiB of log
    "PRAGMA busy_timeout = 30000",
    "PRAGMA secure_delete = OFF",  # else Debian writes zeros over all that is deleted: as much room again
)

_PAGES_AT_ONCE = 256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, time TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, metageneration INTEGER NOT NULL, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, fields TEXT NOT NULL, policy TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notification (bucket TEXT NOT NULL, id INTEGER NOT NULL, fields TEXT NOT NULL,
    PRIMARY KEY (bucket, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS content (id INTEGER PRIMARY KEY AUTOINCREMENT, size INTEGER NOT NULL, md5 TEXT,
    crc32c TEXT NOT NULL, components INTEGER);
CREATE TABLE IF NOT EXISTS chunk (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS piece (content INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
    chunk INTEGER NOT NULL, PRIMARY KEY (content, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS piece_chunk ON piece (chunk);
CREATE TABLE IF NOT EXISTS object (bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL, content INTEGER NOT NULL, live INTEGER NOT NULL, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, deleted INTEGER, fields TEXT NOT NULL,
    PRIMARY KEY (bucket, name, generation)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS object_live ON object (bucket, name) WHERE live = 1;
CREATE INDEX IF NOT EXISTS object_content ON object (content);
CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL,
    request TEXT NOT NULL, content INTEGER, result TEXT, created INTEGER NOT NULL) WITHOUT ROWID;
"""


class Database:
    """One connection, used from one thread. Statements outside `transaction` commit by themselves."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
        for statement in (*_PRAGMAS, *_SCHEMA.split(";\n")):
            self._connection.execute(statement)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what is raised inside undoes everything and goes on to the caller. An inner one joins."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # on a full disk SQLite has undone it by itself
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def tick(self) -> int:
        """The time in microseconds, but never the same twice nor less than before, whatever the clock does."""
        (last,) = self.execute("SELECT last FROM clock").fetchone()
        now: int = max(time.time_ns() // 1000, last + 1)
        self.execute("UPDATE clock SET last = ?", now)
        return now

    def shrink(self) -> None:
        """Give free pages back to the disk, a few at a time: the log that this takes is short, and cut each time."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        while self.execute("PRAGMA auto_vacuum").fetchone()[0] and self.execute("PRAGMA freelist_count").fetchone()[0]:
            self.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._connection.close()
