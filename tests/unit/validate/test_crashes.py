"""A crash at every single storage call, and promoters that race: the next delivery completes what is left."""

from collections.abc import Callable
from typing import Any

import pytest

from functions.validate import promotion
from shared import layout, pointers
from shared.codec import decode
from shared.decisions import Pointer
from shared.errors import StorageUnavailable, TransientError
from shared.store import CloudStore, ObjectInfo, Store
from tests.candidates import build, run_id
from tests.unit.validate.world import World, made_once, world_of_two
from tests.watched_store import WatchedStore, failing_at, interrupted_at

MANIFEST = layout.candidate(run_id(2), layout.MANIFEST)


@made_once
def waiting_candidate() -> World:
    """Run 1 serves, run 2 is published and its event not yet delivered."""
    world = World()
    world.stage(1)
    world.publish(build(run_id(2)))
    return world


@made_once
def waiting_marker() -> World:
    """Production serves run 1, staging run 2, and the marker asks for run 2."""
    world = world_of_two()
    world.mark_copy(layout.pointer("staging"))
    return world


def calls_of(make: Callable[[], World], name: str) -> int:
    world = make()
    store = WatchedStore(world.bucket)
    world.deliver(name, store=store)
    return len(store.calls)


def require_history_is_what_served(world: World, stage: layout.Stage, runs: list[str]) -> None:
    """One entry a pointer that served, the newest being the pointer of now, each naming the one before."""
    keys = world.history_keys(stage)
    kept = [decode(world.bucket.read(key).data, Pointer, key) for key in keys]
    assert [pointer.run_id for pointer in kept] == runs
    assert [pointer.previous_run_id for pointer in kept] == [None, *runs[:-1]]
    assert world.bucket.read(keys[-1]).data == world.bucket.read(layout.pointer(stage)).data


def crashed(make: Callable[[], World], name: str, number: int, after: bool) -> World:
    """The world in which the delivery of `name` ended at its storage call `number`, or right `after` it."""
    world = make()
    with pytest.raises(StorageUnavailable):
        world.deliver(name, store=failing_at(world.bucket, number, after=after))
    return world


CANDIDATE_CALLS = calls_of(waiting_candidate, MANIFEST)
MARKER_CALLS = calls_of(waiting_marker, layout.MARKER)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, CANDIDATE_CALLS + 1))
def test_a_candidate_survives_a_crash_at_any_call(number: int, after: bool) -> None:
    world = crashed(waiting_candidate, MANIFEST, number, after)
    world.deliver(MANIFEST)
    assert world.serving("staging") == run_id(2)
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2)])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, MARKER_CALLS + 1))
def test_a_marker_survives_a_crash_at_any_call(number: int, after: bool) -> None:
    world = crashed(waiting_marker, layout.MARKER, number, after)
    world.deliver(layout.MARKER)
    assert world.serving("production") == run_id(2)
    require_history_is_what_served(world, "production", [run_id(1), run_id(2)])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, CANDIDATE_CALLS + 1))
def test_a_newer_run_after_a_crash_leaves_a_history_of_what_served(number: int, after: bool) -> None:
    world = crashed(waiting_candidate, MANIFEST, number, after)
    reached = world.serving("staging") == run_id(2)
    world.stage(3)
    world.deliver(MANIFEST)
    served = [run_id(1), run_id(2), run_id(3)] if reached else [run_id(1), run_id(3)]
    require_history_is_what_served(world, "staging", served)


def test_what_is_replaced_is_recorded_before_the_swap_and_what_serves_after_it() -> None:
    cases: list[tuple[Callable[[], World], str, layout.Stage]]
    cases = [(waiting_candidate, MANIFEST, "staging"), (waiting_marker, layout.MARKER, "production")]
    for make, name, stage in cases:
        world = make()
        store = WatchedStore(world.bucket)
        world.deliver(name, store=store)
        changes = [call for call in store.calls if call[0] in ("write", "copy")]
        (before, swap, after) = changes[-3:]
        assert swap == ("write", f"{stage}/current.json")
        assert before[1] == world.history_keys(stage)[0]
        assert after[1] == world.history_keys(stage)[1]
        copies = [key for kind, key in changes if kind == "copy"]
        assert copies[-1] == f"{stage}/{run_id(2)}/manifest.json"


