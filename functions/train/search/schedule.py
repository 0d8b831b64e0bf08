"""Orders the fits of a stage, and decides which of them there is time for, and which are ended.

One fit of every algorithm is measured first, to estimate the rest. Where all of it fits into the time left, the longest
fits begin first, so that all processes end together; in a hurry every algorithm gets as much time, its trials in the
order in which they were chosen, and what will not be through with all of its folds is not begun.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from functions.train.search.fits import Measured, Task, measure
from functions.train.search.processes import Limit
from functions.train.search.progress import Progress
from functions.train.search.time_left import Ahead
from functions.train.search.workers import Pool
from functions.train.search.zoo import Algorithm

HURRY_SHARE = 0.5
"""Work that is expected to take more than this share of the time left is done in a hurry. An estimate may be wrong by
half."""
MANY = 10.0
"""A fit that takes so many times what was expected of it is ended, where it runs in a process …"""
PATIENCE_SECONDS = 5.0
"""… but not before this: on a busy computer a short fit may take many times as long …"""
PATIENCE_SHARE = 0.02
"""… nor before this share of the time left: whose first fit is ended is out of a run that may have hours."""
WAY_SHARE = 0.125
SHORT_SHARE = 20
FEWEST_TREES = 5
"""Where an algorithm's first fit may take longer than that, a fit with a twentieth of its trees is measured first."""


PaceKey: TypeAlias = tuple[str, str]
"""An algorithm and the way in which it is given columns with many categories."""


@dataclass(eq=False)
class Trial:
    """Candidates of one algorithm that share their fits, with a task for each fold and what each task measured.

    A trial keeps its folds together: candidates without all of their folds have no score.
    """

    algorithm: Algorithm
    numbers: tuple[int, ...]
    """Places of the candidates among those of their algorithm and stage."""
    tasks: tuple[Task, ...]
    measured: dict[int, Measured] = field(default_factory=dict)
    """What each fold measured, by its place."""

    def fits(self) -> list["Fit"]:
        """The fits that were not made yet."""
        return [Fit(self, fold) for fold in range(len(self.tasks)) if fold not in self.measured]

    def cut(self) -> None:
        """Give up the folds that were not fitted yet: there is no time for all of them."""
        nothing = (math.nan,) * len(self.numbers)
        self.measured.update({fit.fold: Measured(nothing, nothing, 0.0, cut=True) for fit in self.fits()})


@dataclass(frozen=True)
class Fit:
    """One fold of a trial."""

    trial: Trial
    fold: int

    @property
    def task(self) -> Task:
        """What a process is given."""
        return self.trial.tasks[self.fold]


class Pace:
    """How much longer than expected the fits of each algorithm take on this table, by the way of giving it categories:
    sixty columns of zeros and ones take CatBoost no longer than one number.

    The pace is infinite for an algorithm whose first fit there was no time for.
    """

    def __init__(self) -> None:
        self._expected: dict[PaceKey, float] = {}
        self._taken: dict[PaceKey, float] = {}

    def knows(self, algorithm: Algorithm) -> bool:
        """Whether a fit of the algorithm was measured."""
        return any(name == algorithm.name for name, _ in self._expected)

    def knows_the_way(self, task: Task) -> bool:
        """Whether a fit of the algorithm was measured that was given categories as in the task."""
        return _pace_key(task) in self._expected

    def learn(self, task: Task, measured: Measured) -> None:
        """Add what a task took."""
        key = _pace_key(task)
        if measured.cut and self.knows(task.algorithm):
            return
        first = not self.knows_the_way(task)
        seconds = math.inf if first and (measured.cut or measured.ended) else measured.seconds
        self._expected[key] = self._expected.get(key, 0.0) + (0.0 if measured.cut else task.cost)
        self._taken[key] = self._taken.get(key, 0.0) + seconds

    def priced(self, task: Task) -> Task:
        """The task with its cost at the pace of its algorithm in its way, or in all ways where that is not known."""
        own = _pace_key(task)
        keys = [own] if own in self._expected else [key for key in self._expected if key[0] == own[0]]
        if not keys:
            return task
        expected, taken = (sum(known[key] for key in keys) for known in (self._expected, self._taken))
        return replace(task, cost=task.cost * taken / expected if expected else math.inf)


