"""Where the fits of a search run: here, one after the other, while they are cheap; else in one pool of processes.

The processes are loky's: made afresh rather than forked from a threaded server, and ended with search or parent.
Another joblib backend can be put in by name.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

POOL_START_SECONDS = 4.0
"""What starting processes that import scikit-learn costs; less work than this is done sooner without them."""
PARENT_CHECK_SECONDS = 1.0
LOKY = "loky"

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """`jobs` processes of a joblib `backend`."""

    jobs: int = 1
    backend: str = LOKY

    @contextmanager
    def pool(self, load: Callable[[], object] = lambda: None) -> Iterator["Pool"]:
        """Give a pool, whose processes start with the first run that is worth them and end with the block.

        `load` imports what the work needs: every process of loky's calls it first.
        """
        pool = Pool(self, load)
        try:
            yield pool
        finally:
            pool.close()


class Pool:
    """Runs work here or in processes; these, once started, serve every later run."""

    def __init__(self, workers: Workers, load: Callable[[], object] = lambda: None) -> None:
        self._workers = workers
        self._load = load
        self._started = False

    @property
    def jobs(self) -> int:
        """How many tasks run at a time."""
        return self._workers.jobs

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        seconds: float,
        on_result: Callable[[Task, Result], None] = lambda _task, _result: None,
    ) -> list[Result]:
        """Do `work` on every task and give the results in the order of `tasks`, in which they also begin.

        `seconds`: what all of it is expected to take in one process. `on_result` is called with each task done.
        """
        results = []
        for task, result in zip(tasks, self._results(work, tasks, seconds), strict=True):
            results.append(result)
            on_result(task, result)
        return results

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._started and self._workers.backend == LOKY:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        self._started = False

    def _results(self, work: Callable[[Task], Result], tasks: Sequence[Task], seconds: float) -> Iterable[Result]:
        if self._workers.jobs == 1 or (seconds < POOL_START_SECONDS and not self._started):
            return map(work, tasks)
        self._started = True
        return cast(Iterable[Result], self._parallel()(delayed(work)(task) for task in tasks))

    def _parallel(self) -> Any:
        jobs, backend = self._workers.jobs, self._workers.backend
        options: dict[str, Any] = {}
        if backend == LOKY:
            options = {"inner_max_num_threads": 1, "initializer": _begin, "initargs": (os.getpid(), self._load)}
        return Parallel(n_jobs=jobs, backend=backend, batch_size=1, return_as="generator", **options)


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
