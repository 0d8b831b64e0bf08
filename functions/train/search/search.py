"""The search over the zoo: an opening that can be published, first draws of all, more draws, a grid around the best.

Algorithms that are far behind after their first draws give their time to the others. The same seed gives the same
result whatever the number of processes, as long as there is time for all of it.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from functions.train.search.candidates import draws, refinement, shared_fits
from functions.train.search.fits import Task, predictions
from functions.train.search.folds import Fold
from functions.train.search.progress import Progress, Silence
from functions.train.search.schedule import Pace, Trial, run_first_folds, run_pilots, run_trials, seconds_left
from functions.train.search.searched import (
    Candidate,
    Searched,
    SearchStage,
    far_behind,
    finishing_seconds,
    with_the_best_ones_predictions,
)
from functions.train.search.space import Params
from functions.train.search.time_left import Ahead
from functions.train.search.workers import HERE, Pool, Workers
from functions.train.search.zoo import Algorithm, suited
from shared.arrays import Matrix
from shared.dataset import TuningSpec
from shared.metrics import R2, has_r2

RANDOM_SHARE = 0.75
"""The most that the random stage takes of the search's time, so that something is left for the grid."""
OPENING_SHARE = 0.7
"""Where the opening would take more than this share of the random stage's time, some folds are skipped."""
MIN_FOLDS = 2
STAYING = 0.3
"""About this share of the work that waits behind a stage is done: by then other algorithms are far behind."""
LONGEST = 1e9
"""Seconds of what cannot be expected to end."""
LOOKS = (5, 10)
"""The search asks who can still win after so many draws of every algorithm, and once more before the grid."""
LOOKS_IN_A_HURRY = (1, *LOOKS)
"""Where folds were skipped or the opening took long, a first draw of everybody is nearly all that there is time for."""
LONG_OPENING = 1 / LOOKS[0]
"""The share of the random stage's time of which an opening is long: so many draws of everybody will not fit into it."""


@dataclass(frozen=True)
class SearchPlan:
    """How to search: what the spec asks for, in which pool, until when, and who is told of each fit done.

    `full`: no algorithm gives up its time, however far it is behind.
    """

    tuning: TuningSpec
    seed: int
    pool: Pool = field(default_factory=lambda: Pool(Workers(backend=HERE)))
    deadline: float = float("inf")
    progress: Progress = field(default_factory=Silence)
    full: bool = False


def search(zoo: Sequence[Algorithm], folds: Sequence[Fold], plan: SearchPlan) -> list[Searched]:
    """Search every algorithm of `zoo`, in its order.

    A fold whose tested rows all have the same target has no R²; where that is the score, no candidate is scored on it.
    """
    scored = [fold for fold in folds if plan.tuning.scoring != R2.name or has_r2(fold.test_y, fold.test_w)]
    lowest = min((min(fold.train_y.min(), fold.test_y.min()) for fold in folds), default=0.0)
    race = Race([suited(algorithm, lowest) for algorithm in zoo], scored, plan)
    for entry in race.searched:
        entry.without_r2 = len(folds) - len(scored)
    if not scored:
        return race.searched
    race.open()
    race.hasten()
    for count in (*race.looks, plan.tuning.random_iterations):
        race.draw(count)
        race.drop()
    race.refine()
    plan.progress.expect(Ahead(finishing=finishing_seconds(race.searched, plan.pool.jobs)))
    return race.searched


