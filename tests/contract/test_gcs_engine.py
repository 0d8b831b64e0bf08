"""What no request can bring about: a clock that stands still or goes back, and checksums put together from parts."""

import os
import time
from contextlib import closing
from pathlib import Path

import google_crc32c
import pytest

from infra.local.storage.checksums import combine
from infra.local.storage.database import Database


def test_generations_grow_though_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(tmp_path)) as database:
        before = database.tick()
        monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
        assert [database.tick(), database.tick()] == [before + 1, before + 2]
    with closing(Database(tmp_path)) as reopened:
        assert reopened.tick() == before + 3


def test_a_failed_transaction_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        before = database.execute("SELECT last FROM clock").fetchone()
        with pytest.raises(LookupError), database.transaction(), database.transaction():
            database.tick()
            raise LookupError
        assert database.execute("SELECT last FROM clock").fetchone() == before


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1, 1), (3, 1_000_003), (1_000_003, 3)])
def test_checksums_of_parts_combine_to_the_checksum_of_the_whole(sizes: tuple[int, int]) -> None:
    first, second = (os.urandom(size) for size in sizes)
    combined = combine(google_crc32c.value(first), google_crc32c.value(second), len(second))
    assert combined == google_crc32c.value(first + second)
