"""A function in the memory that its container has: a control group, or where that may not be made, a limit on data."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 2**20
PREDICT_MIB = 512
"""What Terraform gives the predict service where its variables say nothing else."""

ROOT = Path(__file__).resolve().parents[2]
GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.events"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.oom_control"),
)
"""Of version 2, then 1: the folder, the limit, and the file that counts what was ended."""

ENTER = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execvp(sys.argv[2], sys.argv[2:])"
LIMIT = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_DATA, (n, n)); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass
class Room:
    """Where a function runs. `command`: what its own command is started by."""

    mib: int
    command: tuple[str, ...]
    folder: Path | None = None
    counter: str = ""

    def begin(self) -> float:
        """The memory of now in MiB, without files that the system keeps; the peak is counted from here."""
        return self._sum("VmRSS", reset=True)

    def peak(self) -> float:
        """The most memory since `begin`, in MiB."""
        return self._sum("VmHWM")

    def ended(self) -> int:
        """Processes that the kernel ended for memory, as far as somebody counts."""
        if self.folder is None:
            return 0
        text = (self.folder / self.counter).read_text().split()
        counts = dict(zip(text[::2], text[1::2], strict=False))
        return int(counts.get("oom_kill", 0))

    def _processes(self) -> list[int]:
        if self.folder is None:
            return descendants(os.getpid())
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]

    def _sum(self, field: str, *, reset: bool = False) -> float:
        total = 0
        for pid in self._processes():
            with suppress(OSError, StopIteration):
                if reset:
                    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
                lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
        return total / 1024


def own_mib(*, reset: bool = False) -> float:
    """The most memory of this process since it was last `reset`, which gives the memory of now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    field = "VmRSS" if reset else "VmHWM"
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    with suppress(OSError):
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return children + [other for child in children for other in descendants(child)]
    return []


@contextmanager
def memory_room(mib: int) -> Iterator[Room]:
    """A room of `mib`, gone afterwards."""
    for root, limit, counter in GROUPS:
        folder = root / f"torture-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).stat()  # there at once where this is a control group
            (folder / limit).write_text(str(mib * MEBIBYTE))
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            continue
        enter = (sys.executable, "-c", ENTER, str(folder / "cgroup.procs"))
        try:
            yield Room(mib, enter, folder, counter)
        finally:
            with suppress(OSError):
                folder.rmdir()
        return
    yield Room(mib, (sys.executable, "-c", LIMIT, str(mib * MEBIBYTE)))


def allocator() -> dict[str, str]:
    """How the image tells the allocator to work."""
    lines = (ROOT / "functions/predict/Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(r"(MALLOC_\w+)=(\d+)", lines))
