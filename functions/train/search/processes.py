"""Processes of loky's, each of which can be ended by itself, so that a fit that does not end takes nothing else along.

They are made afresh rather than forked from a threaded server, and they end with the search or with the parent.
"""

import gc
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.resource_tracker import ensure_running
from typing import Any, Generic, TypeVar

import numpy as np
from joblib.externals.loky import FIRST_COMPLETED, BrokenProcessPool, Future, ProcessPoolExecutor, wait

PARENT_CHECK_SECONDS = 1.0
SHARED_BYTES = 2**20
"""Larger arrays are written to a file once, which every process maps, instead of sent with each task."""
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limit(Generic[Task, Result]):
    """How many seconds a task may take, and what stands for its result once its process was ended.

    `lost` is called with the task, the seconds that it had, and whether it was ended for being late; otherwise its
    process died, as it does where memory runs out.
    """

    seconds: Callable[[Task], float]
    lost: Callable[[Task, float, bool], Result]


@dataclass(frozen=True)
class _Running:
    place: int
    process: ProcessPoolExecutor
    began: float
    until: float


class Processes:
    """`count` processes, started at once; each calls `load` first, which imports what the work needs."""

    def __init__(self, count: int, load: Callable[[], object]) -> None:
        self._load = load
        self._arrays = SharedArrays()
        self._all = [self._start() for _ in range(count)]
        for began in [_spawn(process) for process in self._all]:
            began.result()
        self._idle = list(self._all)

    def results(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], limit: Limit[Task, Result] | None
    ) -> Iterator[tuple[int, Result]]:
        """Give the place of each task with its result, as they come; tasks begin in their order."""
        waiting = deque(range(len(tasks)))
        running: dict[Future, _Running] = {}
        while waiting or running:
            while waiting and self._idle:
                place, process, now = waiting.popleft(), self._idle.pop(), time.monotonic()
                until = now + limit.seconds(tasks[place]) if limit else float("inf")
                running[process.submit(work, tasks[place])] = _Running(place, process, now, until)
            soonest = min(entry.until for entry in running.values())
            timeout = None if soonest == float("inf") else max(soonest - time.monotonic(), 0.0)
            done, _ = wait(running, timeout, FIRST_COMPLETED)
            now = time.monotonic()
            for future in done or [future for future, entry in running.items() if entry.until <= now]:
                entry = running.pop(future)
                yield entry.place, self._result(future, entry, tasks[entry.place], limit)

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.shutdown(wait=True, kill_workers=True)
        self._all, self._idle = [], []
        self._arrays.close()

    def _result(self, future: Future, entry: _Running, task: Task, limit: Limit[Task, Result] | None) -> Result:
        try:
            result: Result = future.result(timeout=0)
        except (BrokenProcessPool, TimeoutError) as error:
            self._replace(entry.process)
            if limit is None:
                raise
            return limit.lost(task, time.monotonic() - entry.began, isinstance(error, TimeoutError))
        self._idle.append(entry.process)
        return result

    def _replace(self, process: ProcessPoolExecutor) -> None:
        process.shutdown(wait=True, kill_workers=True)
        self._all.remove(process)
        self._all.append(self._start())
        self._idle.append(self._all[-1])
        _spawn(self._all[-1]).result()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1,
            job_reducers={np.ndarray: self._arrays.reduce},
            initializer=_begin,
            initargs=(os.getpid(), self._load),
            env=ONE_THREAD,
        )


class SharedArrays:
    """Large arrays of the tasks, each in a file of a temporary folder.

    Every process is sent its tasks by a thread of its own, so that arrays are written one after the other: two that
    were written at once would take the same name, and one would stand for both.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._written: dict[int, tuple[Any, str]] = {}
        self._writing = threading.Lock()

    def __reduce__(self) -> Any:
        """Empty in a process, which sends no arrays on: loky sends it how tasks are pickled."""
        return SharedArrays, ()

    def reduce(self, array: Any) -> Any:
        """What pickle needs to make `array` again; it is kept, so that its id stays its own."""
        if array.nbytes < SHARED_BYTES or array.dtype.hasobject:
            return array.__reduce__()
        with self._writing:
            if id(array) not in self._written:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="search-")
                path = f"{self._folder.name}/{len(self._written)}.npy"
                np.save(path, array)
                self._written[id(array)] = (array, path)
            return np.load, (self._written[id(array)][1], "r")

    def close(self) -> None:
        """Delete what was written; arrays that a process has open stay readable to it."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder, self._written = None, {}


def _spawn(process: ProcessPoolExecutor) -> Future:
    """Start the process, which inherits that Ctrl-C is blocked: it would print a traceback while it still imports."""
    ensure_running()  # what the standard library starts first would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return process.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int, load: Callable[[], object]) -> None:
    """Prepare a new process. loky collects garbage every second: 0.1 s, unless what was imported is kept out of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends the others
    end_with_parent(parent)
    load()
    gc.freeze()


def end_with_parent(parent: int) -> None:
    """End this process soon after `parent` is gone, however it went; nothing else would tell a busy worker."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
