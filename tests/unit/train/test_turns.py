"""Who comes next where time is short, and what a fit is expected to take in each way of giving it categories."""

import math

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from functions.train.data.categories import CATEGORIES, ONE_HOT, TARGET_RANKS
from functions.train.search.fits import Measured, Task
from functions.train.search.folds import Fold
from functions.train.search.schedule import Pace, Trial, affordable_ways, in_turn
from functions.train.search.space import Choices
from functions.train.search.zoo import Algorithm

FOLD = Fold(np.zeros((4, 1)), np.arange(4.0), np.zeros((2, 1)), np.arange(2.0), np.arange(2))
PRICES = [(ONE_HOT, 9.0), (TARGET_RANKS, 0.1), (ONE_HOT, 4.0)]


def test_what_there_is_no_time_for_takes_none_from_its_algorithms_next_trials() -> None:
    leader, other = (Algorithm(name, lambda _: DummyRegressor()) for name in ("Leader", "Other"))
    trials = [Trial(leader, (number,), ()) for number in range(4)] + [
        Trial(other, (number,), ()) for number in range(9)
    ]
    costs = dict(zip(trials, (2.0, 50.0, 2.0, 2.0, *[1.0] * 9), strict=True))
    found = in_turn(trials, costs, 12.0)
    assert [trial.numbers[0] for trial in found if trial.algorithm is leader] == [0, 2, 3]
    assert sum(costs[trial] for trial in found) == 12.0


def paced(name: str, cost: float) -> Task:
    algorithm = Algorithm("Trees", lambda _: DummyRegressor(), {CATEGORIES: Choices((TARGET_RANKS, ONE_HOT))})
    return Task(algorithm, ({CATEGORIES: name},), FOLD, "r2", 42, cost, math.inf)


def test_every_way_of_giving_categories_has_a_pace_of_its_own() -> None:
    """Sixty columns of zeros and ones take CatBoost as long as one number, which the zoo does not know."""
    pace, narrow, wide = Pace(), paced(TARGET_RANKS, 1.0), paced(ONE_HOT, 4.0)
    pace.learn(narrow, Measured((0.5,), (0.5,), 2.0))
    assert [pace.priced(task).cost for task in (narrow, wide)] == [2.0, 8.0]
    pace.learn(wide, Measured((0.5,), (0.5,), 2.0))
    assert [pace.priced(task).cost for task in (narrow, wide)] == [2.0, 2.0]


@pytest.mark.parametrize(("seconds", "measured"), [(70.0, 1), (60.0, 0)])
def test_another_way_is_measured_where_it_takes_a_small_share_of_the_time(seconds: float, measured: int) -> None:
    pace = Pace()
    pace.learn(paced(TARGET_RANKS, 1.0), Measured((0.5,), (0.5,), 2.0))
    ways = [Trial((task := paced(name, cost)).algorithm, (0,), (task,) * 2) for name, cost in PRICES]
    found = affordable_ways(ways, pace, seconds)
    assert [fit.task.cost for fit in found] == [4.0] * measured
