"""Workers of a Dask cluster in the place of processes here: TRAIN_BACKEND=dask, DASK_ADDRESS its scheduler.

With DASK_WORKERS their machines are made first. Workers of other code than this are refused: they might find another
model.

Short tasks travel in bundles, and what many of them need, such as the rows of a fold, is sent once, not with each. A
bundle whose worker dies runs again on another; a result is put where it belongs by its place, so that neither the
number of workers nor their order changes what is found. A fit cannot be ended there: the search's own deadline bounds
when it begins.
"""

import io
import math
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
from cloudpickle import Pickler

from functions.train.search.machines import Machines, start
from functions.train.search.processes import Limit
from shared.errors import TransientError

CONNECT_SECONDS = 30.0
MACHINES_SECONDS = 600.0
"""How long to wait for new machines: one starts within a minute, and then fetches an image of half a gigabyte."""
LOOK_SECONDS = 10.0
"""Where nothing comes for so long, it is asked whether anybody is at work."""
LOOKS_ALONE = 12
"""How many looks in a row may find no worker: machines that were taken away may come back."""
BUNDLE_SECONDS = 0.1
"""A bundle is about so much work: sending one and fetching its results takes some milliseconds."""
BUNDLES_PER_WORKER = 4
"""Fewer would leave workers idle at the end, while another has a whole bundle before it."""
SHARED_BYTES = 2**14
"""Larger arrays are sent once, and from worker to worker, instead of with each bundle."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class RemoteWorkers:
    """The workers of the scheduler at `address`, on `machines` that are made first where they are given.

    Raises TransientError where it does not answer, has none or has other code, also later, where a scheduler goes or no
    worker comes back.
    """

    def __init__(self, address: str, load: Callable[[], object], machines: Machines | None = None) -> None:
        from distributed import Client

        self._address = address
        if machines is not None:
            start(machines)
        seconds = CONNECT_SECONDS if machines is None else MACHINES_SECONDS
        try:
            self._client: Any = Client(address, timeout=seconds, set_as_default=False)
            self._client.wait_for_workers(1, timeout=seconds)
            self._require_this_code()
        except (OSError, TimeoutError) as error:
            raise self._gone(error) from error
        self._client.run(load)
        self._arrays: dict[int, tuple[Any, Any]] = {}

    @property
    def count(self) -> int:
        """How many tasks run at a time on the workers of now; at least one is hoped for."""
        try:
            return max(sum(map(int, self._client.nthreads().values())), 1)
        except (OSError, TimeoutError) as error:
            raise self._gone(error) from error

    def results(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        costs: Sequence[float],
        limit: Limit[Task, Result] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Give the place of each task with its result, as they come; tasks begin in their order.

        `costs`: the expected seconds of each. Whatever was on workers that died again and again, as where a fit takes
        more than their memory, is asked for once more, one by one when nothing else runs: only so it is seen which it
        was, and that is `limit.lost`.
        """
        done: SimpleQueue[Any] = SimpleQueue()
        # A task of its own, not scattered data: the scheduler can make it again where the worker that held it is gone.
        sent = self._client.submit(_same, _pickled(work, lambda _array: None), pure=False)

        def submit(places: range) -> Any:
            needed: dict[int, Any] = {}
            pickled = _pickled([tasks[place] for place in places], lambda array: self._sent(array, needed))
            keys, arrays = list(needed), list(needed.values())
            future = self._client.submit(_do, sent, pickled, keys, *arrays, pure=False, priority=-places[0])
            future.add_done_callback(done.put)
            return future

        running = {submit(places): places for places in bundles(costs, self.count)}
        suspects: deque[int] = deque()
        one_by_one = False
        while running or suspects:
            if not running:
                one_by_one, place = True, suspects.popleft()
                running[submit(range(place, place + 1))] = range(place, place + 1)
            for future in self._wait(done):
                places = running.pop(future)
                if limit is None or not _lost(future):
                    yield from zip(places, self._result(future), strict=True)
                elif one_by_one:
                    yield places[0], limit.lost(tasks[places[0]], costs[places[0]], False)
                else:
                    suspects.extend(places)

    def close(self) -> None:
        """Leave the cluster, which is there for others too."""
        self._client.close()

    def _require_this_code(self) -> None:
        ours = _code()
        strangers = [worker for worker, code in self._client.run(_code).items() if code != ours]
        if strangers:
            self.close()
            raise TransientError(
                f"{len(strangers)} Dask workers at {self._address} have other code or libraries than this run, such as "
                f"{strangers[0]}: start them anew"
            )

    def _sent(self, array: Any, needed: dict[int, Any]) -> int:
        """The key by which a bundle asks for `array`; it is kept, so that its id stays its own."""
        key = id(array)
        if key not in self._arrays:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is large is why it is sent once
                self._arrays[key] = (array, self._client.submit(_same, array, pure=False))
        needed[key] = self._arrays[key][1]
        return key

    def _wait(self, done: "SimpleQueue[Any]") -> list[Any]:
        """All that is done by now, at least one."""
        for _ in range(LOOKS_ALONE):
            try:
                found = [done.get(timeout=LOOK_SECONDS)]
            except Empty:
                if self._anybody():
                    return []
                continue
            while not done.empty():
                found.append(done.get())
            return found
        raise self._gone(TimeoutError())

    def _anybody(self) -> bool:
        try:
            return bool(self._client.nthreads())
        except (OSError, TimeoutError) as error:
            raise self._gone(error) from error

    def _result(self, future: Any) -> Any:
        from distributed import CancelledError

        try:
            return future.result()
        except CancelledError as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> TransientError:
        return TransientError(f"no Dask workers at {self._address}: {type(error).__name__}; are they running?")


