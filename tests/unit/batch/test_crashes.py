"""Kills at every call, duplicates, events out of order, a promotion in between: one complete answer, bit-equal."""

import random

import pytest

from shared import layout
from shared.errors import StorageUnavailable, TransientError
from shared.store import ObjectInfo
from tests.memory_store import MemoryStore
from tests.unit.batch.world import Answer, BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.promoted import FIRST, SECOND, promote
from tests.watched_store import WatchedStore, failing_at

SETTINGS = {"part_rows": 60, "part_bytes": 2500, "tolerate": 0.05}
SEEDS = 200


def table() -> list[list[str]]:
    found = rows(200)
    found[150][2] = "old"
    return found


DATA = {
    "csv": as_csv(table()),
    "parquet": as_parquet([[*r[:1], "nobody" if n == 150 else r[1], *r[2:]] for n, r in enumerate(rows(200))]),
}


def waiting(kind: str = "csv") -> tuple[BatchWorld, ObjectInfo]:
    """A file is dropped and its event not yet delivered."""
    world = BatchWorld(settings=SETTINGS)
    return world, world.drop(f"scores.{kind}", DATA[kind])


def undisturbed(kind: str) -> tuple[Answer, int]:
    world, info = waiting(kind)
    store = WatchedStore(world.bucket)
    world.deliver(info, store)
    return world.collect(info), len(store.calls)


EXPECTED = {kind: undisturbed(kind) for kind in DATA}


def require_whole(world: BatchWorld, info: ObjectInfo, kind: str) -> None:
    """The answer is there, in every byte what an undisturbed delivery leaves, and each object was written once."""
    assert world.collect(info).files == EXPECTED[kind][0].files


def test_the_answer_that_others_are_compared_with_is_whole() -> None:
    for answer, _ in EXPECTED.values():
        assert (answer.success["rows"], answer.success["refused"]) == (200, 1)
        assert len(answer.parts) >= 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", DATA)
def test_a_crash_at_any_call_is_completed_by_the_next_delivery(kind: str, after: bool) -> None:
    for number in range(1, EXPECTED[kind][1] + 1):
        world, info = waiting(kind)
        try:
            world.deliver(info, failing_at(world.bucket, number, after=after))
        except StorageUnavailable:
            world.deliver(info)
        require_whole(world, info, kind)


@pytest.mark.parametrize("kind", DATA)
def test_a_duplicate_in_the_middle_of_the_first_changes_nothing(kind: str) -> None:
    for number in range(1, EXPECTED[kind][1] + 1):
        world, info = waiting(kind)

        def duplicate(
            found: int, *_: str, number: int = number, world: BatchWorld = world, info: ObjectInfo = info
        ) -> None:
            if found == number:
                world.deliver(info)

        world.deliver(info, WatchedStore(world.bucket, before=duplicate))
        require_whole(world, info, kind)


def test_parts_that_are_written_are_not_written_again() -> None:
    world, info = waiting()
    folder = layout.batch_folder(info.name, info.generation)
    crashed = failing_at(world.bucket, EXPECTED["csv"][1] - 3, after=False)
    with pytest.raises(StorageUnavailable):
        world.deliver(info, crashed)
    there = set(world.collect(info).files)
    again = WatchedStore(world.bucket)
    world.deliver(info, again)
    noted = {name for name in there if name.startswith("progress/")}
    assert len(noted) >= 2
    finished = {f"part-{name[9:14]}.csv" for name in noted}
    assert not (noted | finished) & {name.removeprefix(folder) for kind, name in again.calls if kind == "write"}


@pytest.mark.parametrize("number", range(1, EXPECTED["csv"][1] + 1, 3))
def test_one_run_answers_all_parts_across_a_promotion(number: int) -> None:
    world, info = waiting()

    def promoted(found: int, *_: str) -> None:
        if found == number:
            promote(world.bucket, "production", SECOND, base=10.0)

    with pytest.raises(StorageUnavailable):
        store = failing_at(world.bucket, number + 1, after=False)
        world.deliver(info, WatchedStore(store, before=promoted))
        raise StorageUnavailable("not reached in this many calls")
    world.deliver(info)
    answer = world.collect(info)
    runs = {answer.plan["run_id"], answer.success["run_id"]}
    assert runs in ({FIRST}, {SECOND})
    if runs == {FIRST}:
        require_whole(world, info, "csv")


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "deleted"])
@pytest.mark.parametrize("kind", DATA)
def test_a_file_that_goes_meanwhile_has_one_end_and_never_half_an_answer(kind: str, replaced: bool) -> None:
    ends = set()
    for number in range(1, EXPECTED[kind][1] + 1):
        world, info = waiting(kind)

        def goes(found: int, *_: str, number: int = number, world: BatchWorld = world, info: ObjectInfo = info) -> None:
            if found == number and replaced:
                world.drop(f"scores.{kind}", b"other content")
            elif found == number:
                world.bucket.delete(info.name, if_generation=info.generation)

        world.deliver(info, WatchedStore(world.bucket, before=goes))
        world.deliver(info)
        answer = world.collect(info)
        assert (layout.SUCCESS in answer.files) != (layout.BATCH_REJECTED in answer.files)
        if layout.SUCCESS in answer.files:
            require_whole(world, info, kind)
            ends.add("answered")
        else:
            assert answer.rejection["reason"] == "input_gone"
            ends.add("gone")
    assert ends == {"answered", "gone"}


