"""History entries of promotions that were killed: completed or withdrawn by the event's next delivery."""

import pytest

from shared import layout
from shared.errors import NotPermitted, StorageUnavailable
from tests.candidates import build, run_id
from tests.unit.validate.world import WatchedStore, World

STAGING, PRODUCTION = layout.pointer("staging"), layout.pointer("production")


def killed_before_the_swap(world: World, name: str, generation: int | None = None) -> None:
    """Deliver, and fail when the pointer is about to be swapped: the history entry is written."""

    def fail(_: int, kind: str, where: str) -> None:
        if kind == "write" and where in (STAGING, PRODUCTION):
            raise StorageUnavailable("killed")

    with pytest.raises(StorageUnavailable):
        world.deliver(name, generation, WatchedStore(world.bucket, before=fail))


def test_a_first_promotion_that_was_killed_is_completed_although_a_spoiled_marker_came_since() -> None:
    world = World()
    world.stage(1)
    first = world.mark_copy(STAGING)
    killed_before_the_swap(world, layout.MARKER, first)
    spoiled = world.mark(b"{}")
    assert world.deliver(layout.MARKER, first)[-1]["reason"] == "promoted"
    assert world.deliver(layout.MARKER, spoiled)[-1]["reason"] == "marker_malformed"
    assert world.serving("production") == run_id(1)
    assert world.history("production") == [run_id(1)]


@pytest.mark.parametrize("first", [True, False], ids=["the first ever", "over an older one"])
def test_what_a_killed_marker_left_is_withdrawn_once_a_newer_marker_was_acted_on(first: bool) -> None:
    world = World()
    world.stage(1)
    if not first:
        world.promote(STAGING)
    world.stage(2)
    older = world.mark_copy(STAGING)
    killed_before_the_swap(world, layout.MARKER, older)
    world.promote(STAGING)
    assert world.deliver(layout.MARKER, older)[-1]["reason"] == "older_marker"
    assert world.history("production") == ([run_id(2)] if first else [run_id(1), run_id(2)])


def test_a_first_run_that_was_killed_and_overtaken_leaves_no_history() -> None:
    world = World()
    older = world.publish(build(run_id(1)))
    killed_before_the_swap(world, older)
    world.stage(2)
    assert world.deliver(older)[-1]["reason"] == "superseded"
    assert world.history("staging") == [run_id(2)]


def test_storage_that_fails_while_withdrawing_is_asked_again_by_the_next_delivery() -> None:
    world = World()
    older = world.publish(build(run_id(1)))
    killed_before_the_swap(world, older)
    world.stage(2)

    def fail(_: int, kind: str, name: str) -> None:
        if kind == "delete":
            raise StorageUnavailable("503")

    with pytest.raises(StorageUnavailable):
        world.deliver(older, store=WatchedStore(world.bucket, before=fail))
    world.deliver(older)
    assert world.history("staging") == [run_id(2)]


def test_a_missing_permission_is_told_apart_from_an_outage() -> None:
    from google.api_core.exceptions import Forbidden, ServiceUnavailable

    from shared.store import _translated

    with pytest.raises(NotPermitted), _translated("x"):
        raise Forbidden("storage.objects.delete")
    with pytest.raises(StorageUnavailable) as failure, _translated("x"):
        raise ServiceUnavailable("later")
    assert not isinstance(failure.value, NotPermitted)