def test_a_swap_that_arrives_after_its_event_was_acknowledged_is_recorded_by_who_replaces_it() -> None:
    """Until then it is the current pointer, which every reader of the history includes."""
    world = waiting_marker()
    first, marker = world.serving("production"), world.info(layout.MARKER).generation
    late: list[Callable[[], ObjectInfo]] = []

    class LeftBehind(WatchedStore):
        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            if name != layout.pointer("production"):
                return super().write(name, data, if_generation=if_generation, **described)
            late.append(lambda: world.bucket.write(name, data, if_generation=if_generation, **described))
            raise StorageUnavailable("killed, with the request on its way")

    with pytest.raises(StorageUnavailable):
        world.deliver(layout.MARKER, marker, LeftBehind(world.bucket))
    world.deliver(layout.MARKER, world.mark(b"refused"))
    assert world.deliver(layout.MARKER, marker)[-1]["reason"] == "marker_replaced"
    late[0]()
    assert (first, world.serving("production")) == (run_id(1), run_id(2))
    served = [kept.pointer.run_id for kept in pointers.history(world.bucket, "production")]
    assert served == [run_id(1), run_id(2)]
    world.stage(3)
    world.promote(layout.pointer("staging"))
    require_history_is_what_served(world, "production", [run_id(1), run_id(2), run_id(3)])


def test_a_pointer_whose_recording_was_cut_off_is_recorded_by_who_replaces_it() -> None:
    world = World()
    world.stage(1)

    def fail(_: int, kind: str, name: str) -> None:
        if kind == "write" and name.startswith("staging/history/") and run_id(2) in name:
            raise StorageUnavailable("killed")

    second = world.publish(build(run_id(2)))
    with pytest.raises(StorageUnavailable):
        world.deliver(second, store=WatchedStore(world.bucket, before=fail))
    assert world.serving("staging") == run_id(2)
    assert world.history("staging") == [run_id(1)]
    world.stage(3)
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2), run_id(3)])
    world.deliver(second)
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2), run_id(3)])


def test_nothing_is_ever_deleted() -> None:
    for make, name in ((waiting_candidate, MANIFEST), (waiting_marker, layout.MARKER)):
        world = make()
        before = set(world.names())
        world.deliver(name)
        assert before <= set(world.names())
    assert not hasattr(Store, "delete")
    assert not hasattr(CloudStore, "delete")


def test_losing_to_a_newer_run_leaves_the_newer_one_and_no_trace_in_the_history() -> None:
    world = waiting_candidate()
    store = interrupted_at(world.bucket, "write", "staging/current.json", lambda: world.stage(3))
    [line] = world.deliver(MANIFEST, store=store)
    assert line["reason"] == "superseded"
    require_history_is_what_served(world, "staging", [run_id(1), run_id(3)])


def test_losing_to_an_older_run_means_deciding_again_and_replacing_it() -> None:
    world = World()
    world.stage(1)
    key = world.publish(build(run_id(3)))
    store = interrupted_at(world.bucket, "write", "staging/current.json", lambda: world.stage(2))
    [line] = world.deliver(key, store=store)
    assert line["reason"] == "promoted"
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2), run_id(3)])


def test_losing_to_an_older_run_that_crashes_right_after_its_swap_leaves_no_trace_either() -> None:
    world = World()
    world.stage(1)
    key = world.publish(build(run_id(3)))
    older = world.publish(build(run_id(2)))

    def crash(_: int, kind: str, name: str) -> None:
        if (kind, name) == ("write", "staging/current.json"):
            raise StorageUnavailable("the swap was made, its answer lost")

    def overtake() -> None:
        with pytest.raises(StorageUnavailable):
            world.deliver(older, store=WatchedStore(world.bucket, after=crash))

    store = interrupted_at(world.bucket, "write", "staging/current.json", overtake)
    [line] = world.deliver(key, store=store)
    assert line["reason"] == "promoted"
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2), run_id(3)])