def test_whoever_finds_the_file_gone_does_not_contradict_whoever_holds_it() -> None:
    """One delivery has read the file to its end, another finds it gone: the first to decide is right."""
    world, info = waiting()

    def gone_for_another(_: int, kind: str, name: str) -> None:
        if kind == "write" and name.endswith(layout.OUTCOME):
            world.bucket.delete(info.name, if_generation=info.generation)
            folder = layout.batch_folder(info.name, info.generation)
            for entry in world.bucket.list(layout.batch_progress(folder)):
                world.bucket.delete(entry.name, if_generation=entry.generation)
            world.deliver(info)

    lines = world.deliver(info, WatchedStore(world.bucket, before=gone_for_another))
    answer = world.collect(info)
    assert lines[-1]["reason"] == answer.rejection["reason"] == "input_gone"
    assert layout.SUCCESS not in answer.files


def test_generations_of_one_name_have_an_answer_each_in_any_order() -> None:
    world = BatchWorld(settings=SETTINGS)
    world.bucket = Versioned()
    promote(world.bucket, "production", FIRST)
    first = world.drop("a.csv", as_csv(rows(50, seed=1)))
    second = world.drop("a.csv", as_csv(rows(60, seed=2)))
    for info in (second, first):
        world.deliver(info)
    assert world.collect(second).success["rows"] == 60
    assert world.collect(first).rejection["reason"] == "input_gone"


class Versioned(MemoryStore):
    """As without versions: what was replaced is gone."""


def disturbed(seed: int, kind: str) -> None:
    """Deliveries that are killed, doubled and interleaved as the seed says, until one ends in an orderly way."""
    chosen = random.Random(seed)  # noqa: S311 - a replayable run of a test
    world, info = waiting(kind)
    calls = EXPECTED[kind][1]

    def deliver(depth: int) -> bool:
        kills, doubles = chosen.randint(1, 2 * calls), chosen.randint(1, 2 * calls)
        lost = chosen.random() < 0.5

        def before(number: int, *_: str) -> None:
            if number == doubles and depth < 3:
                deliver(depth + 1)
            if number == kills and not lost:
                raise StorageUnavailable("killed before the call")

        def after(number: int, *_: str) -> None:
            if number == kills and lost:
                raise StorageUnavailable("killed after the call")

        try:
            world.deliver(info, WatchedStore(world.bucket, before=before, after=after))
        except StorageUnavailable:
            return False
        return True

    promotions = chosen.random() < 0.3
    while not deliver(0):
        if promotions and world.bucket.stat(layout.batch_folder(info.name, info.generation) + layout.PLAN):
            promote(world.bucket, "production", SECOND, base=10.0)
    for _ in range(chosen.randint(0, 2)):
        world.deliver(info)
    require_whole(world, info, kind)


@pytest.mark.parametrize("block", range(4))
def test_seeded_runs_end_in_exactly_one_complete_answer(block: int) -> None:
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        disturbed(seed, "csv" if seed % 2 else "parquet")


def test_a_delivery_that_runs_out_of_time_goes_on_in_the_next_one() -> None:
    world, info = waiting()
    world.clock = map(float, range(10_000)).__next__  # a second a call
    world.settings = {**SETTINGS, "deadline_seconds": EXPECTED["csv"][1] * 0.7}
    deliveries = 0
    while layout.SUCCESS not in world.collect(info).files:
        deliveries += 1
        assert deliveries < 50
        try:
            world.deliver(info)
        except TransientError as error:
            assert "next delivery goes on" in str(error)
    assert deliveries > 1
    require_whole(world, info, "csv")


def test_an_object_that_vanishes_from_the_run_is_no_fault_of_the_file() -> None:
    world, info = waiting()

    def vanish(_: int, kind: str, name: str) -> None:
        if kind == "write" and name.endswith(layout.PLAN):
            key = layout.staged("production", FIRST, layout.MODEL)
            found = world.bucket.stat(key)
            assert found is not None
            world.bucket.delete(key, if_generation=found.generation)

    world.deliver(info, WatchedStore(world.bucket, before=vanish))
    assert world.collect(info).rejection["reason"] == "integrity"
