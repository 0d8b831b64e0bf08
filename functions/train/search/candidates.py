"""Which settings of an algorithm are tried: an opening and random draws, then a grid around the best of them.

Pure. Settings that differ only in their number of trees, or in a depth that no tree reaches, share their fits.
"""

from collections.abc import Sequence

from sklearn.model_selection import ParameterGrid, ParameterSampler

from functions.train.data.categories import CATEGORIES
from functions.train.search.fits import depth_limit
from functions.train.search.space import Params, grid_around
from functions.train.search.zoo import Algorithm

MAX_GRID_FITS = 27
"""Per fold: three parameters with three values each. A larger grid moves at most two of its parameters at a time.

On the sample that is XGBoost's alone: its whole grid is 81 fits a fold, with which the search takes a tenth longer than
with the 33 of pairs, for an R² of 0.1996 instead of 0.1990. What was left out is counted in the algorithm's note.
"""
DEEP = 20
"""Forests with this limit of depth, a higher one or none are fitted once, as long as no tree reaches it."""


def draws(zoo: Sequence[Algorithm], iterations: int, seed: int) -> list[list[Params]]:
    """The candidates of the random stage by algorithm: its opening, then random ones; at most `iterations`, none
    twice."""
    drawn = []
    for algorithm in zoo:
        options = {name: list(space.options) for name, space in algorithm.space.items()}
        size = len(ParameterGrid(options))
        sampled = list(ParameterSampler(options, min(iterations, size), random_state=seed))
        opening = [dict(algorithm.opening)] if algorithm.opening else []
        if CATEGORIES in options:  # side by side, so that the folds show what the encoding alone does
            opening = [{**algorithm.opening, CATEGORIES: encoding} for encoding in options[CATEGORIES]]
        drawn.append([*opening, *(params for params in sampled if params not in opening)][: len(sampled)])
    return drawn


def refinement(algorithm: Algorithm, best: Params, tried: Sequence[Params]) -> tuple[list[Params], int]:
    """The candidates around the best that were not `tried`, those that differ least from it first, and how many were
    left out of a grid that is too large."""
    whole = list(ParameterGrid(grid_around(algorithm.space, best)))
    grid = sorted(
        (setting for setting in whole if setting not in tried), key=lambda setting: _moved(algorithm, best, setting)
    )
    if len(shared_fits(algorithm, whole)) <= MAX_GRID_FITS:
        return grid, 0
    near = [params for params in grid if _moved(algorithm, best, params) <= 2]
    return near, len(grid) - len(near)


def shared_fits(algorithm: Algorithm, candidates: Sequence[Params]) -> list[tuple[int, ...]]:
    """Group candidates that may share a fit: they differ in their rounds only, or in limits of depth that may not
    matter. Gives their places in `candidates`."""
    groups: dict[str, list[int]] = {}
    for number, params in enumerate(candidates):
        same = {name: value for name, value in params.items() if name != algorithm.rounds}
        if algorithm.depth and depth_limit(algorithm, params) >= DEEP:
            same[algorithm.depth] = None
        settings = repr(sorted((name, repr(value)) for name, value in same.items()))
        groups.setdefault(settings if algorithm.rounds else str(number), []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


def _moved(algorithm: Algorithm, best: Params, params: Params) -> int:
    """How many parameters differ from the best, the number of trees aside."""
    return sum(value != best[name] for name, value in params.items() if name != algorithm.rounds)