class Race:
    """The algorithms, what is known of each, and which candidates of theirs wait."""

    def __init__(self, zoo: Sequence[Algorithm], folds: Sequence[Fold], plan: SearchPlan) -> None:
        self.searched = [Searched(algorithm) for algorithm in zoo]
        self._folds = list(folds)
        self._plan = plan
        self._began = time.monotonic()
        self._random_deadline = self._began + RANDOM_SHARE * (plan.deadline - self._began)
        self._opening_share = 0.0
        self._pace = Pace()
        self._paced = False
        drawn = draws(zoo, plan.tuning.random_iterations, plan.seed)
        self._waiting = {entry.name: candidates for entry, candidates in zip(zoo, drawn, strict=True)}

    def open(self) -> None:
        """Fit what can be published soon, before anything else: first whatever takes least, however long that is."""
        opening = sorted((entry for entry in self.searched if entry.algorithm.opens), key=self._opening_cost)
        others = sorted((entry for entry in self.searched if not entry.algorithm.opens), key=self._opening_cost)
        sure = [entry for entry in opening if not entry.algorithm.selectable]
        for entry in (*opening, *others):
            if entry.algorithm.selectable:
                self._run("opening", dict.fromkeys(map(_name, [*sure, entry]), 1), math.inf)
                if entry.best:
                    break
        trials = self._begin("opening", dict.fromkeys(map(_name, opening), 1), self._random_deadline)
        run_pilots(_joined(trials), self._plan.pool, self._plan.progress, self._pace)
        self._paced = True
        run_first_folds(_joined(trials), self._plan.pool, self._plan.progress, self._pace, self._opening_left())
        self._postpone(trials)
        self._skip_folds(_joined(trials))
        self._end("opening", trials, self._random_deadline)
        self._opening_share = (time.monotonic() - self._began) / max(self._random_deadline - self._began, 1e-9)

    def hasten(self) -> None:
        """Where time is so short that folds were skipped or the opening was long, try what is likely to be better than
        the openings before anything is drawn: there is no time for many draws."""
        if not self._in_a_hurry:
            return
        counts = {}
        for entry in self.searched:
            if entry.best and entry.algorithm.likely:
                likely = [{**entry.best.params, **change} for change in entry.algorithm.likely]
                others = [params for params in self._waiting[_name(entry)] if params not in likely]
                self._waiting[_name(entry)], counts[_name(entry)] = [*likely, *others], len(likely)
        self._run("random", counts, self._plan.deadline)

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of draws of every algorithm after which the search asks who can still win."""
        return LOOKS_IN_A_HURRY if self._in_a_hurry else LOOKS

    @property
    def _in_a_hurry(self) -> bool:
        return self._opening_share > LONG_OPENING or any(entry.skipped for entry in self.searched)

    def draw(self, count: int) -> None:
        """Try draws until every algorithm that is still in the race has had `count`."""
        counts = {_name(entry): count - self._tried(entry) for entry in self.searched if entry.behind is None}
        self._run("random", counts, self._random_deadline)

    def drop(self) -> None:
        """Take those out of the race that are far behind and have candidates left."""
        perfect = 1.0 if self._plan.tuning.scoring == R2.name else 0.0
        behind = {} if self._plan.full else far_behind(self.searched, perfect)
        for entry in self.searched:
            enough = len(entry.candidates) >= self.looks[0] and entry.algorithm.space
            if enough and entry.behind is None and _name(entry) in behind:
                entry.behind = (behind[_name(entry)], len(entry.candidates))

    def refine(self) -> None:
        """Try the grid around the best of every algorithm that is still in the race."""
        for entry in self.searched:
            self._waiting[_name(entry)] = []
            if entry.best is not None and entry.algorithm.space and entry.behind is None:
                tried = [candidate.params for candidate in entry.candidates]
                grid, entry.left_out = refinement(entry.algorithm, entry.best.params, tried)
                self._waiting[_name(entry)] = grid
        counts = {name: len(waiting) for name, waiting in self._waiting.items()}
        self._run("grid", counts, self._plan.deadline)

    def _run(self, title: str, counts: dict[str, int], deadline: float) -> None:
        """Fit the next so many candidates that wait, by algorithm."""
        self._end(title, self._begin(title, counts, deadline), deadline)

    def _begin(self, title: str, counts: dict[str, int], deadline: float) -> dict[str, list[Trial]]:
        """The trials of the next so many candidates that wait, by algorithm."""
        trials: dict[str, list[Trial]] = {}
        for entry in self.searched:
            waiting = self._waiting[_name(entry)]
            chosen = waiting[: max(counts.get(_name(entry), 0), 0)]
            self._waiting[_name(entry)] = waiting[len(chosen) :]
            trials[_name(entry)] = list(self._trials(entry.algorithm, chosen, deadline))
        fits = Counter(trial.algorithm.name for trial in _joined(trials) for _ in trial.fits())
        if fits:
            self._plan.progress.begin(title, fits)
        return trials

    def _end(self, title: str, trials: dict[str, list[Trial]], deadline: float) -> None:
        """Fit them, as many as there is time for."""
        if not _joined(trials):
            return
        ahead = partial(self._ahead, title) if self._paced else None
        run_trials(_joined(trials), self._plan.pool, deadline, self._plan.progress, self._pace, ahead)
        for entry in self.searched:
            _record("grid" if title == "grid" else "random", entry, trials[_name(entry)])

    def _ahead(self, title: str, stage: float) -> Ahead:
        """What a stage of so many seconds of one process, the further draws and grids of all that are still in the
        race, and finishing what was found have ahead."""
        plan, work = self._plan, 0.0
        for entry in self.searched:
            if entry.behind is None and title != "grid":
                waiting = [*self._waiting[_name(entry)], *self._likely_grid(entry)]
                trials = self._trials(entry.algorithm, waiting, plan.deadline)
                work += sum(self._pace.priced(task).cost for trial in trials for task in trial.tasks)
        later = min(work if plan.full else STAYING * work, LONGEST) / plan.pool.jobs
        finishing = finishing_seconds(self.searched, plan.pool.jobs)
        return Ahead(stage, plan.pool.jobs, later, finishing, max(plan.deadline - time.monotonic(), 0.0))

    def _likely_grid(self, entry: Searched) -> list[Params]:
        """The grid as it would be around the best of now."""
        best = entry.best.params if entry.best else dict(entry.algorithm.opening)
        return refinement(entry.algorithm, best, [])[0] if best else []

    def _trials(self, algorithm: Algorithm, candidates: Sequence[Params], deadline: float) -> Iterator[Trial]:
        for numbers in shared_fits(algorithm, candidates):
            group = [candidates[number] for number in numbers]
            tasks = tuple(_task(algorithm, group, fold, self._plan, deadline) for fold in self._folds)
            yield Trial(algorithm, numbers, tasks)

    def _opening_left(self) -> float:
        """The seconds of one process that the opening may take yet."""
        return max(OPENING_SHARE * seconds_left(self._random_deadline, self._plan.pool.jobs), 0.0)

    def _postpone(self, trials: dict[str, list[Trial]]) -> None:
        """Let those wait whose opening would not fit even on the fewest folds, so that it takes none from the others.

        They come again among the first draws, where cheaper settings of theirs go before.
        """
        left, fewest = self._opening_left(), min(MIN_FOLDS, len(self._folds))
        for name, own in trials.items():
            least = sum(self._pace.priced(task).cost for trial in own for task in trial.tasks[:fewest])
            if own and least > left and not any(trial.measured for trial in own):
                self._waiting[name] = [*(trial.tasks[0].group[0] for trial in own), *self._waiting[name]]
                trials[name] = []

    def _skip_folds(self, trials: Sequence[Trial]) -> None:
        """Skip folds where the opening would take too long on all of them, as one fit of each shows.

        Whatever was scored on all of them is compared on the same ones as everybody else.
        """
        costs = [sum(self._pace.priced(task).cost for task in trial.tasks) for trial in trials]
        expected = sum(cost for cost in costs if cost < math.inf)
        left = self._opening_left()
        if not expected > left:
            return
        kept = max(int(len(self._folds) * left / expected), min(MIN_FOLDS, len(self._folds)))
        for entry in self.searched:
            entry.skipped = len(self._folds) - kept
            entry.candidates = [candidate.on_folds(kept) for candidate in entry.candidates]
        self._folds = self._folds[:kept]
        for trial in trials:
            trial.tasks = trial.tasks[:kept]

    def _opening_cost(self, entry: Searched) -> float:
        """The expected seconds of the first candidate's fit on this table, as wide as it is when encoded."""
        waiting = self._waiting[_name(entry)]
        return _task(entry.algorithm, waiting[:1], self._folds[0], self._plan, math.inf).cost if waiting else math.inf

    def _tried(self, entry: Searched) -> int:
        return len(entry.candidates) + entry.cut


