"""Who is fitted first, whose fits are ended, and who gives up its time to the others."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge

from functions.train import pipeline
from functions.train.data.categories import TARGET_MEANS
from functions.train.inputs import RunInputs
from functions.train.search import schedule
from functions.train.search.candidates import refinement
from functions.train.search.fits import Measured, Task, load
from functions.train.search.folds import Fold, Means
from functions.train.search.schedule import Pace, Trial, admitted, in_turn, run_first_folds, run_pilots, seconds_allowed
from functions.train.search.search import Race, SearchPlan, search
from functions.train.search.searched import Candidate, Searched, far_behind
from functions.train.search.space import Choices
from functions.train.search.time_left import Ahead
from functions.train.search.workers import Workers
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import SearchSettings
from shared.dataset import TuningSpec
from shared.dataset_file import parse_spec
from shared.store import Download

TUNING = TuningSpec(folds=5, random_iterations=8)
SEED = 42


def folds(count: int = 5, rows: int = 40) -> list[Fold]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count * rows, 3))
    y = x[:, 0] + generator.normal(scale=0.3, size=count * rows)
    parts = np.arange(count * rows).reshape(count, rows)
    rest = [np.setdiff1d(np.arange(count * rows), part) for part in parts]
    return [Fold(x[a], y[a], x[b], y[b], b) for a, b in zip(rest, parts, strict=True)]


class Told:
    """A progress that remembers which fits were asked for, and in which order they came."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, int]]] = []
        self.advanced: list[str] = []

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        self.begun.append((stage, dict(fits)))

    def expect(self, ahead: Ahead) -> None:
        pass

    def advance(self, algorithm: str, _seconds: float, /) -> None:
        self.advanced.append(algorithm)


def test_a_model_that_can_be_published_stands_before_anything_else_begins() -> None:
    told = Told()
    few = {"n_estimators": 20, "iterations": 20}
    zoo = [
        replace(
            entry,
            opening={**entry.opening, **{name: few[name] for name in few if name in entry.opening}},
            space={name: Choices((few.get(name, space.options[0]),)) for name, space in entry.space.items()},
        )
        for entry in MODEL_ZOO
    ]
    search(zoo, folds(), SearchPlan(TuningSpec(), SEED, progress=told))
    assert told.begun[0] == ("opening", {"Dummy": 5, "Ridge": 5})
    assert set(told.begun[1][1]) == {"LinearRegression", "Lasso", "XGBoost", "CatBoost"}
    assert set(told.advanced[:30]) == {"Dummy", "Ridge", "LinearRegression", "Lasso", "XGBoost", "CatBoost"}
    assert set(told.advanced[30:]) >= {"KNN", "RandomForest", "DecisionTree"}


def test_every_opening_is_a_setting_of_its_space() -> None:
    for entry in MODEL_ZOO:
        assert bool(entry.opening) == bool(entry.space)
        assert all(entry.opening[name] in space.options for name, space in entry.space.items())


@pytest.mark.parametrize("skipped", [0, 2])
def test_where_folds_were_skipped_likely_settings_are_tried_before_anything_is_drawn(skipped: int) -> None:
    few = [
        replace(entry, opening={**entry.opening, "n_estimators": 5})
        for entry in MODEL_ZOO
        if entry.name in ("GradientBoosting", "XGBoost")
    ]
    race = Race(few, folds(), SearchPlan(TUNING, SEED))
    for searched in race.searched:
        searched.candidates = [Candidate("random", dict(searched.algorithm.opening), (0.1,) * 5, (0.1,) * 5, 1.0)]
        searched.skipped = skipped
    race.hasten()
    tried = {
        searched.algorithm.name: [
            (candidate.params["max_depth"], candidate.params["learning_rate"]) for candidate in searched.candidates
        ]
        for searched in race.searched
    }
    more = [(7, 0.05), (7, 0.1)] if skipped else []
    assert tried == {"GradientBoosting": [(3, 0.1)], "XGBoost": [(5, 0.05), *more]}  # the latter has likely settings


