"""The daily look: counters that were written as the service writes them, alarms that stand and end, bad counters."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from infra.operate.watched import lines, watched
from shared import layout
from shared.codec import decode, encode
from shared.documents import SCHEMA_VERSION
from shared.errors import StorageUnavailable
from shared.monitoring import Alarm, FeatureLook, LiveBlock, WatchReport
from shared.two_samples import ALARM_P
from tests.memory_store import MemoryStore
from tests.unit.watch.world import FIRST, SECOND, World, rows

FREE = {"standard": 0.435, "free/reduced": 0.515, "": 0.05}
"""A fifth of all rows moved to the free lunch."""


@pytest.fixture
def world() -> World:
    made = World()
    made.serve()
    return made


def day(world: World, count: int, seed: int = 1, blocks: int = 8, **moved: Any) -> list[dict[str, Any]]:
    """Let callers ask for a day, look at it on the next morning, and return the lines of that look."""
    if count:
        world.ask(rows(count, seed, **moved), blocks=blocks)
    world.pass_days()
    return world.look()


def report(world: World) -> WatchReport:
    keys = [info.name for info in world.bucket.list(layout.watch_report("production")) if info.name.endswith(".json")]
    return decode(world.bucket.read(keys[-1]).data, WatchReport, keys[-1])


def feature(world: World, name: str) -> FeatureLook:
    return next(entry for entry in report(world).features if entry.name == name)


def test_a_quiet_day_is_looked_at_and_alarms_nobody(world: World) -> None:
    lines = day(world, 1_000)
    assert [line["reason"] for line in lines if line["stage"] == "production"] == ["looked"]
    found = report(world)
    assert {entry.name for entry in found.features} == {
        *("gender", "age", "race_ethnicity", "parental_level_of_education", "lunch", "hours", "(prediction)")
    }
    assert all(entry.p is not None for entry in found.features if entry.name != "(prediction)")
    assert (found.traffic[-1].rows, found.traffic[-1].p99_ms) == (1_000, 2.0)
    assert [entry.name for entry in found.features if entry.alarms and entry.name != "(prediction)"] == []


def test_a_share_that_moved_alarms_on_the_next_morning(world: World) -> None:
    lines = day(world, 1_000, lunch=FREE)
    told = {line["subject"]: line for line in lines if line["severity"] == "ERROR"}
    assert told["lunch"]["reason"] == "drift"
    assert told["lunch"]["stage"] == "production"
    alarm = decode(world.bucket.read(told["lunch"]["key"]).data, Alarm, "alarm")
    since = world.now.date() - timedelta(days=1)
    assert f"'standard' is 43% of 1,000 live rows since {since.isoformat()}, and was " in alarm.message
    assert alarm.figures["p"] < ALARM_P
    assert alarm.run_id == FIRST
    assert alarm in world.heard.alarms


def test_an_alarm_stands_without_being_raised_again_and_ends_where_a_look_finds_nothing(world: World) -> None:
    day(world, 1_000, lunch=FREE)
    raised = [key for key in world.alarms() if key.endswith("-lunch.json")]
    assert len(raised) == 1
    assert [line for line in day(world, 1_000, 2, lunch=FREE) if line.get("subject") == "lunch"] == []
    assert [alarm.key for alarm in report(world).alarms if alarm.subject == "lunch"] == raised
    day(world, 30, 3)  # too few for a look: nothing says that it has ended
    assert "lunch" in [alarm.subject for alarm in report(world).alarms]
    for seed in range(4, 8):
        day(world, 1_000, seed)
    assert "lunch" not in [alarm.subject for alarm in report(world).alarms]
    day(world, 1_000, 20, lunch=FREE)
    assert len([key for key in world.alarms() if key.endswith("-lunch.json")]) == 2


def test_rows_of_quiet_days_gather_until_there_are_enough(world: World) -> None:
    for number in range(3):
        day(world, 60, number, blocks=1)
        assert feature(world, "gender").p is None
    assert feature(world, "gender").rows == 180
    day(world, 60, 9, blocks=1)
    found = feature(world, "gender")
    assert (found.rows, found.p is not None) == (240, True)
    day(world, 60, 10, blocks=1)
    assert feature(world, "gender").rows == 60, "a look begins anew"


def test_a_day_that_was_looked_at_is_completed_and_not_looked_at_again(world: World) -> None:
    day(world, 1_000, lunch=FREE)
    before = world.files("watch/production/2")
    (key,) = [key for key in world.alarms() if key.endswith("-lunch.json")]
    lines = world.look()
    assert [line for line in lines if line["severity"] == "ERROR"] == []
    assert world.files("watch/production/2") == before
    info = world.bucket.stat(key)
    assert info is not None
    world.bucket.delete(key, if_generation=info.generation)  # as if the first delivery had been killed before it
    assert [line["subject"] for line in world.look() if line["severity"] == "ERROR"] == ["lunch"]


def test_another_run_is_compared_with_its_own_training(world: World) -> None:
    day(world, 1_000, lunch=FREE)
    world.serve(SECOND)
    day(world, 60)
    found = report(world)
    assert found.run_id == SECOND
    assert [alarm for alarm in found.alarms if alarm.kind == "drift"] == []
    assert found.traffic[-1].rows == 60


def test_silence_is_told_where_such_days_had_calls_and_ends_with_the_next(world: World) -> None:
    for number in range(28):
        day(world, 20 if world.now.weekday() < 5 else 0, number, blocks=1)
    assert [alarm for alarm in report(world).alarms if alarm.kind == "silence"] == [], "weekends were always silent"
    lines = day(world, 0)
    assert [line["reason"] for line in lines if line["severity"] == "ERROR"] == ["silence"]
    assert [line for line in day(world, 0) if line["severity"] == "ERROR"] == [], "it stands"
    day(world, 20, blocks=1)
    assert [alarm for alarm in report(world).alarms if alarm.kind == "silence"] == []


def rewritten(world: World, **changes: Any) -> None:
    """Rewrite today's blocks of counters with other contents."""
    for info in world.bucket.list(layout.live_folder("production", FIRST, layout.day(world.now))):
        block = decode(world.bucket.read(info.name).data, LiveBlock, info.name)
        spoiled = encode(msgspec.structs.replace(block, **changes))
        world.bucket.write(info.name, spoiled, if_generation=None, content_type="application/json")