@pytest.mark.parametrize("number", range(1, CANDIDATE_CALLS + 1))
def test_a_duplicate_delivered_in_the_middle_of_the_first_changes_nothing(number: int) -> None:
    world = waiting_candidate()

    def duplicate(found: int, *_: str) -> None:
        if found == number:
            world.deliver(MANIFEST)

    world.deliver(MANIFEST, store=WatchedStore(world.bucket, before=duplicate))
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2)])


@pytest.mark.parametrize("number", range(1, CANDIDATE_CALLS + 1))
def test_a_newer_run_in_the_middle_always_ends_in_front(number: int) -> None:
    world = waiting_candidate()

    def newer(found: int, *_: str) -> None:
        if found == number:
            world.stage(3)

    world.deliver(MANIFEST, store=WatchedStore(world.bucket, before=newer))
    assert world.serving("staging") == run_id(3)
    assert world.history("staging") in ([run_id(1), run_id(3)], [run_id(1), run_id(2), run_id(3)])


@pytest.mark.parametrize("number", range(1, MARKER_CALLS + 1))
def test_a_newer_marker_in_the_middle_always_wins(number: int) -> None:
    world = waiting_marker()
    [first] = world.history_keys("production")

    def newer(found: int, *_: str) -> None:
        if found == number:
            world.promote(first)

    world.deliver(layout.MARKER, store=WatchedStore(world.bucket, before=newer))
    assert world.serving("production") == run_id(1)


def test_a_write_whose_answer_was_lost_counts_as_done() -> None:
    """The client retries a write after a lost answer and then meets its own object: 412, although it succeeded."""
    world = waiting_candidate()

    class Retrying(WatchedStore):
        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            super().write(name, data, if_generation=if_generation, **described)
            return super().write(name, data, if_generation=if_generation, **described)

    [line] = world.deliver(MANIFEST, store=Retrying(world.bucket))
    assert line["reason"] == "promoted"
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2)])


def test_a_race_that_never_ends_is_given_back_to_the_next_delivery() -> None:
    world = waiting_candidate()
    key = layout.pointer("staging")

    def touched(_: int, kind: str, name: str) -> None:
        if (kind, name) == ("write", key):
            world.overwrite(key, world.bucket.read(key).data)

    with pytest.raises(TransientError, match=f"replaced {promotion.ATTEMPTS} times"):
        world.deliver(MANIFEST, store=WatchedStore(world.bucket, before=touched))
    world.deliver(MANIFEST)
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2)])


def test_an_entry_that_holds_something_else_stops_the_promotion_that_would_lose_what_served() -> None:
    world = waiting_candidate()
    (key,) = world.history_keys("staging")
    world.overwrite(key, world.bucket.read(key).data.replace(b'"passed": true', b'"passed": false', 1))
    (line,) = world.deliver(MANIFEST)
    assert (line["severity"], line["reason"]) == ("ERROR", "integrity")
    assert "holds something else than the pointer that served" in line["message"]
    assert world.serving("staging") == run_id(1)


def test_an_entry_that_differs_in_the_marker_only_counts_as_there() -> None:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    world.promote(layout.pointer("staging"))  # confirmed: the pointer notes the newer marker
    world.stage(2)
    assert world.promote(layout.pointer("staging"))[-1]["reason"] == "promoted"
    assert world.history("production") == [run_id(1), run_id(2)]


def test_moments_of_promotion_increase_even_if_the_clock_goes_back() -> None:
    world = World()
    world.stage(1)
    world.seconds, world.step = -5000, 0
    world.stage(2)
    world.stage(3)
    require_history_is_what_served(world, "staging", [run_id(1), run_id(2), run_id(3)])
