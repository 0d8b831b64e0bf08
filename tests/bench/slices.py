"""The gate's check of slices, simulated: how often equal models are refused, how often a slice served worse is found.

Errors of the two models are normal with a correlation, that of a retraining being about 0.95. A slice is served worse
by errors that are 1.3 times as large, or by noise of its own that makes them so on average.
"""

from collections.abc import Iterator

import numpy as np

from functions.validate.slices import compare
from shared.documents import SliceSettings

BY = SliceSettings(by=("group",))
SEEDS = 400


def refusals(
    *, groups: int, rows: int, alike: float, factor: float = 1.0, by_noise: bool = False
) -> tuple[float, float]:
    """The share of simulations in which the first slice is refused, and in which any is."""
    first = some = 0
    for seed in range(SEEDS):
        generator = np.random.default_rng([seed, groups, rows])
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
    return first / SEEDS, some / SEEDS


def table() -> Iterator[str]:
    """The lines to print."""
    yield f"{SEEDS} simulations each; slices of 100 rows, max_drop 5 %"
    yield f"{'slices':>7} {'alike':>6} {'equal models':>13} {'30 % worse':>11} {'30 % by noise':>14}"
    for groups in (2, 5, 12):
        for alike in (0.98, 0.95, 0.9, 0.8):
            _, falsely = refusals(groups=groups, rows=100, alike=alike)
            found, _ = refusals(groups=groups, rows=100, alike=alike, factor=1.3)
            noisy, _ = refusals(groups=groups, rows=100, alike=alike, factor=1.3, by_noise=True)
            yield f"{groups:>7} {alike:>6} {falsely:>13.1%} {found:>11.1%} {noisy:>14.1%}"