def test_likely_settings_are_of_the_space_and_differ_from_the_opening() -> None:
    likely = [(entry, change) for entry in MODEL_ZOO for change in entry.likely]
    assert likely
    for entry, change in likely:
        assert {**entry.opening, **change} != entry.opening
        assert all(value in entry.space[name].options for name, value in change.items())


def doing(name: str, act: Callable[[], object], **options: Any) -> Algorithm:
    """An algorithm whose every fit calls a function."""

    class Doing(LinearRegression):  # type: ignore[misc]
        def fit(self, *given: object) -> "Doing":
            act()
            super().fit(*given)
            return self

    return Algorithm(name, lambda _: Doing(), **options)


def test_a_fit_that_takes_many_times_what_was_expected_is_ended_and_nothing_else_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(schedule, "PATIENCE_SHARE", 0.0)
    endless = doing("Endless", lambda: time.sleep(600), fit_seconds=0.2)
    dear = Algorithm("Dear", lambda _: LinearRegression(), fit_seconds=100.0)
    began = time.monotonic()
    with Workers(2).pool(partial(load, MODEL_ZOO[:2])) as pool:
        plan = SearchPlan(TUNING, SEED, pool, deadline=began + 3600)
        line, ended, other = search((MODEL_ZOO[1], endless, dear), folds(), plan)
    assert time.monotonic() - began < 300
    assert (ended.best, ended.ended) == (None, 1)
    assert ended.note is not None
    assert ended.note.startswith("fits ended since they took many times longer than expected: 1")
    assert line.best is not None
    assert other.best is not None


@pytest.mark.parametrize(
    ("cost", "left", "allowed"),
    [(0.01, 100.0, 5.0), (0.01, 1000.0, 20.0), (3.0, 1000.0, 30.0), (3.0, 10.0, 13.0), (0.01, -5.0, 0.01)],
    ids=["five seconds", "a fiftieth of the time left", "ten times the estimate", "up to the end", "after it"],
)
def test_how_long_a_fit_may_take_that_was_expected_to_be_short(cost: float, left: float, allowed: float) -> None:
    fold = folds(2)[0]
    task = Task(MODEL_ZOO[1], ({},), fold, "r2", SEED, cost, time.monotonic() + left)
    assert seconds_allowed(task) == pytest.approx(allowed, abs=0.05)


def test_a_process_that_dies_fails_its_candidate_and_nothing_else() -> None:
    deadly = doing("Deadly", lambda: os._exit(1), fit_seconds=100.0)
    with Workers(1).pool(partial(load, MODEL_ZOO[:2])) as pool:
        line, died = search((MODEL_ZOO[1], deadly), folds(2), SearchPlan(TUNING, SEED, pool))
    assert died.best is None
    assert died.error == "its process died, as where memory runs out"
    assert line.best is not None


def entry(name: str, *scores: tuple[float, ...]) -> Searched:
    algorithm = Algorithm(name, lambda _: Ridge(), {"alpha": Choices((1.0,))})
    return Searched(algorithm, [Candidate("random", {"alpha": 1.0}, each, each, 1.0) for each in scores])


def test_only_those_that_surely_cannot_win_are_far_behind() -> None:
    leader = entry("leader", (0.80, 0.82, 0.81))
    behind = entry("behind", (0.60, 0.62, 0.60), (0.60, 0.61, 0.60), (0.59, 0.60, 0.61))
    unsure = entry("unsure", (0.50, 0.95, 0.70), (0.50, 0.95, 0.69), (0.50, 0.95, 0.68))
    close = entry("close", (0.798, 0.818, 0.808), (0.79, 0.81, 0.80), (0.79, 0.81, 0.80))
    promising = entry("promising", (0.60, 0.62, 0.60), (0.10, 0.11, 0.10), (0.09, 0.10, 0.11))
    found = far_behind([leader, behind, unsure, close, promising], perfect=1.0)
    assert set(found) == {"behind"}
    assert found["behind"] == pytest.approx(0.2, abs=0.01)


