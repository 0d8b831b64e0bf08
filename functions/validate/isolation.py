"""Runs what a candidate brings in a process of its own, and ends it: a graph may never end, or take all memory.

`Examiner` is the port. `Apart` is what is deployed; `Here` runs in this process, for tests of everything around it.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from functions.validate import gate, isolated
from functions.validate.evidence import reproduce
from shared import layout
from shared.decisions import Check, Decision
from shared.documents import Manifest
from shared.errors import IntegrityError, InvalidDocument, TransientError

MEBIBYTE = 2**20
FEWEST_SECONDS = 20.0
MOST_SECONDS = 240.0
SECONDS_A_ROW = 0.002
"""Twice what the slowest graph that training exports takes for one row: neighbours among a million cells."""

REPRODUCING_SECONDS = 60.0
REMEMBERED = 1000


class ProcessEnded(TransientError):
    """The process was ended, or ended by itself. `checks`: those that were made before."""

    def __init__(self, message: str, checks: Sequence[Check] = ()) -> None:
        super().__init__(message)
        self.checks = tuple(checks)


class Examiner(Protocol):
    """Runs the graphs and reads the rows of a run."""

    def judge(self, opening: Sequence[Check], case: gate.Case | None) -> Decision:
        """The gate's verdict. Raises ProcessEnded."""

    def reproduce(self, manifest: Manifest, files: Mapping[str, bytes], folder: str) -> None:
        """Require the golden rows. Raises IntegrityError, InvalidDocument, ProcessEnded."""


class Here:
    """An `Examiner` without limits."""

    def judge(self, opening: Sequence[Check], case: gate.Case | None) -> Decision:
        return gate.judge(opening, case)

    def reproduce(self, manifest: Manifest, files: Mapping[str, bytes], folder: str) -> None:
        reproduce(manifest, files, folder)


@dataclass(frozen=True)
class Apart:
    """An `Examiner` that works in one new process each time. `memory_bytes`: what it may take beyond its start."""

    memory_bytes: int
    fewest_seconds: float = FEWEST_SECONDS
    _reproduced: set[bytes] = field(default_factory=set, compare=False)
    """Digests of what was reproduced here: the same bytes do so again."""

    def judge(self, opening: Sequence[Check], case: gate.Case | None) -> Decision:
        if case is None or not gate.may_be_run(case):
            return gate.judge(opening, case)  # loads no graph, so it needs no process
        work = isolated.Judging(msgspec.json.encode(list(opening)), msgspec.msgpack.encode(case))
        rows = case.manifest.dataset.holdout_rows
        seconds = min(max(self.fewest_seconds, rows * SECONDS_A_ROW), MOST_SECONDS)
        lines, ending = self._run("judge", msgspec.msgpack.encode(work), seconds)
        checks = [msgspec.json.decode(line, type=Check) for line in lines]
        if ending:
            raise ProcessEnded(ending, checks)
        return gate.decision(checks)

    def reproduce(self, manifest: Manifest, files: Mapping[str, bytes], folder: str) -> None:
        if layout.MODEL not in files or layout.GOLDEN not in files:
            return reproduce(manifest, files, folder)  # raises: one of the two is missing
        described = msgspec.json.encode(manifest)
        proven = b"".join(
            hashlib.sha256(data).digest() for data in (described, files[layout.MODEL], files[layout.GOLDEN])
        )
        if proven in self._reproduced:
            return None
        work = isolated.Reproducing(described, files[layout.MODEL], files[layout.GOLDEN], folder)
        lines, ending = self._run("reproduce", msgspec.msgpack.encode(work), REPRODUCING_SECONDS)
        if ending:
            raise IntegrityError(f"{folder}: the graph did not reproduce its golden rows: {ending}")
        for line in lines:
            found = msgspec.json.decode(line, type=isolated.Failure)
            kind = IntegrityError if found.reason == IntegrityError.reason else InvalidDocument
            raise kind(found.message)
        if len(self._reproduced) < REMEMBERED:
            self._reproduced.add(proven)
        return None

    def _run(self, kind: str, work: bytes, seconds: float) -> tuple[list[bytes], str]:
        """The complete lines that the process wrote, and how it ended where that was not as it should."""
        start = f"from functions.validate.isolated import main; main({kind!r}, {self.memory_bytes}, {int(seconds) + 5})"
        with _started(start) as process:
            try:
                written, _ = process.communicate(work, timeout=seconds)
                ending = _ending(process.returncode, self.memory_bytes)
            except subprocess.TimeoutExpired:
                process.kill()
                written, _ = process.communicate()
                ending = f"it was ended after {seconds:g} s"
        return written.splitlines()[: written.count(b"\n")], ending


def _started(code: str) -> "subprocess.Popen[bytes]":
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    command = [sys.executable, "-c", code]
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, cwd="/", env=_environment())
    except OSError as error:
        raise TransientError(f"no process can be started: {error.strerror}") from error


def _environment() -> dict[str, str]:
    """No credentials, no address of storage; as many threads as it takes."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _ending(status: int, memory_bytes: int) -> str:
    if status == 0:
        return ""
    if status == isolated.MEMORY:
        return f"it needed more than {memory_bytes // MEBIBYTE} MiB of memory (validate_memory_mib gives more)"
    return f"its process ended by signal {-status}" if status < 0 else f"its process ended with status {status}"
