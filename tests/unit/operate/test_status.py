"""`make status`: the last training is the last call, whether or not it made a run; what to do next follows from it."""

from typing import get_args

import pytest
from msgspec.structs import replace

from infra.operate import status
from infra.operate.ending import folded
from infra.operate.served import score_of
from shared import layout
from shared.codec import encode
from shared.decisions import Attempt, AttemptStatus
from shared.documents import HoldoutScores
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


def test_a_stage_tells_the_score_that_chose_its_model_with_r2_beside() -> None:
    world = World()
    assert status.look(world.bucket).staging.score is None
    candidate = build(run_id(2))
    manifest = candidate.manifest
    assert score_of(manifest.model) == f"R² {manifest.model.holdout.r2:.4f}"
    houses = replace(manifest.model, scoring="mae", holdout=HoldoutScores(r2=0.9299, mae=40_956.4, rmse=50_247.0))
    assert score_of(houses) == "MAE 40,956, R² 0.9299"
    world.stage(2)
    place = told(world).index(f"staging       {run_id(2)} since {status.look(world.bucket).staging.since}")
    assert told(world)[place + 1].endswith(f"{score_of(manifest.model)} on held-out rows")


@pytest.mark.parametrize("width", [40, 80])
def test_a_line_is_folded_under_its_text_and_no_word_is_broken(width: int) -> None:
    line = (
        "next          production went back from 20261128T152350Z-c004e85f, which staging serves: mend what was wrong"
    )
    first, *rest = folded(line, width, hanging=14).split("\n")
    assert all(len(part) <= width for part in (first, *rest)) and rest
    assert {len(part) - len(part.lstrip()) for part in rest} == {14}
    assert [*first.split(), *" ".join(rest).split()] == line.split()
    address = f"              gs://bucket/{'folder/' * width}"
    assert folded(address, width, hanging=14).split() == address.split()


def test_before_any_candidate_a_refused_call_is_told() -> None:
    world = World()
    attempt(world.bucket, "refused", "no column 'price'")
    assert told(world)[2:4] == ["last training made no run: refused", "              no column 'price'"]
