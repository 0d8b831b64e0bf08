"""Where the fits of a search run: here, one after the other, while they are cheap; else in one pool of processes.

The processes are loky's: made afresh rather than forked from a threaded server, and ended with search or parent.
Another joblib backend can be put in by name.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

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

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        order: Sequence[int],
        seconds: float,
        told: Callable[[Task, Result], None] = lambda _task, _result: None,
    ) -> list[Result]:
        """`work` of each task, in their order, started in `order`. `seconds`: expected in all. `told`: of results."""
        found: dict[int, Result] = {}
        for index, result in zip(order, self._results(work, [tasks[index] for index in order], seconds), strict=True):
            found[index] = result
            told(tasks[index], result)
        return [found[index] for index in range(len(tasks))]

    def _results(self, work: Callable[[Task], Result], tasks: Sequence[Task], seconds: float) -> Iterable[Result]:
        if self.jobs == 1 or seconds < POOL_START_SECONDS:
            yield from map(work, tasks)
            return
        try:
            yield from self._pool()(delayed(work)(task) for task in tasks)
        finally:
            if self.backend == LOKY:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)

    def _pool(self) -> Any:
        options: dict[str, Any] = {}
        if self.backend == LOKY:
            options = {"inner_max_num_threads": 1, "initializer": end_with_parent, "initargs": (os.getpid(),)}
        return Parallel(n_jobs=self.jobs, backend=self.backend, batch_size=1, return_as="generator", **options)


def end_with_parent(parent: int) -> None:
    """End this process soon after `parent` is gone, however it went; nothing else would tell a busy worker."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
