"""The challenger's marker: what begins a challenge, what is refused and why, how one ends, and replays."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from functions.validate.terms import Terms, read_terms
from shared import challenges, layout
from shared.decisions import Challenge, Ended
from shared.documents import GateSettings
from shared.errors import PipelineError
from tests.candidates import FEATURES, build, run_id
from tests.unit.validate.test_contract import AREA
from tests.unit.validate.world import NOW, World, world_of_two
from tests.watched_store import failing_at

STAGING = layout.pointer("staging")
PRODUCTION = layout.pointer("production")


def running(world: World) -> Challenge:
    found = world.challenger()
    assert found is not None
    assert found.ended is None
    return found


def refusal(world: World, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What was written for the person, checked against the line that was logged."""
    rejection: dict[str, Any] = json.loads(world.bucket.read(layout.CHALLENGE_REJECTED).data)
    assert rejection["marker_generation"] == world.info(layout.CHALLENGE_MARKER).generation
    assert (lines[-1]["severity"], lines[-1]["reason"]) == ("ERROR", rejection["reason"])
    return rejection


def test_a_marker_with_its_terms_begins_a_challenge() -> None:
    world = world_of_two()
    [line] = world.challenge(
        STAGING, mode="canary", percent="10", days="7", then="promote", by="Anna", why="newer data"
    )
    found = running(world)
    assert (line["severity"], line["reason"], line["run_id"]) == ("INFO", "challenge_begun", run_id(2))
    assert (found.run_id, found.champion_run_id) == (run_id(2), run_id(1))
    assert (found.mode, found.percent, found.then) == ("canary", 10.0, "promote")
    assert found.until - found.started_at == timedelta(days=7)
    assert (found.by, found.why) == ("Anna", "newer data")
    assert found.marker_generation == world.info(layout.CHALLENGE_MARKER).generation
    assert world.serving("production") == run_id(1)


def test_the_challengers_files_stand_in_production_before_it_is_named() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    names = {name.rpartition("/")[2] for name in world.names(layout.staged("production", run_id(2)))}
    assert {layout.MODEL, layout.GOLDEN, layout.PROFILE, layout.MANIFEST} <= names
    assert (
        world.info(layout.CHALLENGER).generation
        > world.info(layout.staged("production", run_id(2), layout.MODEL)).generation
    )


