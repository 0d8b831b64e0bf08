"""`make history ALL=1`: what never served stands in its place, with its reasons."""

from datetime import timedelta

import msgspec
import pytest

from infra.operate import history
from infra.operate.served import CannotTell
from shared import layout
from shared.codec import encode
from shared.decisions import Attempt
from tests.candidates import build, publish, run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.world import World


def attempt(store: MemoryStore, status: str, *problems: str, minute: int = 30) -> None:
    at = layout.run_time(run_id(minute)) + timedelta(seconds=1)
    document = Attempt(schema_version=1, ended_at=at, status=status, problems=problems)  # type: ignore[arg-type]
    key = layout.attempt(layout.new_run_id(at))
    store.write(key, encode(document), if_generation=0, content_type="application/json")


@pytest.fixture
def world() -> World:
    """Run 1 serves, run 2 is refused, run 3 is not judged yet; a call of training was refused after that."""
    world = World()
    world.stage(1)
    world.deliver(world.publish(build(run_id(2), slope=0.5)))
    publish(world.bucket, build(run_id(3)))
    attempt(world.bucket, "refused", "line 7: no number", "line 9: no number")
    return world


def test_refused_candidates_and_calls_are_listed_with_their_reasons(world: World) -> None:
    found = list(history.everything(world.bucket, "staging"))
    heads = [line for line in found if not line.startswith(" ")]
    assert len(heads) == 4
    assert [line.split()[0] for line in heads] == sorted(line.split()[0] for line in heads)
    assert sum("refused by the gate" in line and run_id(2) in line for line in heads) == 1
    assert sum("not judged yet" in line and run_id(3) in line for line in heads) == 1
    assert sum("serves now" in line and run_id(1) in line for line in heads) == 1
    call = next(place for place, line in enumerate(found) if "no run  refused by training" in line)
    assert found[call + 1 : call + 3] == ["    line 7: no number", "    line 9: no number"]
    assert any(line.startswith("    score: R² on the held-out rows is") for line in found)


def test_without_all_only_what_served_is_listed(world: World) -> None:
    heads = [line for line in history.listing(world.bucket, "staging") if not line.startswith(" ")]
    assert len(heads) == 1


def test_calls_that_a_run_answers_are_not_listed_twice(world: World) -> None:
    before = list(history.everything(world.bucket, "staging"))
    document = Attempt(schema_version=1, ended_at=layout.run_time(run_id(9)), status="unchanged", run_id=run_id(1))
    key = layout.attempt(layout.new_run_id(document.ended_at))
    world.bucket.write(key, encode(document), if_generation=0, content_type="application/json")
    assert list(history.everything(world.bucket, "staging")) == before


def test_who_asked_and_why_is_told(world: World) -> None:
    data = world.bucket.read(layout.pointer("staging"))
    pointer = msgspec.json.decode(data.data)
    asked = msgspec.json.encode({**pointer, "by": "Ada", "why": "newer data"})
    for key in (layout.pointer("staging"), *world.history_keys("staging")):
        world.bucket.write(key, asked, if_generation=None, content_type="application/json")
    assert "    asked by Ada: newer data" in list(history.listing(world.bucket, "staging"))


def test_an_empty_bucket_says_what_to_do() -> None:
    with pytest.raises(CannotTell, match="nothing was trained yet: make retrain"):
        list(history.everything(MemoryStore(), "staging"))
