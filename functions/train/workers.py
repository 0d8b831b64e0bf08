"""Where the fits of a search run: here, one after the other, while they are cheap; else in one pool of processes.

The processes are loky's: made afresh rather than forked from a threaded server, and ended with search or parent.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

POOL_START_SECONDS = 4.0
"""What starting processes that import scikit-learn costs; less work than this is done sooner without them."""
PARENT_CHECK_SECONDS = 1.0

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_all(work: Callable[[Task], Result], tasks: Sequence[Task], costs: Sequence[float], jobs: int) -> list[Result]:
    """`work` of each task, in their order. `costs`: expected seconds; the dearest start first."""
    if jobs == 1 or sum(costs) < POOL_START_SECONDS:
        return [work(task) for task in tasks]
    order = sorted(range(len(tasks)), key=lambda index: -costs[index])
    pool = Parallel(
        n_jobs=jobs,
        backend="loky",
        batch_size=1,
        inner_max_num_threads=1,
        initializer=end_with_parent,
        initargs=(os.getpid(),),
    )
    try:
        found = dict(zip(order, pool(delayed(work)(tasks[index]) for index in order), strict=True))
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
    return [found[index] for index in range(len(tasks))]


def end_with_parent(parent: int) -> None:
    """End this process soon after `parent` is gone, however it went; nothing else would tell a busy worker."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