def test_one_draw_shows_less_than_three_so_that_it_must_be_farther_behind() -> None:
    leader = entry("leader", (0.80, 0.82), (0.80, 0.82), (0.80, 0.82))
    near, far = (0.79, 0.81), (0.77, 0.79)  # of the 0.19 that the leader leaves unexplained, 5 and 16 %
    found = far_behind([leader, entry("one", near), entry("three", near, near, near), entry("far", far)], perfect=1.0)
    assert set(found) == {"three", "far"}


def test_in_a_hurry_it_is_asked_after_the_first_draw_who_can_still_win() -> None:
    alphas = {"alpha": Choices((1.0, 10.0**9))}
    hopeless = Algorithm("Hopeless", lambda _: DummyRegressor(), {"strategy": Choices(("mean", "median"))})
    good = Algorithm("Good", lambda _: Ridge(), alphas, opens=True)
    race = Race((good, hopeless), folds(), SearchPlan(TuningSpec(random_iterations=2), SEED))
    for skipped in (0, 2):
        race.searched[0].skipped = skipped
        race.draw(race.looks[0])
        race.drop()
        assert (race.searched[1].behind is not None) == bool(skipped)


@pytest.mark.parametrize(("seconds", "first_look"), [(6.0, 1), (200.0, 5)])
def test_after_a_long_opening_it_is_asked_after_the_first_draw_though_no_folds_were_skipped(
    seconds: float, first_look: int
) -> None:
    class Slow(Ridge):  # type: ignore[misc]
        def fit(self, *given: object, **more: object) -> "Slow":
            time.sleep(0.3)
            super().fit(*given, **more)
            return self

    slow = Algorithm("Slow", lambda _: Slow(), opens=True, fit_seconds=0.3)
    race = Race((slow,), folds(), SearchPlan(TUNING, SEED, deadline=time.monotonic() + seconds))
    race.open()
    assert race.looks[0] == first_look


def racing(full: bool) -> tuple[Searched, Searched]:
    alphas = Choices(tuple(float(alpha) for alpha in range(1, 21)), refined=True)
    hopeless = Algorithm("Hopeless", lambda _: Ridge(), {"alpha": Choices(tuple(10.0**9 + i for i in range(20)))})
    good = Algorithm("Good", lambda _: Ridge(), {"alpha": alphas})
    plan = SearchPlan(TuningSpec(random_iterations=20), SEED, full=full)
    first, second = search((good, hopeless), folds(), plan)
    return first, second


def test_who_is_far_behind_gives_its_time_away_and_says_so() -> None:
    good, hopeless = racing(full=False)
    assert len(good.candidates) == 20
    assert len(hopeless.candidates) == 5
    assert hopeless.note is not None
    assert hopeless.note.startswith("it gave its time to the others, 0.9")
    assert hopeless.note.endswith(" behind after 5 candidates")


def test_a_full_search_spares_nobody() -> None:
    assert [len(found.candidates) for found in racing(full=True)] == [20, 20]


def test_folds_are_skipped_for_everybody_where_the_opening_takes_too_long() -> None:
    slow = doing("Slow", lambda: time.sleep(0.4), fit_seconds=0.4, opens=True)
    plan = SearchPlan(TUNING, SEED, deadline=time.monotonic() + 4.0)
    mean, found = search((MODEL_ZOO[1], slow), folds(), plan)
    assert mean.best is not None
    assert 1 <= mean.skipped == found.skipped <= 3
    assert len(mean.best.scores) == len(mean.best.r2) == 5 - mean.skipped
    assert mean.note == f"folds skipped, since the time budget is short: {mean.skipped}"
    assert found.best is None or len(found.best.scores) == 5 - mean.skipped


def test_in_a_hurry_nothing_is_begun_that_will_not_be_through() -> None:
    algorithm = Algorithm("A", lambda _: DummyRegressor())
    trials = [Trial(algorithm, (number,), ()) for number in range(4)]
    costs = dict(zip(trials, (2.0, 5.0, 2.0, 2.0), strict=True))
    assert admitted(trials, costs, 6.5) == [trials[0], trials[2], trials[3]]


