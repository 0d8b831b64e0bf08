"""The gate's check of slices, simulated: how often equal models are refused, how often a slice served worse is found.

Errors of the two models are normal with a correlation, that of a retraining being about 0.95. A slice is served worse
by errors that are 1.3 times as large, or by noise of its own that makes them so on average. Of the latter stands
beside, how often the best test there is would find it.
"""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from functions.validate.slices import ALPHA, compare
from shared.documents import SliceSettings

BY = SliceSettings(by=("group",))
SEEDS = 400
SEEDS_OF_EQUALS = 1_000
WORSE = 1.3


def refusals(
    *, groups: int, rows: int, alike: float, factor: float = 1.0, by_noise: bool = False, seeds: int = SEEDS
) -> tuple[float, float]:
    """The share of simulations in which the first slice is refused, and in which any is."""
    first = some = 0
    for seed in range(seeds):
        generator = np.random.default_rng([seed, groups, rows, round(100 * alike)])
        group = np.arange(groups * rows) % groups
        served = generator.normal(0, 10, group.size)
        mine = alike * served + np.sqrt(1 - alike**2) * generator.normal(0, 10, group.size)
        if by_noise:
            mine = mine + np.where(group == 0, 10 * np.sqrt(factor**2 - 1), 0) * generator.normal(size=group.size)
        else:
            mine = np.where(group == 0, factor * mine, mine)
        found = compare({"group": [f"g{one}" for one in group]}, np.zeros(group.size), mine, served, BY)
        worse = {one.label for one in found if one.worse}
        first += "g0" in worse
        some += bool(worse)
    return first / seeds, some / seeds


def best_there_is(*, groups: int, rows: int, alike: float, factor: float = WORSE) -> float:
    """The power of the best unbiased test that two variances are equal, of pairs (rows,) that are known to be normal.

    That is the test of the correlation of sum and difference: Pitman, Biometrika 31, 1939; Morgan in the same volume.
    Fisher's transformation gives its power; of `groups` slices none may be refused falsely in more than ALPHA in all.
    """
    larger = factor**2
    correlation = (larger - 1) / np.sqrt((larger + 1) ** 2 - 4 * alike**2)
    least = stats.norm.ppf(1 - ALPHA / groups)
    return float(stats.norm.cdf(np.arctanh(correlation) * np.sqrt(rows - 3) - least))


def table() -> Iterator[str]:
    """The lines to print."""
    yield f"refused in {SEEDS_OF_EQUALS} simulations of equal models, {SEEDS} of one slice 30 % worse; max_drop 5 %"
    yield f"{'rows':>5} {'slices':>7} {'alike':>6} {'equal models':>13} {'larger':>8} {'by noise':>9} {'at best':>8}"
    for rows, correlations in ((100, (0.98, 0.95, 0.9, 0.8)), (200, (0.95, 0.8))):
        for groups in (2, 5, 12):
            for alike in correlations:
                yield _line(groups, rows, alike)


def _line(groups: int, rows: int, alike: float) -> str:
    _, falsely = refusals(groups=groups, rows=rows, alike=alike, seeds=SEEDS_OF_EQUALS)
    found, _ = refusals(groups=groups, rows=rows, alike=alike, factor=WORSE)
    noisy, _ = refusals(groups=groups, rows=rows, alike=alike, factor=WORSE, by_noise=True)
    best = best_there_is(groups=groups, rows=rows, alike=alike)
    return f"{rows:>5} {groups:>7} {alike:>6} {falsely:>13.1%} {found:>8.1%} {noisy:>9.1%} {best:>8.1%}"
