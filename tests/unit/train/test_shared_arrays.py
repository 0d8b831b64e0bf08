"""Large arrays reach every process as they are, however many threads send them at once."""

import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.train.search.processes import SHARED_BYTES, Processes, SharedArrays

WIDTH = SHARED_BYTES // 8 + 1


def large(number: int) -> NDArray[np.float64]:
    """An array that is shared, each of another length."""
    return np.full(WIDTH + number, float(number))


def made_again(pieces: tuple[Callable[..., Any], tuple[Any, ...]]) -> NDArray[np.float64]:
    make, arguments = pieces
    array: NDArray[np.float64] = make(*arguments)
    return array


def ends(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> list[tuple[int, float, float]]:
    return [(len(array), float(array[0]), float(array[-1])) for array in pair]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writing takes as long as on a busy disk; what was written."""
    save, written = np.save, []

    def saved(path: str, array: NDArray[np.float64]) -> None:
        time.sleep(0.05)
        written.append(path)
        save(path, array)

    monkeypatch.setattr(np, "save", saved)
    return written


def test_arrays_that_are_sent_at_once_are_not_mixed_up(slowly: list[str]) -> None:
    shared, together = SharedArrays(), threading.Barrier(4)
    arrays = [large(number % 3) for number in range(3)]

    def send(number: int) -> NDArray[np.float64]:
        together.wait()
        return made_again(shared.reduce(arrays[number % 3]))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(send, range(4)))
    for number, array in enumerate(found):
        np.testing.assert_array_equal(array, arrays[number % 3])
    assert len(slowly) == len(set(slowly)) == 3, "each is written once"
    shared.close()


def test_every_process_gets_the_arrays_of_its_own_task(slowly: list[str]) -> None:
    processes = Processes(2, int)
    try:
        pairs = [(large(2 * number), large(2 * number + 1)) for number in range(4)]
        found = dict(processes.results(ends, pairs, None))
    finally:
        processes.close()
    assert [found[place] for place in range(4)] == [ends(pair) for pair in pairs]
    assert len(slowly) == 8


def test_a_process_is_not_sent_what_others_were() -> None:
    shared = SharedArrays()
    shared.reduce(large(0))
    assert len(pickle.dumps(shared.reduce)) < 1_000
    shared.close()
