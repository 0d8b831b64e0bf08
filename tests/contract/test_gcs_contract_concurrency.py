"""Many clients at once, through the real client library."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions

from tests.contract.objects import ONCE, names, read, write
from tests.local_storage import LocalStorage

THREADS = 8


@pytest.fixture
def buckets(storage: LocalStorage, bucket: Any) -> Iterator[list[Any]]:
    """The same bucket, once for each thread, over connections of its own."""
    clients = [storage.client() for _ in range(THREADS)]
    yield [client.bucket(bucket.name) for client in clients]
    for client in clients:
        client.close()


def test_writes_of_many_threads_all_arrive(buckets: list[Any]) -> None:
    def write_25(thread: int) -> None:
        for number in range(25):
            write(buckets[thread], f"t/{thread}-{number}", b"%d" % number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write_25, range(THREADS)))
    assert len(names(buckets[0], prefix="t/")) == 25 * THREADS


def test_a_race_to_create_has_exactly_one_winner(buckets: list[Any]) -> None:
    barrier = threading.Barrier(THREADS)

    def race(thread: int, name: str) -> int:
        barrier.wait(60)
        try:
            write(buckets[thread], name, b"%d" % thread, if_generation_match=0)
        except exceptions.PreconditionFailed:
            return 0
        return 1

    with ThreadPoolExecutor(THREADS) as pool:
        for round_number in range(20):
            name = f"race/{round_number}"
            assert sum(pool.map(lambda thread, name=name: race(thread, name), range(THREADS))) == 1


def test_a_counter_with_conditional_writes_loses_no_update(buckets: list[Any]) -> None:
    write(buckets[0], "counter", b"0")

    def increment(bucket: Any) -> bool:
        generation = bucket.get_blob("counter", **ONCE).generation
        try:
            value = int(read(bucket, "counter", if_generation_match=generation))
            write(bucket, "counter", b"%d" % (value + 1), if_generation_match=generation)
        except (exceptions.PreconditionFailed, exceptions.NotFound):
            return False
        return True

    def increment_5(thread: int) -> None:
        done = 0
        while done < 5:
            done += increment(buckets[thread])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(increment_5, range(THREADS)))
    assert read(buckets[0], "counter") == b"40"
