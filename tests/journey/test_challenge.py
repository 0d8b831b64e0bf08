"""A challenge from its marker to its verdict: one that labels show worse and that is withdrawn, one that is promoted.

Validation, serving and the watch are those that are deployed; storage is in memory, events are delivered until there
are none, and time is told.
"""

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from functions.predict.challenger import Challengers
from functions.predict.live.counters import Counters
from infra.operate import history
from shared import challenges, layout
from shared.decisions import Challenge
from shared.documents import Cell
from shared.model_runtime import Model
from tests.candidates import build, publish, run_id
from tests.journey.test_months import Months
from tests.unit.predict.client import JSON, Client
from tests.unit.predict.test_challenger import failing

Row = dict[str, Cell]


def deployment(slope: float) -> Months:
    """Run 1 serves in production, run 2 with another slope in staging."""
    world = Months()
    for minute, steep in ((1, 3.0), (2, slope)):
        publish(world.bucket, build(run_id(minute), slope=steep))
        world.deliver()
        if minute == 1:
            world.put(layout.MARKER, world.bucket.read(layout.pointer("staging")).data)
    assert world.serving("staging") == run_id(2)
    return world


def challenge(world: Months, **terms: str) -> None:
    """Copy staging's pointer to the challenger's marker, as `make challenge` does."""
    data, kind = world.bucket.read(layout.pointer("staging")).data, "application/json"
    world.bucket.write(layout.CHALLENGE_MARKER, data, if_generation=None, content_type=kind, metadata=terms)
    world.deliver()
    world.now += timedelta(hours=1)


def last(world: Months) -> Challenge:
    found = challenges.read_current(world.bucket).challenge
    assert found is not None
    return found


def lived(count: int, slope: float, seed: int) -> tuple[list[Row], list[float]]:
    """Rows that callers send, and their true outcomes where an hour is worth `slope`."""
    random = np.random.default_rng(seed)
    hours, lunch = random.uniform(0, 10, count).round(3), random.choice(["free", "standard"], count)
    rows: list[Row] = [{"hours": float(h), "lunch": str(word)} for h, word in zip(hours, lunch, strict=True)]
    truth = 40.0 + slope * hours + 2.0 * (lunch == "standard") + random.normal(0, 5, count)
    return rows, truth.tolist()


def ask(client: Client, rows: Sequence[Row]) -> Counter[str]:
    """Send each row in a call of its own; count the answers of each arm."""
    answers = [client.post("/predict", json.dumps(row), JSON) for row in rows]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.json()["model"].get("arm", "nobody was divided") for answer in answers)


def service(world: Months) -> Client:
    """The predict service of production, after it has looked at its pointer."""
    made: list[Client] = []
    counters = Counters(
        world.bucket, "production", world.time, world.seconds, tried=lambda: made[0].predictor.challengers.held
    )
    made.append(Client(world.bucket, "production", counters=counters))
    made[0].predictor.challengers = Challengers(world.bucket, "production", clock=world.seconds)
    assert made[0].get("/ready").status_code == 200
    made[0].predictor.look().result(30)
    return made[0]


def label(world: Months, rows: Sequence[Row], truth: Sequence[float], name: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["hours", "lunch", "score"])
    writer.writerows([row["hours"], row["lunch"], value] for row, value in zip(rows, truth, strict=True))
    world.put(f"labels/{name}.csv", text.getvalue().encode())
    world.deliver()


def test_a_challenger_that_life_shows_worse_is_withdrawn_with_its_reason() -> None:
    """The gate judged on old rows. By now an hour is worth less, as the champion predicts."""
    world = deployment(slope=4.0)
    challenge(world, mode="canary", percent="30", by="Ada", why="a better score")
    client = service(world)
    rows, _ = lived(400, 3.0, seed=1)
    arms = ask(client, rows)
    assert 80 <= arms["challenger"] <= 160
    world.now += timedelta(days=1)
    for week in range(3):
        label(world, *lived(200, 3.0, seed=10 + week), f"week-{week}")
    over = last(world).ended
    assert over is not None
    assert (over.verdict, over.figures["low"] > 0) == ("worse", True)
    assert world.serving("production") == run_id(1)
    client.predictor.look().result(30)
    assert ask(client, rows[:20]) == {"nobody was divided": 20}
    told = list(history.listing(world.bucket, "production"))
    assert any("asked by Ada: a better score" in line for line in told)
    assert any(line.strip().startswith("worse at ") for line in told)


def test_a_challenger_that_is_not_worse_is_promoted_where_its_marker_said_so() -> None:
    world = deployment(slope=4.0)
    challenge(world, mode="shadow", then="promote")
    client = service(world)
    rows, _ = lived(60, 4.0, seed=1)
    assert ask(client, rows) == {"nobody was divided": 60}
    client.counters.drain()
    world.now += timedelta(days=1)
    label(world, *lived(300, 4.0, seed=2), "week")
    over = last(world).ended
    assert over is not None
    assert over.verdict == "not_worse"
    assert world.serving("production") == run_id(2)
    pointer = list(history.listing(world.bucket, "production"))
    assert any("asked by watch: not worse by more than" in line for line in pointer)
    client.predictor.look().result(30)
    assert client.get("/meta").json()["run_id"] == run_id(2)


def test_one_that_fails_is_withdrawn_by_its_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is withdrawn within the 300 s of a block, and no caller sees a failure."""
    world = deployment(slope=4.0)
    challenge(world, mode="canary", percent="100")
    client = service(world)
    held = client.predictor.challengers.held
    assert held is not None
    failing(held, monkeypatch, RuntimeError("no such kernel"))
    rows, _ = lived(40, 4.0, seed=1)
    assert ask(client, rows) == {"champion": 40}
    client.counters.drain()
    world.deliver()
    over = last(world).ended
    assert over is not None
    assert (over.verdict, over.figures["faults"]) == ("faulty", 40.0)


def test_one_that_fails_on_a_row_in_twenty_is_withdrawn_within_six_minutes_and_no_caller_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One request a second; the counts are written, delivered and judged, and serving looks, as time passes."""
    world = deployment(slope=4.0)
    challenge(world, mode="canary", percent="50")
    client = service(world)
    held = client.predictor.challengers.held
    assert held is not None
    theirs, graph = held.run.model, Model.run

    def broken(self: Model, numbers: Any, words: Any) -> Any:
        if self is theirs and (numbers[:, 0] < 0.5).any():
            raise RuntimeError("no such kernel")
        return graph(self, numbers, words)

    monkeypatch.setattr(Model, "run", broken)
    began, arms = world.now, Counter[str]()
    rows, _ = lived(420, 4.0, seed=3)
    withdrawn = None
    for number, row in enumerate(rows):
        world.now += timedelta(seconds=1)
        arms += ask(client, [row])
        if number % 15 == 0:
            for thread in [one for one in threading.enumerate() if one.name == "counters"]:
                thread.join()
            world.deliver()
            client.predictor.look().result(30)
            if withdrawn is None and last(world).ended is not None:
                withdrawn = world.now - began
    over = last(world).ended
    assert over is not None
    assert (over.verdict, withdrawn is not None and withdrawn <= timedelta(minutes=6)) == ("faulty", True)
    assert 3 <= over.figures["faults"] <= 0.1 * over.figures["answers"]
    assert arms["challenger"] > 100
    assert ask(client, rows[:20]) == {"nobody was divided": 20}