def bundles(costs: Sequence[float], workers: int) -> list[range]:
    """The places of tasks that travel together: of `costs` (seconds) about BUNDLE_SECONDS each, in their order.

    Where there is little to do the bundles are smaller, so that every worker has BUNDLES_PER_WORKER of them.
    """
    shares = BUNDLES_PER_WORKER * workers
    seconds, count = min(BUNDLE_SECONDS, sum(costs) / shares), max(len(costs) // shares, 1)
    found, start, inside = [], 0, 0.0
    for place, cost in enumerate(costs):
        if place > start and (inside + cost > seconds or place - start == count):
            found.append(range(start, place))
            start, inside = place, 0.0
        inside += cost
    return [*found, range(start, len(costs))] if len(costs) else []


def _lost(future: Any) -> bool:
    """Whether every worker died that was given this one."""
    from distributed import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


class _ArraysApart(Pickler):  # type: ignore[misc]
    """Pickles with the key that `key` gives in the place of each large array."""

    def __init__(self, file: io.BytesIO, key: Callable[[Any], int | None]) -> None:
        super().__init__(file)
        self._key = key

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not np.ndarray or value.nbytes < SHARED_BYTES or value.dtype.hasobject:
            return None
        return self._key(value)


class _ArraysBack(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: dict[int, Any]) -> None:
        super().__init__(file)
        self._arrays = arrays

    def persistent_load(self, key: int) -> Any:
        return self._arrays[key]


def _pickled(value: Any, key: Callable[[Any], int | None]) -> bytes:
    file = io.BytesIO()
    _ArraysApart(file, key).dump(value)
    return file.getvalue()


def _code() -> str:
    """The digest of the code here, also where a source was edited meanwhile."""
    from functions.train.code import code_digest

    return code_digest(loaded_at=math.inf)


def _same(value: Any) -> Any:
    return value


def _do(work: bytes, tasks: bytes, keys: Sequence[int], *arrays: Any) -> list[Any]:
    """The results of a bundle, on a worker."""
    function = pickle.loads(work)  # noqa: S301 (from the search that this worker works for)
    found = _ArraysBack(io.BytesIO(tasks), dict(zip(keys, arrays, strict=True))).load()
    return [function(task) for task in found]