def test_in_a_hurry_the_trials_of_an_algorithm_come_as_they_were_chosen() -> None:
    trials = [Trial(Algorithm("A", lambda _: DummyRegressor()), (number,), ()) for number in range(3)]
    assert in_turn(trials, dict(zip(trials, (5.0, 1.0, 2.0), strict=True))) == trials  # the cheap are the weak ones


def test_the_grid_tries_those_first_that_differ_least_from_the_best() -> None:
    boosting = next(entry for entry in MODEL_ZOO if entry.name == "XGBoost")
    grid, _ = refinement(boosting, dict(boosting.opening), [])
    moved = [
        sum(boosting.opening[name] != value for name, value in one.items() if name != boosting.rounds) for one in grid
    ]
    assert moved == sorted(moved)
    assert {0, 1, 2} == set(moved)


def test_a_readable_table_never_ends_without_a_model_however_short_the_time_is() -> None:
    """Few rows and many columns: what takes longest was tried first, and the mean and Ridge were cut as well."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(np.round(generator.normal(size=(150, 300)), 3)).add_prefix("x")
    frame["y"] = np.round(frame["x0"] * 3 + frame["x1"] + generator.normal(scale=0.3, size=150), 3)
    spec = b'name = "wide"\nsource = "w.csv"\ntarget = "y"\n[tuning]\nfolds = 3\nrandom_iterations = 1\n'
    inputs = RunInputs(parse_spec(spec), Download(spec, 0), "w.csv", Download(frame.to_csv(index=False).encode(), 0))
    settings = SearchSettings(jobs=1, backend="sequential", budget_seconds=1.0, git_sha="unknown")
    trained = pipeline.train(inputs, settings, "20260105T070000Z-0123abcd")
    names = {result.name for result in trained.results if result.selectable}
    assert trained.selected.result.name in names
    assert any(result.searched.cut for result in trained.results)


class Remembering:
    """A pool that does the work here, and remembers how long each call said that it may take."""

    jobs = 1

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.trees: list[int] = []

    def run(self, work: Any, tasks: Any, costs: Any, on_result: Any = lambda *_: None, limit: Any = None) -> Any:
        self.seconds.append(sum(costs))
        self.trees += [task.group[0].get("n_estimators", 0) for task in tasks]
        results = [work(task) for task in tasks]
        for task, result in zip(tasks, results, strict=True):
            on_result(task, result)
        return results


def forest_trial(fit_seconds: float) -> Trial:
    forest = replace(next(entry for entry in MODEL_ZOO if entry.name == "RandomForest"), fit_seconds=fit_seconds)
    params = {**forest.opening, "n_estimators": 100}
    fold = folds(2)[0]
    task = Task(forest, (params,), fold, "r2", SEED, forest.cost(params), math.inf)
    return Trial(forest, (0,), (task, task))


def test_an_algorithm_whose_first_fit_may_be_long_is_paced_by_a_few_trees() -> None:
    pool, pace, trial = Remembering(), Pace(), forest_trial(fit_seconds=40.0)
    run_pilots([trial], pool, Told(), pace)  # type: ignore[arg-type]
    assert pool.trees == [5]  # a twentieth of 100
    assert trial.measured == {}  # the pilot is no candidate
    assert pace.priced(trial.tasks[0]).cost < 5.0  # where 12 were expected: such trees take milliseconds
    assert pool.seconds[0] == pytest.approx(schedule.MANY * trial.tasks[0].cost / 20)  # so that processes begin in time


def test_an_algorithm_whose_first_fit_is_short_is_paced_by_it() -> None:
    pool, pace, trial = Remembering(), Pace(), forest_trial(fit_seconds=0.1)
    run_pilots([trial], pool, Told(), pace)  # type: ignore[arg-type]
    assert pool.trees == [100]
    assert list(trial.measured) == [0]


def test_of_a_table_that_is_wide_when_encoded_the_narrower_way_opens() -> None:
    """With a column for each of 400 categories Ridge's fit is the longer one, though its algorithm is the quicker."""
    wide = [
        replace(
            fold,
            train_x=np.hstack([fold.train_x, np.zeros((len(fold.train_x), 400))]),
            test_x=np.hstack([fold.test_x, np.zeros((len(fold.test_x), 400))]),
            means={
                TARGET_MEANS: Means(np.zeros((len(fold.train_x), 1)), np.zeros((len(fold.test_x), 1)), np.arange(3))
            },
        )
        for fold in folds()
    ]
    told = Told()
    narrow = Algorithm("Narrow", lambda _: LinearRegression(), fit_seconds=0.01, opens=True, categories=TARGET_MEANS)
    broad = Algorithm("Broad", lambda _: LinearRegression(), fit_seconds=0.003, opens=True)
    search((broad, narrow), wide, SearchPlan(TUNING, SEED, progress=told))
    assert told.begun[0] == ("opening", {"Narrow": 5})


