"""One time left for the whole run: near the truth at any moment of recorded runs, and lower with the clock."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from functions.train.bars import Bars
from functions.train.search.fits import Measured, Task
from functions.train.search.folds import Fold
from functions.train.search.schedule import Pace, Trial, run_trials
from functions.train.search.search import SearchPlan, search
from functions.train.search.searched import finishing_seconds
from functions.train.search.time_left import Ahead, TimeLeft, in_words
from functions.train.search.zoo import MODEL_ZOO
from shared.dataset import TuningSpec
from tests.unit.train.test_race import folds

RECORDED = Path(__file__).parent / "schedules"
"""What real runs told of their progress, with the seconds since they began: the sample, 8,000 rows of 20 columns within
60 s, and 220 rows of 1,500 columns within 60 s, on two processors that others used too."""


class Clock:
    """A clock that shows the time that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def moments(calls: list[list[Any]]) -> Iterator[tuple[float, float]]:
    """Pairs of the time left that was told and the true one, right before every call and halfway to it."""
    clock, end = Clock(), calls[-1][0]
    told = TimeLeft(clock)
    for moment, what, *given in calls:
        for now in ((clock.now + moment) / 2, moment):
            clock.now = now
            seconds = told.seconds()
            if seconds is not None:
                yield seconds, end - now
        if what == "begin":
            told.begin()
        elif what == "expect":
            told.expect(Ahead(*given))
        elif what == "advance":
            told.advance(*given)


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
def test_the_time_told_is_near_the_true_one_at_any_moment_of_a_recorded_run(file: Path) -> None:
    found = list(moments(json.loads(file.read_text())))
    assert len(found) > 50
    far = [(told, true) for told, true in found if not true / 2 - 5 <= told <= true * 2 + 5]
    assert far == []


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
def test_the_time_told_gets_better_in_the_course_of_a_run(file: Path) -> None:
    found = list(moments(json.loads(file.read_text())))
    whole = max(true for _, true in found)
    early, late = ([abs(t - true) for t, true in found if (true > whole / 2) is half] for half in (True, False))
    assert sum(late) / len(late) < sum(early) / len(early) + 1.0


def test_the_recordings_are_there() -> None:
    assert len(list(RECORDED.glob("*.json"))) == 3


def test_the_time_goes_down_with_the_clock_and_the_pace_that_is_seen_holds_for_what_comes_later() -> None:
    clock = Clock()
    told = TimeLeft(clock)
    assert told.seconds() is None
    told.expect(Ahead(work=100.0, jobs=2, later=12.0, finishing=8.0))
    assert told.seconds() == pytest.approx(70.0)
    clock.now = 5.0
    assert told.seconds() == pytest.approx(65.0)
    clock.now = 150.0
    told.advance(90.0)
    assert told.seconds() == pytest.approx((5 + 20) * 150 / 45, rel=0.25)
    clock.now = 1_000.0
    assert told.seconds() == 0.0


class Told:
    """A progress that keeps the times that it was told."""

    def __init__(self) -> None:
        self.ahead: list[Ahead] = []

    def begin(self, stage: str, fits: object) -> None:
        pass

    def expect(self, ahead: Ahead) -> None:
        self.ahead.append(ahead)

    def advance(self, algorithm: str, seconds: float, /) -> None:
        pass


def test_a_stage_tells_what_is_left_of_it_and_what_comes_after() -> None:
    """By the search itself: after the last fit of the last stage nothing but finishing is ahead."""
    told = Told()
    found = search(MODEL_ZOO[:4], folds(), SearchPlan(TuningSpec(), 42, progress=told))
    last = finishing_seconds(found, 1)
    assert told.ahead[-1] == Ahead(finishing=last)
    opening, grid = told.ahead[0], told.ahead[-2]
    assert grid.later == 0.0
    assert grid.finishing == pytest.approx(last, rel=0.2)
    assert opening.later > 0.0  # draws and grids


def trial(fold: Fold, cost: float) -> Trial:
    """A line whose first fold is measured, and whose other fold is expected to take so long."""
    task = Task(MODEL_ZOO[1], ({},), fold, "r2", 42, cost, math.inf)
    return Trial(MODEL_ZOO[1], (0,), (replace(task, cost=1.0), task), {0: Measured((0.5,), (0.5,), 1.0)})


def test_a_stage_without_time_for_all_of_it_tells_what_there_is_time_for() -> None:
    told = Told()
    deadline = time.monotonic() + 60.0
    (fold, *_) = folds(2)
    trials = [trial(fold, cost) for cost in (20.0, 30.0, 500.0)]
    pace = Pace()
    pace.learn(trials[0].tasks[0], trials[0].measured[0])
    run_trials(trials, SearchPlan(TuningSpec(), 42).pool, deadline, told, pace, Ahead)
    assert [ahead.work for ahead in told.ahead] == [pytest.approx(50.0)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89.0, "89 s"), (100.0, "2 min"), (5_000.0, "83 min"), (6_000.0, "1 h 40 min")]
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_terminal_shows_one_time_left_beside_the_bars_of_all_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=100, force_terminal=True, color_system=None)
    with Bars(console) as bars:
        bars.begin("random", {"Ridge": 4, "KNN": 2})
        bars.expect(Ahead(work=300.0, jobs=2, finishing=50.0))
        shown = capsys.readouterr().out
        bars.advance("Ridge", 10.0)
    frame = shown.rsplit("the whole run", 1)[1]
    assert frame.count(" left") == 1
    assert "about 3 min left" in frame
    assert "0/2" in frame
    last = capsys.readouterr().out.splitlines()[-3:]
    assert "1/4" in "".join(last)
    assert " left" not in "".join(last)
