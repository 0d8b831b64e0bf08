"""Alarms ask for a training: once a day, whatever is delivered how often and in which order; none promotes."""

from datetime import timedelta

import numpy as np
import pytest

from functions.watch.alarms import message
from shared import layout
from shared.codec import encode
from shared.documents import SCHEMA_VERSION
from shared.errors import TransientError
from shared.monitoring import Alarm, AlarmKind
from tests.unit.watch.world import FIRST, World


def raised(world: World, number: int, kind: AlarmKind = "drift") -> str:
    """Write an alarm as the daily look does, and return its key."""
    alarm = Alarm(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        stage="production",
        subject=f"feature {number}",
        run_id=FIRST,
        raised_at=world.now,
        message="it moved",
        figures={},
    )
    key = layout.alarm("production", world.now, kind, alarm.subject)
    world.bucket.write(key, encode(alarm), if_generation=0, content_type="application/json")
    return key


def test_a_storm_of_alarms_asks_once_a_day_and_promotes_nothing() -> None:
    world = World()
    before = world.files()
    keys = [raised(world, number) for number in range(1_000)]
    deliveries = [str(key) for key in np.random.default_rng(1).permutation(keys + keys[:500])]
    for key in deliveries:
        world.deliver(key)
    assert world.trainings.asked == 1
    world.pass_days()
    for key in deliveries:
        world.deliver(key)
    assert world.trainings.asked <= 2
    written = {name for name in world.files() if name not in before} - set(keys)
    assert all(name.startswith("locks/retrain/") for name in written), written
    assert len(written) <= 4


@pytest.mark.parametrize("kind", ["silence", "faults", "refusals"])
def test_what_new_data_cannot_end_asks_for_nothing(kind: AlarmKind) -> None:
    world = World()
    world.deliver(raised(world, 1, kind))
    assert (world.trainings.asked, world.bucket.list("locks/")) == (0, [])


def test_labels_that_show_the_model_wrong_ask() -> None:
    world = World()
    world.deliver(raised(world, 1, "performance"))
    assert world.trainings.asked == 1


def test_a_training_that_could_not_be_asked_for_is_asked_for_by_the_next_delivery_of_the_same_alarm() -> None:
    world = World()
    first, second = raised(world, 1), raised(world, 2)
    world.trainings.fails = 1
    with pytest.raises(TransientError):
        world.deliver(first)
    world.deliver(second)  # the day is the first one's
    assert world.trainings.asked == 0
    world.deliver(first)
    world.deliver(first)
    assert world.trainings.asked == 1


def test_an_alarm_that_asked_does_not_ask_again_on_the_next_day() -> None:
    world = World()
    key = raised(world, 1)
    world.deliver(key)
    world.pass_days()
    world.deliver(key)
    assert world.trainings.asked == 1
    world.deliver(raised(world, 2))
    assert world.trainings.asked == 2


def test_an_alarm_that_comes_days_late_or_was_deleted_asks_for_nothing() -> None:
    world = World()
    key = raised(world, 1)
    world.now += timedelta(days=3)
    world.deliver(key)
    gone = raised(world, 2)
    info = world.bucket.stat(gone)
    assert info is not None
    world.bucket.delete(gone, if_generation=info.generation)
    world.deliver(gone, info.generation)
    assert world.trainings.asked == 0


def test_other_objects_of_the_watch_ask_for_nothing() -> None:
    world = World()
    for name in ("watch/production/20260105.json", "watch/production/index.html", "watch/labels/1.parquet", "x"):
        world.bucket.write(name, b"{}", if_generation=0, content_type="application/json")
        assert world.deliver(name) == []


def test_a_published_alarm_is_the_json_of_the_bucket_s() -> None:
    import base64

    import msgspec

    alarm = Alarm(
        schema_version=1,
        kind="drift",
        stage="production",
        subject="lunch",
        run_id=FIRST,
        raised_at=World().now,
        message="lunch moved",
        figures={"p": 1e-9},
    )
    (sent,) = message(alarm)["messages"]
    assert msgspec.json.decode(base64.b64decode(sent["data"]), type=Alarm) == alarm
    assert sent["attributes"]["kind"] == "drift"