def out_of_fold(algorithm: Algorithm, params: Params, folds: Sequence[Fold], plan: SearchPlan) -> Matrix:
    """Predict the training rows (n,), each by the model of the fold that did not train on it; NaN for rows that none of
    `folds` tests, such as the oldest where folds go forward. Where the newest folds are left out, so may be last rows.
    """
    tasks = [_task(algorithm, [params], fold, plan, plan.deadline) for fold in folds]
    predicted = plan.pool.run(predictions, tasks, [task.cost for task in tasks])
    return put_together(folds, [values for (values,) in predicted])


def put_together(folds: Sequence[Fold], predicted: Sequence[Matrix]) -> Matrix:
    """The predictions (n,) of the training rows from those of the rows that each fold tests; NaN for all others."""
    sizes = (max(fold.train_y.size + fold.test_y.size, 1 + int(fold.test_rows.max())) for fold in folds)
    found = np.full(max(sizes), np.nan)
    for fold, values in zip(folds, predicted, strict=True):
        found[fold.test_rows] = values
    return found


def _joined(trials: dict[str, list[Trial]]) -> list[Trial]:
    return [trial for own in trials.values() for trial in own]


def _name(entry: Searched) -> str:
    return entry.algorithm.name


def _task(algorithm: Algorithm, group: Sequence[Params], fold: Fold, plan: SearchPlan, deadline: float) -> Task:
    rows, width = len(fold.train_y), fold.width(algorithm.encoding(group[0]))
    cost = max(algorithm.cost(params, rows, width) for params in group)
    return Task(algorithm, tuple(group), fold, plan.tuning.scoring, plan.seed, cost, deadline)


def _record(stage: SearchStage, searched: Searched, trials: Iterable[Trial]) -> None:
    """Add the candidates of a stage in the order in which they were chosen."""
    scored: dict[int, Candidate] = {}
    for trial in trials:
        measured = [trial.measured[fold] for fold in range(len(trial.tasks))]
        searched.ended += sum(fold.ended for fold in measured)
        if any(fold.cut or fold.ended for fold in measured):
            searched.cut += len(trial.numbers)
            continue
        error = next((fold.error for fold in measured if fold.error), None)
        if error:
            searched.failed += len(trial.numbers)
            searched.error = searched.error or error
        for place, number in enumerate(trial.numbers):
            scored[number] = Candidate(
                stage=stage,
                params=trial.tasks[0].group[place],
                scores=tuple(fold.scores[place] for fold in measured),
                r2=tuple(fold.r2[place] for fold in measured),
                seconds=sum(fold.seconds for fold in measured) / len(trial.numbers),
                outside=tuple(fold.predicted[place] for fold in measured if fold.predicted),
            )
    searched.candidates += [scored[number] for number in sorted(scored)]
    with_the_best_ones_predictions(searched)
