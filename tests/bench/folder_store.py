"""A bucket that is a folder, for benches: reads cost what a file costs, and nothing is held in memory."""

import os
from pathlib import Path

from shared.errors import ObjectMissing, ObjectTooLarge, PreconditionFailed
from shared.store import MAX_BYTES, Download, Metadata, ObjectInfo


class FolderStore:
    """Objects as files; every object is at the generation of its modification time in nanoseconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        info = self._live(name, generation)
        if info.size > max_bytes:
            raise ObjectTooLarge(f"{name!r} has more than {max_bytes} bytes")
        return Download((self._folder / name).read_bytes(), info.generation)

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        self._live(name, generation)
        with (self._folder / name).open("rb") as file:
            return os.pread(file.fileno(), max(length, 0), start)

    def stat(self, name: str) -> ObjectInfo | None:
        try:
            found = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        return ObjectInfo(name, found.st_mtime_ns, found.st_size)

    def write(
        self, name: str, data: bytes, *, if_generation: int | None, content_type: str, metadata: Metadata | None = None
    ) -> ObjectInfo:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb" if if_generation == 0 else "wb") as file:
                file.write(data)
        except FileExistsError:
            raise PreconditionFailed(f"{name!r} is there") from None
        return self._live(name, None)

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        data = self.read(source.name, source.generation).data
        return self.write(name, data, if_generation=0, content_type="")

    def list(self, prefix: str) -> list[ObjectInfo]:
        found = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()]
        return [self._live(name, None) for name in sorted(found) if name.startswith(prefix)]

    def _live(self, name: str, generation: int | None) -> ObjectInfo:
        info = self.stat(name)
        if info is None or generation not in (None, info.generation):
            raise ObjectMissing(f"no object {name!r} at generation {generation or 'live'}")
        return info
