"""Workers of a Dask cluster in the place of processes here: TRAIN_BACKEND=dask, DASK_ADDRESS its scheduler.

What the work needs is sent once, not with each task. A task whose worker dies runs again on another; its result is put
where it belongs by its place, so that neither the number of workers nor their order changes what is found. A fit cannot
be ended there: the search's own deadline bounds it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from shared.errors import TransientError

CONNECT_SECONDS = 30.0

Task = TypeVar("Task")
Result = TypeVar("Result")


class RemoteWorkers:
    """The workers of the scheduler at `address`. Raises TransientError where it does not answer or has none."""

    def __init__(self, address: str, load: Callable[[], object]) -> None:
        from distributed import Client

        try:
            self._client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise TransientError(f"no Dask workers at {address}: {type(error).__name__}; are they running?") from error
        self._client.run(load)

    def results(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Give the place of each task with its result, as they come; tasks begin in their order."""
        from distributed import as_completed

        # A task of its own, not scattered data: the scheduler can make it again where the worker that held it is gone.
        sent = self._client.submit(_same, work, pure=False)
        places = {
            self._client.submit(_do, sent, task, pure=False, priority=-place): place for place, task in enumerate(tasks)
        }
        for future, result in as_completed(list(places), loop=self._client.loop, with_results=True):
            yield places[future], result

    def close(self) -> None:
        """Leave the cluster, which is there for others too."""
        self._client.close()


def _same(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return work


def _do(work: Callable[[Any], Any], task: Any) -> Any:
    return work(task)