def test_refusals_and_faults_alarm_against_the_first_week(world: World) -> None:
    for number in range(9):
        world.ask(rows(300, number), blocks=4)
        bad = {"refused": {"unknown_category": {"lunch": 40}}, "answers": {"2xx": 75, "5xx": 25}}
        rewritten(world, **(bad if number == 8 else {"answers": {"2xx": 75}}))
        world.pass_days()
        lines = world.look()
        if number < 8:
            assert report(world).alarms == ()
    told = {line["reason"]: line["subject"] for line in lines if line["severity"] == "ERROR"}
    assert told == {"refusals": "(refusals)", "faults": "(faults)"}


def newer(block: bytes) -> bytes:
    return encode(msgspec.structs.replace(decode(block, LiveBlock, "a block"), schema_version=SCHEMA_VERSION + 1))


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half of it": lambda block: block[: len(block) // 2],
    "all but its end": lambda block: block.rstrip()[:-1],
    "of a newer version, and sound otherwise": newer,
    "of a newer version, with what this one does not know": lambda _: b'{"schema_version": 9, "sketch": "AAAA"}',
    "another document": lambda _: b'{"schema_version": 1}',
    "a list": lambda _: b"[]",
}


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_a_block_that_cannot_be_read_is_noted_and_the_others_count(world: World, name: str) -> None:
    world.ask(rows(300), blocks=3)
    (info, *_) = world.bucket.list(layout.live_folder("production", FIRST))
    key = layout.live_block("production", FIRST, world.now, "bad00000")
    spoiled = SPOILED[name](world.bucket.read(info.name).data)
    world.bucket.write(key, spoiled, if_generation=None, content_type="application/json")
    world.pass_days()
    world.look()
    found = report(world)
    assert found.traffic[-1].rows == 300
    assert "1 block(s) could not be read" in found.notes[0]


def test_counters_of_a_run_that_is_gone_are_passed_over(world: World) -> None:
    """An instance that has not yet followed the pointer leaves whole blocks of the old run."""
    world.ask(rows(300), blocks=3)
    (info, *_) = world.bucket.list(layout.live_folder("production", FIRST))
    gone = "20250101T000000Z-deadbeef"
    block = msgspec.structs.replace(decode(world.bucket.read(info.name).data, LiveBlock, info.name), run_id=gone)
    key = layout.live_block("production", gone, world.now, "0")
    world.bucket.write(key, encode(block), if_generation=None, content_type="application/json")
    world.pass_days()
    world.look()
    assert (report(world).run_id, report(world).traffic[-1].rows) == (FIRST, 300)
    assert {entry.rows for entry in report(world).features} == {300}


def test_a_feature_that_a_block_counted_by_other_cells_is_left_out_of_it(world: World) -> None:
    world.ask(rows(300), blocks=3)
    (info, *_) = world.bucket.list(layout.live_folder("production", FIRST))
    block = decode(world.bucket.read(info.name).data, LiveBlock, info.name)
    other = {**block.features, "gender": msgspec.structs.replace(block.features["gender"], counts=(1, 2, 3))}
    changed = encode(msgspec.structs.replace(block, features=other))
    world.bucket.write(info.name, changed, if_generation=None, content_type="application/json")
    world.pass_days()
    world.look()
    assert feature(world, "gender").rows == 200
    assert feature(world, "lunch").rows == 300


