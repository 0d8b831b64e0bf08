"""The parts of `make torture` that read files of others: each kind of input by a process of its own, in its memory.

`python -m tests.bench.parsing KIND SECONDS SEED` is such a process; it prints what it saw as JSON.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field

from shared.memory_limit import limit_memory
from tests.bench.bombs import KINDS, Refusals, inputs
from tests.bench.findings import Findings
from tests.bench.memory_room import MEBIBYTE, memory_room, own_mib

MODULE = (sys.executable, "-m", "tests.bench.parsing")
TRAIN_MIB = 4096
VALIDATE_MIB = 1024
FILES_MIB = 2048
"""Of batches and of the watch, which limit themselves below it at their first event."""


def train(seconds: float, seed: int) -> Findings:
    """Tables and specs, read in the memory of train: CSV, Parquet, TOML."""
    return parsing("train", TRAIN_MIB, seconds, seed)


def documents(seconds: float, seed: int) -> Findings:
    """What validate reads of a candidate before anything of it runs: manifests, gzip, ONNX."""
    return parsing("validate", VALIDATE_MIB, seconds, seed, name="documents")


def batch(seconds: float, seed: int) -> Findings:
    """Files of rows, answered in the memory of batches."""
    return parsing("batch", FILES_MIB, seconds, seed)


def watch(seconds: float, seed: int) -> Findings:
    """Files of labels, read in the memory of the watch."""
    return parsing("watch", FILES_MIB, seconds, seed)


def parsing(function: str, mib: int, seconds: float, seed: int, name: str = "") -> Findings:
    """Every kind of input of a function for its share of `seconds`, each by a process of its own."""
    found = Findings(name or function, room_mib=mib)
    kinds = [kind for kind, about in KINDS.items() if about.function == function]
    for kind in kinds:
        with memory_room(mib) as room:
            command = [*room.command, *MODULE, kind, str(seconds / len(kinds)), str(seed)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            found.ended += max(room.ended(), int(ended.returncode != 0))
        seen = Parsed(**json.loads(ended.stdout or "{}"))
        found.inputs += seen.inputs
        found.worst_mib, found.worst_seconds = max(found.worst_mib, seen.mib), max(found.worst_seconds, seen.seconds)
        found.most_mib = max(found.most_mib, seen.most_mib)
        found.bound(f"{kind}: inputs that broke the reader {seen.broke}", len(seen.broke), 0)
        found.bound(f"{kind}: processor seconds for one of {seen.inputs}", seen.seconds, 10.0)
        sys.stdout.write(
            f"  {kind:10} {seen.inputs:6} inputs, {seen.read} of them read;"
            f" worst {seen.mib:.0f} MiB, {seen.seconds:.2f} s\n"
        )
    found.bound("processes ended", found.ended, 0)
    return found


@dataclass
class Parsed:
    """What one process saw of one kind of input; the errors by their type, with the number of the first input."""

    inputs: int = 0
    read: int = 0
    mib: float = 0.0
    seconds: float = 0.0
    most_mib: float = 0.0
    broke: dict[str, int] = field(default_factory=dict)


def parse(kind: str, seconds: float, seed: int) -> Parsed:
    """Read inputs of a kind for `seconds`; memory by the kernel's account of this process, time by its processor's."""
    seen, read = Parsed(), KINDS[kind].read
    if KINDS[kind].function in ("batch", "watch"):
        limit_memory(FILES_MIB * MEBIBYTE)
    end = time.monotonic() + seconds
    for data in inputs(kind, seed):
        before, began = own_mib(reset=True), time.process_time()
        try:
            read(data)
            seen.read += 1
        except Refusals:
            pass
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            seen.broke.setdefault(type(error).__name__, seen.inputs)
        taken, peak = time.process_time() - began, own_mib()
        seen.inputs += 1
        seen.seconds, seen.mib = max(seen.seconds, taken), max(seen.mib, peak - before)
        seen.most_mib = max(seen.most_mib, peak)
        if time.monotonic() > end:
            return seen
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(parse(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))))