def _pace_key(task: Task) -> PaceKey:
    return task.algorithm.name, task.algorithm.encoding(task.group[0])


def seconds_allowed(task: Task) -> float:
    """Many times what is expected of the task, and never longer than that beyond its deadline."""
    if task.deadline == math.inf:
        return math.inf
    left = max(seconds_left(task.deadline, 1), 0.0)
    return min(max(MANY * task.cost, PATIENCE_SECONDS, PATIENCE_SHARE * left), left + task.cost)


def lost(task: Task, seconds: float, late: bool) -> Measured:
    """What stands for the measurement of a fit whose process was ended, or died."""
    nothing = (math.nan,) * len(task.group)
    error = None if late else "its process died, as where memory runs out"
    return Measured(nothing, nothing, seconds, error, ended=late)


LIMIT: Limit[Task, Measured] = Limit(seconds_allowed, lost)


def run_pilots(trials: Sequence[Trial], pool: Pool, progress: Progress, pace: Pace) -> None:
    """Measure one fit of every algorithm whose pace is not known yet, the cheapest first; of one whose fit may take
    long, a short one. They may all take many times what is expected of them.

    Where all folds of a trial are not expected to fit into the time left, its first one would be lost.
    """
    unknown = [trial for trial in pilots(trials) if not pace.knows(trial.algorithm) and _has_time(trial, pool.jobs)]
    tasks = [short(trial.tasks[0]) for trial in unknown if may_be_long(trial.tasks[0])]
    for task, measured in zip(tasks, pool.run(measure, tasks, _costs(tasks, MANY), limit=LIMIT), strict=True):
        pace.learn(task, measured)
    fits = [Fit(trial, 0) for trial in unknown if not may_be_long(trial.tasks[0])]
    _run(fits, lambda task: task, pool, progress, pace, MANY)


def _has_time(trial: Trial, jobs: int) -> bool:
    cost = sum(task.cost for task in trial.tasks)
    return may_be_long(trial.tasks[0]) or cost <= seconds_left(trial.tasks[0].deadline, jobs)


def seconds_left(deadline: float, jobs: int) -> float:
    """Seconds that so many processes have together until a moment of the monotonic clock; negative after it."""
    return (deadline - time.monotonic()) * jobs


def run_first_folds(trials: Sequence[Trial], pool: Pool, progress: Progress, pace: Pace, seconds: float) -> None:
    """Measure a whole fit of those of which only a short one was measured, as many as so many seconds allow.

    A short fit takes longer for its trees than a whole one, since it prepares the rows as well: of a wide table, six
    times as long.
    """
    waiting = [trial for trial in pilots(trials) if 0 not in trial.measured and pace.knows(trial.algorithm)]
    costs = {trial: pace.priced(trial.tasks[0]).cost for trial in waiting}
    _run([Fit(trial, 0) for trial in admitted(waiting, costs, seconds)], pace.priced, pool, progress, pace)


def may_be_long(task: Task) -> bool:
    """Whether a fit that grows trees may take longer than patience has, as far as can be told before any."""
    return task.algorithm.rounds is not None and MANY * task.cost > PATIENCE_SECONDS


