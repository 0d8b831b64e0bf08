"""An object of the bucket as a file that is read in stretches: memory does not depend on how large it is."""

import io
from dataclasses import dataclass

from functions.batch.rows import BatchRefused
from shared.batches import BatchInput
from shared.errors import ObjectMissing
from shared.store import Store

READ_BYTES = 4 * 2**20
"""Bytes of one request."""
LONGEST_LINE = 8 * 2**20


def gone() -> BatchRefused:
    """The refusal of a file that was replaced or deleted before it was read to its end."""
    return BatchRefused("input_gone", ["the file was replaced or deleted before it was answered; upload it again"])


@dataclass(frozen=True)
class StoredFile:
    """Exactly the generation that was dropped, whatever is live by now."""

    store: Store
    input: BatchInput

    def read(self, start: int, length: int) -> bytes:
        """Bytes from `start` on. Raises BatchRefused where this generation is gone."""
        wanted = min(length, self.input.size - start)
        try:
            return self.store.read_range(self.input.name, self.input.generation, start, wanted)
        except ObjectMissing:
            raise gone() from None

    def lines_until_break(self, start: int, wanted: int) -> bytes:
        """Whole lines of about `wanted` bytes from `start` on; the rest of the file where no line ends in it.

        Raises BatchRefused for a line that is longer than any may be, of which no more than that is held.
        """
        found = self.read(start, wanted)
        while start + len(found) < self.input.size:
            end = found.rfind(b"\n")
            if end >= 0:
                return found[: end + 1]
            if len(found) > LONGEST_LINE:
                problem = f"no line ends within {LONGEST_LINE} bytes from byte {start} on"
                raise BatchRefused("malformed_csv", [problem])
            more = self.read(start + len(found), wanted)
            if not more:
                break
            found += more
        return found


class SeekableFile(io.RawIOBase):
    """`StoredFile` as pyarrow reads Parquet: the footer first, then stretches of columns."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        """Bytes of the whole."""
        return self._file.input.size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.input.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._file.input.size - self._position if size is None or size < 0 else size
        found = self._file.read(self._position, wanted)
        self._position += len(found)
        return found
