"""Commands of somebody who may write to one folder: no privileges and, where mounts may be made, a read-only root."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
"""What makes the administrator somebody to whom a closed folder is closed."""

SEALED = """\
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
shift
exec "$@"
"""
"""The folder that stays writable, then the command."""


def sealed(writable: Path) -> Sequence[str]:
    """What is put before a command, so that it may write to nothing but the folder `writable`."""
    if os.geteuid() != 0:
        return ()
    return (*(_mounts(writable) if mounts_may_be_made() else ()), *UNPRIVILEGED)


def _mounts(writable: Path) -> Sequence[str]:
    return ("unshare", "--mount", "sh", "-c", SEALED, "sh", str(writable))


@functools.cache
def mounts_may_be_made() -> bool:
    """Not for people, nor in most containers: there the folders are closed, and the root is as it was."""
    if os.geteuid() != 0:
        return False
    tried = subprocess.run((*_mounts(Path(tempfile.gettempdir())), "true"), capture_output=True, check=False)
    return tried.returncode == 0


def require_sealed(pid: int) -> None:
    """A closed folder is closed to this process; where mounts may be made, its root is read-only."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    assert int(status.split("CapEff:", 1)[1].split()[0], 16) == 0, "it could write wherever it liked"
    if mounts_may_be_made():
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()]
        options = [fields[5].split(",") for fields in mounts if fields[4] == "/"]
        assert options and "ro" in options[-1], "its root is writable"
