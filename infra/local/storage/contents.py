"""The bytes of objects, in rows of one MiB: written as they arrive, read as they leave, never whole in memory.

A content is an ordered list of pieces, each a reference to a chunk. Copies share the content and compositions share the
chunks, so neither moves a byte. What nothing refers to any more is dropped with its last reference or, after a crash,
at the next start.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from infra.local.storage import checksums
from infra.local.storage.database import Database

CHUNK_BYTES = 1 << 20


class ContentWriter:
    """Collects bytes and writes a row per full chunk. Nothing counts until `close`."""

    def __init__(self, database: Database, content: int | None = None) -> None:
        self._database = database
        self._buffer = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = 0
        self.content = content
        self.stored = 0

    @property
    def received(self) -> int:
        return self.stored + len(self._buffer)

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            self._store(CHUNK_BYTES)

    def store_multiple_of(self, unit: int) -> None:
        """Keep what is buffered up to a multiple of `unit`, and forget the rest: the client will send it again."""
        keep = (self.received // unit) * unit - self.stored
        if keep > 0:
            self._store(keep)
        self._buffer.clear()

    def close(self, claims: Mapping[str, str]) -> int:
        """The id of the finished content. Raises a Fault where the client's checksums say otherwise."""
        if self._buffer or self.content is None:
            self._store(len(self._buffer))
        md5 = base64.b64encode(self._md5.digest()).decode()
        crc32c = checksums.crc32c_text(self._crc32c)
        checksums.verify(claims, md5=md5, crc32c=crc32c)
        self._database.execute(
            "UPDATE content SET size = ?, md5 = ?, crc32c = ? WHERE id = ?", self.stored, md5, crc32c, self.content
        )
        assert self.content is not None  # noqa: S101
        return self.content

    def resume(self, pieces: Iterator[bytes]) -> None:
        """Take up the checksums after what an earlier process has stored."""
        for data in pieces:
            self._count(data)

    def _store(self, size: int) -> None:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        with self._database.transaction():
            if self.content is None:
                self.content = new_content(self._database)
            if data:
                chunk = self._database.execute("INSERT INTO chunk (data) VALUES (?)", data).lastrowid
                self._database.execute(
                    "INSERT INTO piece VALUES (?, ?, ?, ?)", self.content, self.stored, len(data), chunk
                )
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._md5.update(data)
        self._crc32c = checksums.extend(self._crc32c, data)
        self.stored += len(data)


def new_content(database: Database) -> int:
    """The number of a new, empty content."""
    content = database.execute("INSERT INTO content (size, crc32c) VALUES (0, 'AAAAAA==')").lastrowid
    assert content is not None  # noqa: S101
    return content


class Contents:
    """All contents of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pins: Counter[int] = Counter()

    def writer(self) -> ContentWriter:
        return ContentWriter(self._database)

    def resumed_writer(self, content: int) -> ContentWriter:
        writer = ContentWriter(self._database, content)
        writer.resume(self.read(content, 0, None))
        return writer

    def read(self, content: int, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes from `start` to before `end`, a piece at a time; no query stays open between two of them."""
        while end is None or start < end:
            row = self._database.execute(
                "SELECT position, data FROM piece JOIN chunk ON chunk.id = piece.chunk"
                " WHERE content = ? AND position <= ? AND position + piece.size > ? ORDER BY position DESC LIMIT 1",
                *(content, start, start),
            ).fetchone()
            if row is None:
                return
            position, data = row
            yield data[start - position : None if end is None else end - position]
            start = position + len(data)

    def pin(self, content: int) -> None:
        """Keep the bytes for somebody who reads them, even if the object is deleted meanwhile."""
        self._pins[content] += 1

    def unpin(self, content: int) -> None:
        self._pins[content] -= 1
        self.drop_if_unused(content)

    def concatenate(self, parts: Sequence[int]) -> int:
        """A new content that refers to the chunks of `parts`, in order. Like the real service, it has no MD5."""
        target = new_content(self._database)
        size, crc, components = 0, 0, 0
        for part in parts:
            part_size, part_crc, part_components = self._database.execute(
                "SELECT size, crc32c, COALESCE(components, 1) FROM content WHERE id = ?", part
            ).fetchone()
            self._database.execute(
                "INSERT INTO piece SELECT ?, position + ?, size, chunk FROM piece WHERE content = ?", target, size, part
            )
            crc = checksums.combine(crc, checksums.crc32c_number(part_crc), part_size)
            size, components = size + part_size, components + part_components
        self._database.execute(
            "UPDATE content SET size = ?, crc32c = ?, components = ? WHERE id = ?",
            *(size, checksums.crc32c_text(crc), components, target),
        )
        return target

    def drop_if_unused(self, content: int) -> None:
        """Delete the content if no object, upload or reader refers to it, and its chunks if no other content does."""
        if self._pins[content] > 0:
            return
        del self._pins[content]
        used = self._database.execute(
            "SELECT EXISTS (SELECT 1 FROM object WHERE content = ?1)"
            " OR EXISTS (SELECT 1 FROM upload WHERE content = ?1)",
            content,
        ).fetchone()[0]
        if not used:
            self._drop(content)

    def sweep(self) -> int:
        """Drop what a killed process left unfinished, when the storage starts. Returns how many contents that were."""
        orphans = self._database.execute(
            "SELECT id FROM content WHERE id NOT IN (SELECT content FROM object)"
            " AND id NOT IN (SELECT content FROM upload WHERE content IS NOT NULL)"
        ).fetchall()
        for (content,) in orphans:
            self._drop(content)
        self._database.execute("DELETE FROM chunk WHERE id NOT IN (SELECT chunk FROM piece)")
        return len(orphans)

    def _drop(self, content: int) -> None:
        with self._database.transaction():
            chunks = self._database.execute("SELECT DISTINCT chunk FROM piece WHERE content = ?", content).fetchall()
            self._database.execute("DELETE FROM piece WHERE content = ?", content)
            self._database.execute("DELETE FROM content WHERE id = ?", content)
            for (chunk,) in chunks:
                self._database.execute(
                    "DELETE FROM chunk WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM piece WHERE chunk = ?1)", chunk
                )
