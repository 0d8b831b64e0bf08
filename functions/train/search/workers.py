"""Where the fits of a search run: here, one after the other, while they are cheap; else in one pool of processes.

The processes are loky's, or a Dask cluster's workers. Another joblib backend can be put in by name; what runs there
cannot be ended.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from joblib import Parallel, delayed

from functions.train.search.machines import Machines
from functions.train.search.processes import Limit, Processes
from functions.train.search.remote import RemoteWorkers

POOL_START_SECONDS = 4.0
"""What starting processes that import scikit-learn costs; less work than this is done sooner without them."""
LOKY = "loky"
DASK = "dask"
HERE = "sequential"

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """`jobs` processes of a joblib `backend`. One of loky's is a process too, so that a fit in it can be ended.

    `address`: of the scheduler whose workers do it all, where the backend is Dask; `machines`: on which they run, where
    these are made for the search.
    """

    jobs: int = 1
    backend: str = LOKY
    address: str | None = None
    machines: Machines | None = None

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
        self._processes: Processes | None = None
        self._remote: RemoteWorkers | None = None

    @property
    def jobs(self) -> int:
        """How many tasks run at a time; of a Dask cluster that is known once it is asked for work."""
        return self._workers.jobs if self._remote is None else self._remote.count

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        costs: Sequence[float],
        on_result: Callable[[Task, Result], None] = lambda _task, _result: None,
        limit: Limit[Task, Result] | None = None,
    ) -> list[Result]:
        """Do `work` on every task and give the results in the order of `tasks`, in which they also begin.

        `costs`: the seconds that each is expected to take. `on_result` is called with each task done. `limit` ends, in
        a process, what takes too long.
        """
        results: dict[int, Result] = {}
        for place, result in self._results(work, tasks, costs, limit):
            results[place] = result
            on_result(tasks[place], result)
        return [results[place] for place in range(len(tasks))]

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._processes is not None:
            self._processes.close()
        if self._remote is not None:
            self._remote.close()
        self._processes = self._remote = None

    def _results(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        costs: Sequence[float],
        limit: Limit[Task, Result] | None,
    ) -> Iterable[tuple[int, Result]]:
        jobs, backend, seconds = self._workers.jobs, self._workers.backend, sum(costs)
        if backend == DASK and self._workers.address and (self._remote or seconds >= POOL_START_SECONDS):
            self._remote = self._remote or RemoteWorkers(self._workers.address, self._load, self._workers.machines)
            return self._remote.results(work, tasks, costs, limit)
        if self._processes is None and (seconds < POOL_START_SECONDS or (jobs == 1 and backend != LOKY)):
            return enumerate(map(work, tasks))
        if backend != LOKY:
            parallel: Any = Parallel(n_jobs=jobs, backend=backend, batch_size=1, return_as="generator")
            return enumerate(cast(Iterable[Result], parallel(delayed(work)(task) for task in tasks)))
        if self._processes is None:
            self._processes = Processes(jobs, self._load)
        return self._processes.results(work, tasks, limit)
