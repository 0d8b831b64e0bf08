"""`make status`: the last training is the last call, whether or not it made a run; what to do next follows from it."""

from typing import get_args

import pytest

from infra.operate import status
from shared import layout
from shared.codec import encode
from shared.documents import Attempt, AttemptStatus
from tests.candidates import build, run_id
from tests.unit.operate.test_history import attempt
from tests.unit.validate.world import World


@pytest.fixture
def world() -> World:
    """Run 2 serves in staging; nothing was called since."""
    world = World()
    world.stage(2)
    return world


def told(world: World) -> list[str]:
    return list(status.lines(status.look(world.bucket)))


@pytest.mark.parametrize(
    ("ended", "next_step"),
    [
        ("refused", "mend what the last training was refused for"),
        ("failed", "see why the last training made no run"),
        ("later", "see why the last training made no run"),
    ],
)
def test_a_call_that_made_no_run_is_the_last_training_with_its_reasons(
    world: World, ended: str, next_step: str
) -> None:
    attempt(world.bucket, ended, "line 7: no number", "line 9: no number", minute=30)
    found = told(world)
    place = found.index(f"last training made no run: {ended}")
    assert [line.strip() for line in found[place + 1 : place + 3]] == ["line 7: no number", "line 9: no number"]
    assert found[-1].startswith(f"next          {next_step}")
    training = status.look(world.bucket).last_training
    assert training is not None
    assert (training.run_id, training.verdict) == (None, ended)


def test_a_candidate_after_a_call_that_made_none_is_the_last_training(world: World) -> None:
    attempt(world.bucket, "refused", "line 7: no number", minute=1)
    assert f"last training {run_id(2)} passed" in told(world)
    world.deliver(world.publish(build(run_id(3), slope=0.5)))
    assert f"last training {run_id(3)} refused" in told(world)


@pytest.mark.parametrize("ended", sorted({*get_args(AttemptStatus)} - {"refused", "failed", "later"}))
def test_a_call_that_a_run_answers_is_told_by_the_run(world: World, ended: AttemptStatus) -> None:
    at = layout.run_time(run_id(30))
    made = Attempt(schema_version=1, ended_at=at, status=ended, run_id=run_id(2))
    key = layout.attempt(layout.new_run_id(at))
    world.bucket.write(key, encode(made), if_generation=0, content_type="application/json")
    assert f"last training {run_id(2)} passed" in told(world)
    assert told(world)[-1].endswith("make promote")


def test_before_any_candidate_a_refused_call_is_told() -> None:
    world = World()
    attempt(world.bucket, "refused", "no column 'price'")
    assert told(world)[2:4] == ["last training made no run: refused", "              no column 'price'"]