def test_a_block_dated_in_the_future_waits_for_its_day(world: World) -> None:
    world.pass_days(10)
    world.ask(rows(300))
    world.pass_days(-10)
    day(world, 50, blocks=1)
    assert report(world).traffic[-1].rows == 50


def test_no_value_of_a_row_is_in_counters_reports_alarms_or_pages(world: World) -> None:
    """Numbers as they were sent; trained categories are the model's own words, and stand in the page alone."""
    sent = rows(400, 3, lunch=FREE)
    world.ask(sent)
    world.pass_days()
    lines = world.look()
    assert world.alarms()
    whole = b"".join(data for name, data in world.files().items() if name.startswith(("live/", "watch/")))
    whole += json.dumps(lines).encode()
    assert [row["age"] for row in sent if repr(row["age"]).encode() in whole] == []
    live = b"".join(world.files("live/").values()).decode()
    assert [word for row in sent for word in row.values() if isinstance(word, str) and f'"{word}"' in live] == []


@pytest.mark.parametrize("wrong", ["20261399", "yesterday", "20260105; rm", "20990101"])
def test_a_day_that_is_none_or_not_over_is_refused(world: World, wrong: str) -> None:
    assert [line["reason"] for line in world.look(wrong)] == ["invalid_event"]


def test_a_stage_that_serves_nothing_has_a_report_that_says_so() -> None:
    world = World()
    world.look()
    assert report(world).notes == ("the stage serves nothing",)
    assert list(lines([watched(world.bucket, "production", None)], "bucket")) == [], "and make status nothing of rows"


def test_an_outage_is_raised_so_that_the_call_comes_again(world: World) -> None:
    class Down(MemoryStore):
        def list(self, prefix: str) -> Any:
            raise StorageUnavailable("503")

    world.store = Down()
    with pytest.raises(StorageUnavailable):
        world.look()


def test_the_page_says_what_stands_and_shows_both_shares(world: World) -> None:
    day(world, 1_000, lunch=FREE)
    page = world.bucket.read(layout.watch_page("production")).data.decode()
    assert "stand" in page
    assert "free/reduced" in page
    assert "<script" not in page
    assert "2026-01-05" in page
    day(world, 1_000, 2)
    assert "2026-01-06" in world.bucket.read(layout.watch_page("production")).data.decode()
    world.look("20260105")  # an older day does not replace a newer page
    assert "2026-01-06" in world.bucket.read(layout.watch_page("production")).data.decode()


def test_weekends_that_always_were_so_are_no_alarm_once_eight_weeks_are_over(world: World) -> None:
    """The rows of the days are counted in their blocks, as the service would have, and looked at on each morning."""
    other = {"standard": 0.45, "free/reduced": 0.5, "": 0.05}
    usual = {"standard": 0.69, "free/reduced": 0.26, "": 0.05}  # a week as a whole is as training saw it
    world.now = world.now.replace(day=5)  # a Monday
    raised: dict[int, list[str]] = {}
    for number in range(70):
        lines = day(world, 400, number, blocks=1, lunch=other if world.now.weekday() >= 5 else usual)
        raised[number] = [line["subject"] for line in lines if line["severity"] == "ERROR"]
    assert "lunch" in raised[5], "on the first Saturday nobody can know"
    known = {number for number in raised if number >= 56}
    assert [number for number in known if "lunch" in raised[number]] == []
    (found,) = [entry for entry in report(world).features if entry.name == "lunch"]
    assert (found.usual, found.alarms, found.p is not None and found.p < ALARM_P) == (True, False, True)
    assert "as on such weekdays" in world.bucket.read(layout.watch_page("production")).data.decode()
    lines = day(world, 1_000, 99, blocks=1, lunch=other)  # a Monday as a Saturday
    assert "lunch" in [line["subject"] for line in lines if line["severity"] == "ERROR"]


@pytest.mark.parametrize("stage", layout.STAGES)
def test_counters_that_take_more_memory_than_there_is_are_told_and_the_other_stage_is_looked_at(
    stage: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(stage="staging")
    for one in layout.STAGES:
        world.ask(rows(100), one)
    world.pass_days()
    read = MemoryStore.read

    def within_memory(self: MemoryStore, name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith(f"live/{stage}/"):
            raise MemoryError
        return read(self, name, *arguments, **options)

    monkeypatch.setattr(MemoryStore, "read", within_memory)
    said = {line.get("stage", ""): line for line in world.look()}
    assert said[""]["message"] == f"what live/{stage}/ counts takes more memory than there is"
    assert (said[""]["severity"], said[""]["reason"]) == ("ERROR", "integrity")
    assert {name for name in said if name} == {*layout.STAGES} - {stage}


def test_an_event_that_takes_more_memory_than_there_is_is_told_and_not_delivered_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beyond(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("functions.watch.main.take_labels", beyond)
    (line,) = world.label(b"age\n1\n")
    assert (line["severity"], line["reason"]) == ("ERROR", "too_large")
