"""The history that people and functions read: every pointer that served, once, and nothing else."""

from datetime import timedelta

import msgspec
import pytest

from shared import layout, pointers
from shared.codec import encode
from shared.errors import IntegrityError, InvalidDocument, NotPermitted, StorageUnavailable
from tests.candidates import run_id
from tests.unit.validate.world import World

STAGING = layout.pointer("staging")


def served(world: World) -> list[str]:
    return [kept.pointer.run_id for kept in pointers.history(world.bucket, "staging")]


def test_the_pointer_of_now_is_part_of_the_history_whether_or_not_it_is_recorded_yet() -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    assert served(world) == [run_id(1), run_id(2)]
    newest = world.history_keys("staging")[-1]
    world.bucket.delete(newest, if_generation=world.info(newest).generation)
    assert served(world) == [run_id(1), run_id(2)]
    assert pointers.history(world.bucket, "staging")[-1].key == STAGING


def test_other_people_s_files_are_passed_over() -> None:
    world = World()
    world.stage(1)
    world.overwrite("staging/history/notes.txt", b"do not promote on Fridays")
    world.overwrite("staging/history/20260105T000000.000000Z-copy.json", world.bucket.read(STAGING).data)
    assert served(world) == [run_id(1)]


def test_recording_twice_changes_nothing_and_another_marker_is_no_other_entry() -> None:
    world = World()
    world.stage(1)
    pointer = world.pointer("staging")
    assert pointer is not None
    before = world.content()
    pointers.record(world.bucket, pointer, encode(pointer))
    marked = msgspec.structs.replace(pointer, marker_generation=7)
    pointers.record(world.bucket, marked, encode(marked))
    assert world.content() == before
    other = msgspec.structs.replace(pointer, manifest_sha256="0" * 64)
    with pytest.raises(IntegrityError, match="holds something else"):
        pointers.record(world.bucket, other, encode(other))


def test_what_served_at_a_moment() -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    entries = pointers.history(world.bucket, "staging")
    second = entries[1].pointer.promoted_at
    assert pointers.at(entries, second) == entries[1]
    assert pointers.at(entries, second - timedelta(microseconds=1)) == entries[0]
    assert pointers.at(entries, entries[0].pointer.promoted_at - timedelta(seconds=1)) is None


@pytest.mark.parametrize("data", [b"{", b" " * (pointers.MAX_POINTER_BYTES + 1)])
def test_a_pointer_that_is_none_is_refused_without_being_held_whole(data: bytes) -> None:
    world = World()
    world.overwrite(STAGING, data)
    with pytest.raises(InvalidDocument):
        pointers.read_current(world.bucket, "staging")


def test_a_missing_permission_is_told_apart_from_an_outage() -> None:
    from google.api_core.exceptions import Forbidden, ServiceUnavailable

    from shared.store import _translated

    with pytest.raises(NotPermitted), _translated("x"):
        raise Forbidden("storage.objects.delete")
    with pytest.raises(StorageUnavailable) as failure, _translated("x"):
        raise ServiceUnavailable("later")
    assert not isinstance(failure.value, NotPermitted)