def short(task: Task) -> Task:
    """The first candidate of the task with a few trees, which cost in proportion."""
    rounds, params = str(task.algorithm.rounds), dict(task.group[0])
    trees = max(params[rounds] // SHORT_SHARE, FEWEST_TREES)
    cost = task.cost * trees / max(other[rounds] for other in task.group)
    return replace(task, group=({**params, rounds: trees},), cost=cost)


def _costs(tasks: Sequence[Task], times: float) -> list[float]:
    return [times * task.cost for task in tasks]


def run_trials(
    trials: Sequence[Trial],
    pool: Pool,
    deadline: float,
    progress: Progress,
    pace: Pace,
    ahead: Callable[[float], Ahead] | None = None,
) -> None:
    """Measure every fold of every trial, or mark it as cut where `deadline` (monotonic) leaves no time for it.

    `ahead`: what the run has ahead of it where this stage is work of so many seconds; None where that cannot be told.
    """
    run_pilots(trials, pool, progress, pace)
    ways = affordable_ways(trials, pace, seconds_left(deadline, pool.jobs))
    _run(ways, pace.priced, pool, progress, pace, MANY)
    costs = {trial: sum(pace.priced(fit.task).cost for fit in trial.fits()) for trial in trials}
    left = seconds_left(deadline, pool.jobs)
    hurry = sum(costs.values()) > HURRY_SHARE * left
    in_time = in_turn(trials, costs, left) if hurry else trials
    if ahead is not None:
        progress.expect(ahead(sum(costs[trial] for trial in in_time)))
    for trial in set(trials) - set(in_time):
        trial.cut()
    fits = _fits(in_time) if hurry else sorted(_fits(in_time), key=lambda fit: -pace.priced(fit.task).cost)
    _run(fits, pace.priced, pool, progress, pace)


def _run(
    fits: Sequence[Fit],
    price: Callable[[Task], Task],
    pool: Pool,
    progress: Progress,
    pace: Pace,
    times: float = 1.0,
) -> None:
    """Measure the fits, which may take so many times what is expected of them."""

    def advance(task: Task, _: Measured) -> None:
        progress.advance(task.algorithm.name, task.cost)

    tasks = [price(fit.task) for fit in fits]
    results = pool.run(measure, tasks, _costs(tasks, times), advance, LIMIT)
    for fit, measured in zip(fits, results, strict=True):
        fit.trial.measured[fit.fold] = measured
        pace.learn(fit.task, measured)


def pilots(trials: Sequence[Trial]) -> list[Trial]:
    """The cheapest trial of every algorithm, cheapest first."""
    cheapest: dict[str, Trial] = {}
    for trial in trials:
        known = cheapest.get(trial.algorithm.name)
        if known is None or trial.tasks[0].cost < known.tasks[0].cost:
            cheapest[trial.algorithm.name] = trial
    return sorted(cheapest.values(), key=lambda trial: trial.tasks[0].cost)


def affordable_ways(trials: Sequence[Trial], pace: Pace, seconds: float) -> list[Fit]:
    """A fit of every algorithm in every way of giving it categories that has no pace yet, the cheapest one, where it is
    expected to take a small share of so many seconds of one process: what is thought of another way may be far off."""
    found: dict[PaceKey, Fit] = {}
    for trial in sorted(trials, key=lambda trial: trial.tasks[0].cost if trial.tasks else 0.0):
        unknown = trial.tasks and 0 not in trial.measured and not pace.knows_the_way(trial.tasks[0])
        if unknown and pace.priced(trial.tasks[0]).cost <= WAY_SHARE * seconds:
            found.setdefault(_pace_key(trial.tasks[0]), Fit(trial, 0))
    return list(found.values())


def in_turn(trials: Sequence[Trial], costs: dict[Trial, float], seconds: float = math.inf) -> list[Trial]:
    """The trials that should be done within so many seconds of one process, in an order that gives every algorithm
    about as much time at any moment and keeps the order of its own trials.

    An algorithm's cheapest trials are its weakest: few trees, and shallow ones. So they are not put first. A trial that
    there is no time for takes none from the next ones of its algorithm.
    """
    waiting: dict[str, list[Trial]] = {}
    for trial in reversed(trials):
        waiting.setdefault(trial.algorithm.name, []).append(trial)
    spent, found = dict.fromkeys(waiting, 0.0), []
    while waiting:
        left = seconds - sum(spent.values())
        late = [name for name, own in waiting.items() if costs[own[-1]] > left]
        name = late[0] if late else min(reversed(waiting), key=lambda name: spent[name] + costs[waiting[name][-1]])
        trial = waiting[name].pop()
        if not late:
            spent[name] += costs[trial]
            found.append(trial)
        if not waiting[name]:
            del waiting[name]
    return found


def admitted(trials: Sequence[Trial], costs: dict[Trial, float], seconds: float) -> list[Trial]:
    """The trials, in their order, that should be done within so many seconds of one process."""
    found, spent = [], 0.0
    for trial in trials:
        if spent + costs[trial] <= seconds:
            spent += costs[trial]
            found.append(trial)
    return found


def _fits(trials: Iterable[Trial]) -> list[Fit]:
    return [fit for trial in trials for fit in trial.fits()]
