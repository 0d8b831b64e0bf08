"""Room that is kept for deleting: on a full disk even a delete has to write, and the server has to start first.

A file of `BYTES` lies beside the database while there is room. Where the disk is full it is given up, so that what is
there can be read and deleted; new objects are refused with a sentence until there is room again.
"""

import os
import shutil
from pathlib import Path

from infra.local.storage.database import FILE_NAME, Database
from infra.local.storage.faults import Fault

BYTES = 14 * 2**20
"""More than the log of the database, which is moved into its file before anything is given back."""
LOW = 4 * 2**20
"""Below this much free space nothing new is written."""
PLENTY = 4 * BYTES


class Reserve:
    """The reserve of one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / f"{FILE_NAME}.reserve"

    @property
    def free(self) -> int:
        """Bytes that the disk has left."""
        return shutil.disk_usage(self._folder).free

    @property
    def low(self) -> bool:
        """Whether nothing new may be written. What the reserve gave up is for deleting alone."""
        return self.free < (LOW if self._file.exists() else LOW + BYTES)

    def keep(self) -> None:
        """Set the reserve aside, where there is plenty of room for it."""
        if self._file.exists() or self.free < PLENTY:
            return
        try:
            with self._file.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BYTES)
        except OSError:  # somebody else was quicker with the room
            self.use()

    def use(self) -> None:
        """Give the reserve to what is to be written now."""
        self._file.unlink(missing_ok=True)

    def restore(self, database: Database) -> None:
        """Give the disk back what was deleted while it was full, and keep the reserve again."""
        if self.low or not self._file.exists():
            database.shrink()
            self.keep()


def no_room(folder: Path | str) -> Fault:
    """What whoever writes is told."""
    return Fault(
        507,
        "insufficientStorage",
        f"The disk of the local storage ({folder}) is full: delete objects that are not needed, or anything else there",
    )