def test_comparing_every_row_with_all_others_grows_faster_than_the_table() -> None:
    """On 25,600 rows and 322 columns the neighbours took 50 s a fold, where 10 s were expected."""
    costs = {entry.name: entry.cost(dict(entry.opening), 25_600, 320) for entry in MODEL_ZOO}
    assert costs["Ridge"] == pytest.approx(0.003 * 25.6 * 20)
    assert 40.0 < costs["KNN"] < 60.0


def test_no_fit_is_made_of_an_algorithm_whose_folds_there_will_be_no_time_for() -> None:
    fitted: list[str] = []
    dear = doing("Dear", lambda: fitted.append("Dear"), fit_seconds=40.0)  # 6.4 s a fold of 160 rows, five of them
    line, given_up = search((MODEL_ZOO[1], dear), folds(), SearchPlan(TUNING, SEED, deadline=time.monotonic() + 25.0))
    assert line.best is not None
    assert fitted == []
    assert (given_up.candidates, given_up.cut) == ([], 1)


def test_an_opening_that_is_slow_to_begin_is_paced_by_a_whole_fit() -> None:
    """Five trees took 3 s, most of them before the first tree, so that a hundred seem to take a minute."""
    pool, pace = Remembering(), Pace()
    trial = forest_trial(fit_seconds=40.0)
    short = schedule.short(trial.tasks[0])
    pace.learn(short, Measured((0.0,), (0.0,), seconds=3.0))
    assert pace.priced(trial.tasks[0]).cost == pytest.approx(60.0)
    run_first_folds([trial], pool, Told(), pace, seconds=59.0)  # type: ignore[arg-type]
    assert trial.measured == {}  # it might take too long
    run_first_folds([trial], pool, Told(), pace, seconds=61.0)  # type: ignore[arg-type]
    assert list(trial.measured) == [0]
    assert pace.priced(trial.tasks[0]).cost < 30.0, "the fit that was measured, not the minute that was feared"


class Slow(LinearRegression):  # type: ignore[misc]
    """Takes two milliseconds a tree, as it calls them."""

    def __init__(self, n_estimators: int = 1) -> None:
        super().__init__()
        self.n_estimators = n_estimators

    def fit(self, *given: object) -> "Slow":
        time.sleep(0.002 * self.n_estimators)
        super().fit(*given)
        return self

    def staged_predict(self, rows: Any) -> Any:
        return iter([self.predict(rows)])


def test_an_opening_that_would_not_fit_on_the_fewest_folds_takes_none_from_the_others() -> None:
    """Thirty seconds a fit, where the opening has twenty-two: skipping folds would cost the others theirs."""
    space = {"n_estimators": Choices((15_000, 5_000))}
    opening = {"n_estimators": 15_000}
    dear = Algorithm("Dear", lambda _: Slow(), space, 20.0, rounds="n_estimators", opening=opening, opens=True)
    with Workers(1).pool(partial(load, MODEL_ZOO[:2])) as pool:
        plan = SearchPlan(TUNING, SEED, pool, deadline=time.monotonic() + 60.0)
        line, given_up = search((MODEL_ZOO[1], dear), folds(), plan)
    assert (line.skipped, given_up.skipped) == (0, 0)
    assert line.best is not None
    assert len(line.best.scores) == 5
    assert given_up.candidates == []
    assert given_up.cut == 2
