"""The judge at work: what labels and counts do to a challenge, and to the marker of promotions."""

from datetime import timedelta

import pytest

from functions.watch.challenger import operations
from shared import challenges, layout, pointers
from shared.codec import encode
from shared.decisions import Ended, Then
from shared.documents import SCHEMA_VERSION
from shared.monitoring import LATENCY_US, FeatureCounts, LiveBlock, ShadowCounts
from tests.unit.predict.promoted import FIRST, SECOND, by_hand, challenge_of, promote
from tests.unit.watch.world import START, World, labelled, noise, rows

CHALLENGED = START + timedelta(days=8)


def challenged(*, base: float = 60.0, then: Then = "report", days: float = 14.0) -> World:
    """FIRST serves in production; SECOND, of another level, is in staging and is tried beside it."""
    world = World()
    world.serve(FIRST)
    world.now = CHALLENGED
    world.serve(SECOND, "staging", base=base)
    second = promote(world.bucket, "production", SECOND, base=base)
    world.serve(FIRST)
    staged = pointers.read_current(world.bucket, "staging").pointer
    assert staged is not None
    challenge = challenge_of(second, world.now, days, then=then, source=pointers.entry_key(staged))
    assert challenges.write(world.bucket, challenge, replacing=challenges.read_current(world.bucket))
    world.pass_days(1)
    return world


def ended(world: World) -> Ended | None:
    current = challenges.read_current(world.bucket).challenge
    assert current is not None
    return current.ended


def label(world: World, count: int, *, seed: int = 1, name: str = "labels/march.csv") -> None:
    world.label(labelled(rows(count, seed=seed), noise(count, seed=seed + 100)), name)


def test_a_challenger_that_labels_show_worse_is_withdrawn_with_its_figures() -> None:
    world = challenged(base=80.0)
    label(world, 600)
    found = ended(world)
    assert found is not None
    assert found.verdict == "worse"
    assert found.figures["low"] > 0
    assert "R² is +" in found.reason
    assert len(challenges.ended(world.bucket)) == 1
    assert world.bucket.stat(layout.MARKER) is None


def test_the_page_shows_what_the_judge_saw() -> None:
    world = challenged(base=80.0)
    world.look()
    label(world, 600)
    page = world.bucket.read(layout.watch_page("production")).data.decode()
    assert "What is tried beside it" in page
    assert 'class="alarm">worse: withdrawn' in page
    assert page.count("<path") >= 4
    assert "No verdict yet" not in page
    assert world.bucket.read(layout.CHALLENGE_COURSE).data.count(b"[") <= 122


def test_labels_of_before_the_challenge_say_nothing_of_it() -> None:
    world = challenged(base=80.0)
    world.now = CHALLENGED - timedelta(hours=1)
    label(world, 600)
    assert ended(world) is None


def test_few_labels_are_no_verdict() -> None:
    world = challenged(base=80.0)
    label(world, 49)
    assert ended(world) is None


def test_where_the_marker_said_so_what_is_not_worse_is_promoted_by_a_marker() -> None:
    world = challenged(base=60.5, then="promote")
    label(world, 900)
    found = ended(world)
    assert found is not None
    assert found.verdict == "not_worse"
    marker = world.bucket.stat(layout.MARKER)
    assert marker is not None
    assert marker.metadata["by"] == "watch"
    assert marker.metadata["why"].startswith("not worse by more than 0.02")
    assert world.bucket.read(layout.MARKER).data == world.bucket.read(layout.pointer("staging")).data


def test_else_it_is_reported_and_nobody_is_promoted() -> None:
    world = challenged(base=60.5)
    label(world, 900)
    found = ended(world)
    assert found is not None
    assert found.verdict == "not_worse"
    assert world.bucket.stat(layout.MARKER) is None


def test_a_person_who_asks_for_something_is_not_overruled() -> None:
    """A person's marker, perhaps a rollback, has not been acted on yet."""
    world = challenged(base=60.5, then="promote")
    world.bucket.write(layout.MARKER, b"a person's", if_generation=None, content_type="application/json")
    label(world, 900)
    assert ended(world) is None
    assert world.bucket.read(layout.MARKER).data == b"a person's"


