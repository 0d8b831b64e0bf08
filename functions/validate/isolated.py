"""The process in which a candidate's graph and rows are loaded: within limits of its own, ended from outside.

Arrives on stdin: the work, as `isolation` packed it. Leaves on stdout: one line for each check as soon as it is made,
so that what ended the process is known. It has no credentials and no folder with anything in it.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

MEMORY = 12
"""Exit status of a process that ran into its memory limit."""

FILE_BYTES = 0
"""Nothing is written but answers, and those go through a pipe."""


class Judging(msgspec.Struct, frozen=True):
    """Work: the gate's checks. `opening` and `case` are those of `gate.judge`, as JSON and as MessagePack."""

    opening: bytes
    case: bytes


class Reproducing(msgspec.Struct, frozen=True):
    """Work: the golden rows of a run in `folder`, by its files `model` and `golden`."""

    manifest: bytes
    model: bytes
    golden: bytes
    folder: str


class Failure(msgspec.Struct, frozen=True):
    """What was found wrong, and the code of the error."""

    reason: str
    message: str


def main(kind: str, memory_bytes: int, seconds: int) -> None:
    """Do the work that comes on stdin: `judge` or `reproduce`."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the runtime writes lines of its own
    os.dup2(nowhere, 2)
    try:
        limit(memory_bytes, seconds)
        WORK[kind](sys.stdin.buffer.read(), answers)
    except MemoryError:
        os._exit(MEMORY)
    os._exit(0)  # at once: threads of a runtime that was given something bad may never end


def limit(memory_bytes: int, seconds: int) -> None:
    """Bound this process, and let the kernel end it first where memory is short. Where a limit is not known, the
    others hold."""
    import resource

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    bounds = {
        resource.RLIMIT_DATA: _private_bytes() + memory_bytes,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: FILE_BYTES,
    }
    for name, bound in bounds.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(name, (bound, bound))


def _private_bytes() -> int:
    """What counts against RLIMIT_DATA by now; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)
    except OSError:
        return 0


def _judge(data: bytes, answers: BinaryIO) -> None:
    from functions.validate import gate
    from shared.decisions import Check

    work = msgspec.msgpack.decode(data, type=Judging)
    opening = msgspec.json.decode(work.opening, type=list[Check])
    for check in gate.examine(opening, msgspec.msgpack.decode(work.case, type=gate.Case)):
        _tell(answers, check)


def _reproduce(data: bytes, answers: BinaryIO) -> None:
    from functions.validate.evidence import reproduce
    from shared import layout
    from shared.documents import Manifest
    from shared.errors import PermanentError

    work = msgspec.msgpack.decode(data, type=Reproducing)
    files: Mapping[str, bytes] = {layout.MODEL: work.model, layout.GOLDEN: work.golden}
    try:
        reproduce(msgspec.json.decode(work.manifest, type=Manifest), files, work.folder)
    except PermanentError as error:
        _tell(answers, Failure(error.reason, str(error)))


def _tell(answers: BinaryIO, found: Any) -> None:
    answers.write(msgspec.json.encode(found) + b"\n")


WORK: Mapping[str, Callable[[bytes, BinaryIO], None]] = {"judge": _judge, "reproduce": _reproduce}