def test_what_then_promotes_is_a_pointer_that_stays() -> None:
    """Staging's own pointer may be another run's by the time of the verdict."""
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    source = running(world).source
    assert world.bucket.read(source).data == world.bucket.read(STAGING).data
    world.stage(3)
    [line] = world.promote(source)
    assert (line["reason"], world.serving("production")) == ("promoted", run_id(2))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "no mode"),
        ({"mode": "shadow", "percnet": "10"}, "did you mean 'percent'?"),
        ({"mode": "canary"}, "a canary needs percent"),
        ({"mode": "canary", "percent": "0"}, "above 0, at most 100, found '0'"),
        ({"mode": "canary", "percent": "101"}, "found '101'"),
        ({"mode": "canary", "percent": "ten"}, "found 'ten'"),
        ({"mode": "canary", "percent": "nan"}, "found 'nan'"),
        ({"mode": "canary", "percent": "1e1"}, "found '1e1'"),
        ({"mode": "shadow", "days": "0"}, "days as a number above 0"),
        ({"mode": "shadow", "percent": "5"}, "percent belongs to mode canary"),
        ({"mode": "live"}, "expected mode as shadow, canary or stop, found 'live'"),
        ({"mode": "shadow", "then": "deploy"}, "expected then as report or promote"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused_with_what_is_expected(metadata: dict[str, str], said: str) -> None:
    world = world_of_two()
    rejection = refusal(world, world.challenge(STAGING, **metadata))
    assert rejection["reason"] == "terms_malformed"
    assert said in "; ".join(rejection["problems"])
    assert world.challenger() is None


def test_every_problem_with_the_terms_is_told_at_once() -> None:
    world = world_of_two()
    rejection = refusal(world, world.challenge(STAGING, mode="canary", percent="0", days="x", then="y", wyh="z"))
    assert len(rejection["problems"]) == 4


def test_what_the_tools_write_themselves_is_no_stranger() -> None:
    """gsutil -P keeps a file's times as goog-reserved-…."""
    assert read_terms({"mode": "shadow", "goog-reserved-file-mtime": "1"}) == Terms("shadow", 0.0, 14.0, "report")


def test_a_challenger_equal_to_the_champion_is_refused() -> None:
    world = world_of_two()
    assert refusal(world, world.challenge(PRODUCTION, mode="shadow"))["reason"] == "same_run"


def test_nothing_is_tried_beside_nothing() -> None:
    world = World()
    world.stage(1)
    assert refusal(world, world.challenge(STAGING, mode="shadow"))["reason"] == "no_champion"


def test_a_challenger_that_breaks_callers_is_refused() -> None:
    world = World()
    world.stage(1)
    world.promote(STAGING)
    wider = build(run_id(2), features=(*FEATURES, AREA)).with_manifest(gate=GateSettings(accepts=("field:area",)))
    assert world.deliver(world.publish(wider))[-1]["reason"] == "promoted"
    assert world.deliver(world.publish(build(run_id(3), features=(*FEATURES, AREA))))[-1]["reason"] == "promoted"
    rejection = refusal(world, world.challenge(STAGING, mode="shadow"))
    assert rejection["reason"] == "contract_broken"
    assert "'area'" in rejection["problems"][0]


def test_a_challenger_of_another_table_is_refused() -> None:
    world = world_of_two()
    other = build(run_id(3))
    dataset = msgspec.structs.replace(other.manifest.dataset, name="houses")
    other = other.with_manifest(dataset=dataset, gate=GateSettings(replaces=run_id(2)))
    assert world.deliver(world.publish(other))[-1]["reason"] == "promoted"
    rejection = refusal(world, world.challenge(STAGING, mode="shadow"))
    assert rejection["reason"] == "contract_broken"
    assert "'houses'" in rejection["problems"][0]
    assert world.challenger() is None


def test_a_second_challenge_waits_for_the_end_of_the_first() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    world.stage(3)
    rejection = refusal(world, world.challenge(STAGING, mode="shadow"))
    assert rejection["reason"] == "challenge_running"
    assert run_id(2) in rejection["problems"][0]
    assert running(world).run_id == run_id(2)


def test_a_challenge_is_stopped_and_kept_with_its_reason() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    [line] = world.challenge(STAGING, mode="stop", by="Ben", why="odd figures")
    found = world.challenger()
    assert line["reason"] == "challenge_stopped"
    assert found is not None
    assert found.ended is not None
    assert (found.ended.verdict, found.ended.reason) == ("stopped", "stopped by Ben: odd figures")
    assert challenges.ended(world.bucket) == [found]
    assert world.names(layout.CHALLENGES) == [layout.challenge(found.started_at, found.run_id)]


def test_there_is_nothing_to_stop() -> None:
    world = world_of_two()
    assert refusal(world, world.challenge(STAGING, mode="stop"))["reason"] == "no_challenge"


def test_replays_change_nothing() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    begin = world.info(layout.CHALLENGE_MARKER).generation
    assert world.deliver(layout.CHALLENGE_MARKER, begin)[-1]["reason"] == "unchanged"
    world.challenge(STAGING, mode="stop")
    stop = world.info(layout.CHALLENGE_MARKER).generation
    before = world.content()
    assert world.deliver(layout.CHALLENGE_MARKER, stop)[-1]["reason"] == "unchanged"
    assert world.deliver(layout.CHALLENGE_MARKER, begin)[-1]["reason"] == "older_marker"
    assert world.content() == before


def test_an_old_marker_begins_nothing_where_the_document_is_gone() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    begin = world.info(layout.CHALLENGE_MARKER).generation
    world.challenge(STAGING, mode="stop")
    world.bucket.delete(layout.CHALLENGER, if_generation=world.info(layout.CHALLENGER).generation)
    assert world.deliver(layout.CHALLENGE_MARKER, begin)[-1]["reason"] == "older_marker"


def test_another_champion_ends_a_challenge_and_the_next_one_may_begin() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    world.stage(3)
    world.promote(STAGING)
    found = running(world)
    assert not challenges.in_force(found, world.serving("production"), NOW)
    world.stage(4)
    [line] = world.challenge(STAGING, mode="shadow")
    assert line["reason"] == "challenge_begun"
    [over] = challenges.ended(world.bucket)
    assert over.ended is not None
    assert (over.run_id, over.ended.verdict) == (run_id(2), "superseded")
    assert running(world).run_id == run_id(4)


def test_a_challenge_is_over_after_its_days_whoever_is_asleep() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow", days="2")
    found = running(world)
    champion = world.serving("production")
    assert challenges.in_force(found, champion, found.until - timedelta(seconds=1))
    assert not challenges.in_force(found, champion, found.until)
    over = challenges.why_over(found, champion, found.until)
    assert over is not None
    assert over.verdict == "undecided"


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_the_next_delivery_completes_it(after: bool) -> None:
    number = 1
    while True:
        world = world_of_two()
        world.mark_challenge(STAGING, mode="shadow")
        store = failing_at(world.bucket, number, after=after)
        try:
            world.deliver(layout.CHALLENGE_MARKER, store=store)
        except PipelineError:
            world.deliver(layout.CHALLENGE_MARKER)
        assert running(world).run_id == run_id(2)
        if len(store.calls) < number:
            break
        number += 1
    assert number > 15


def test_of_two_who_end_it_one_does() -> None:
    world = world_of_two()
    world.challenge(STAGING, mode="shadow")
    seen = challenges.read_current(world.bucket)
    ended = Ended(at=NOW, verdict="worse", reason="R² is 0.03 lower", figures={"labels": 700.0})
    assert challenges.end(world.bucket, seen, ended)
    assert not challenges.end(world.bucket, seen, Ended(at=NOW, verdict="stopped", reason="late"))
    found = world.challenger()
    assert found is not None
    assert found.ended == ended


def two_people(minute: int) -> World:
    world = World()
    world.stage(1)
    world.promote(STAGING)
    candidate = build(run_id(minute))
    candidate = candidate.with_manifest(gate=GateSettings(requires=2))
    assert world.deliver(world.publish(candidate))[-1]["reason"] == "promoted"
    return world


def promote(world: World, **metadata: str) -> list[dict[str, Any]]:
    data = world.bucket.read(STAGING).data
    world.bucket.write(layout.MARKER, data, if_generation=None, content_type="application/json", metadata=metadata)
    return world.deliver(layout.MARKER)


def test_where_two_people_are_needed_one_is_not_enough() -> None:
    world = two_people(2)
    [line] = promote(world, by="Anna")
    assert (line["severity"], line["reason"]) == ("INFO", "another_person_needed")
    assert "1 of 2 people have asked" in world.rejection()["problems"][0]
    [line] = promote(world, by=" anna ")
    assert (line["reason"], world.serving("production")) == ("another_person_needed", run_id(1))
    [line] = promote(world, by="Ben", why="looked at the report")
    pointer = world.pointer("production")
    assert pointer is not None
    assert (line["reason"], pointer.run_id, pointer.by, pointer.why) == (
        "promoted",
        run_id(2),
        "Ben",
        "looked at the report",
    )


def test_where_two_people_are_needed_each_says_a_name() -> None:
    world = two_people(2)
    assert promote(world)[-1]["reason"] == "by_missing"


def test_a_challenge_does_not_get_around_the_second_person() -> None:
    world = two_people(2)
    rejection = refusal(world, world.challenge(STAGING, mode="shadow", then="promote"))
    assert rejection["reason"] == "another_person_needed"
    assert world.challenge(STAGING, mode="shadow")[-1]["reason"] == "challenge_begun"


def test_going_back_needs_nobody_else() -> None:
    world = two_people(2)
    promote(world, by="Anna")
    promote(world, by="Ben")
    [line] = world.promote(world.history_keys("production")[0])
    assert (line["reason"], world.serving("production")) == ("promoted", run_id(1))


def test_who_asked_is_one_line_however_it_was_written() -> None:
    world = world_of_two()
    promote(world, by="Anna\n\u202eevil\t", why="x" * 1000)
    pointer = world.pointer("production")
    assert pointer is not None
    assert (pointer.by, len(pointer.why)) == ("Anna evil", 200)