def test_another_champion_ends_it_without_a_verdict() -> None:
    world = challenged(base=80.0)
    promote(world.bucket, "production", "20260107T070000Z-0123abcd")
    label(world, 600)
    found = ended(world)
    assert found is not None
    assert found.verdict == "superseded"


def test_one_that_serves_by_now_is_over_with_that_reason() -> None:
    """A person promoted it, or the judge was ended after its marker and before its verdict."""
    world = challenged(base=60.5, then="promote")
    promote(world.bucket, "production", SECOND, base=60.5)
    label(world, 900)
    found = ended(world)
    assert found is not None
    assert (found.verdict, found.reason) == ("superseded", "production serves it by now")


def test_at_the_end_of_its_days_the_champion_stays() -> None:
    world = challenged(base=80.0, days=0.5)
    label(world, 600)
    found = ended(world)
    assert found is not None
    assert found.verdict == "undecided"


def block(
    answered: int = 0,
    faults: int = 0,
    *,
    run_id: str = SECOND,
    hours: float = 1.0,
    slow: int = 2,
    shadow: ShadowCounts | None = None,
) -> LiveBlock:
    """A block of the challenge's time; 2 % of its requests are in the latency bin `slow`."""
    until = CHALLENGED + timedelta(hours=hours)
    latency = [0] * (len(LATENCY_US) + 1)
    latency[0], latency[slow] = answered - answered // 50, answered // 50
    return LiveBlock(
        schema_version=SCHEMA_VERSION,
        run_id=run_id,
        since=until - timedelta(minutes=5),
        until=until,
        requests=answered,
        rows=answered,
        features={},
        prediction=FeatureCounts(),
        refused={},
        answers={"2xx": answered, "fault": faults},
        latency_us=tuple(latency),
        shadow=shadow,
    )


def write(world: World, found: LiveBlock) -> str:
    key = layout.live_block("production", found.run_id, found.until, "0123abcd")
    world.bucket.write(key, encode(found), if_generation=None, content_type="application/json")
    return key


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([block(950, 50)], "faulty"),
        ([block(2000, 2)], None),
        ([block(10_000, 10)], None),
        ([block(10_000, 11)], "faulty"),
        ([block()], None),
        ([block(0, 3)], "faulty"),
        ([block(shadow=ShadowCounts(rows=4096, faults=5, differences=(0,) * 6))], "faulty"),
        ([block(shadow=ShadowCounts(rows=4096, faults=4, differences=(0,) * 6))], None),
        ([block(0, 50, run_id=FIRST)], None),
        ([block(0, 50, hours=-48.0)], None),
        ([block(5000, slow=5), block(5000, run_id=FIRST, slow=2)], "faulty"),
        ([block(5000, slow=3), block(5000, run_id=FIRST, slow=2)], None),
        ([block(900, slow=8), block(5000, run_id=FIRST, slow=2)], None),
    ],
)
def test_one_that_fails_too_often_or_is_surely_slower_is_withdrawn(found: list[LiveBlock], verdict: str | None) -> None:
    challenge = challenges.read_current(challenged().bucket).challenge
    assert challenge is not None
    over = operations(challenge, found, CHALLENGED)
    assert (over.verdict if over else None) == verdict


def test_a_block_of_counts_is_judged_when_it_comes() -> None:
    """The verdict comes within the 300 s of a block and its event."""
    world = challenged()
    write(world, block(1000, run_id=FIRST))
    world.deliver(write(world, block(950, 50)))
    found = ended(world)
    assert found is not None
    assert (found.verdict, found.figures) == ("faulty", {"faults": 50.0, "answers": 1000.0})


def test_the_daily_look_ends_what_is_over_where_no_label_came() -> None:
    world = challenged(days=0.5)
    world.look()
    found = ended(world)
    assert found is not None
    assert found.verdict == "undecided"


def test_the_verdict_is_the_same_whatever_is_delivered_twice() -> None:
    world = challenged(base=80.0)
    label(world, 600)
    before = world.bucket.read(layout.CHALLENGER).data
    world.deliver("labels/march.csv")
    assert world.bucket.read(layout.CHALLENGER).data == before


def test_by_hand_is_what_the_runs_predict() -> None:
    """These figures assume that the labels are FIRST's predictions plus its errors."""
    [row] = rows(1)
    assert by_hand(row) != by_hand(row, 80.0)
