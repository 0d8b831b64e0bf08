"""Whether two counts of the same cells come of one distribution: the test, and its adjustment for many of them.

Pure; the home of scipy's distribution for what compares counts, at training and while a model serves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from shared.arrays import Counts

ALARM_P = 1e-4
"""The p-value of one look at all features together (Holm), whatever their number, below which they surely differ."""
ALARM_SHARE = 0.05
"""A change of a share that is smaller than this matters to nobody, however sure it is."""
MIN_EXPECTED = 5.0
"""Below this expectation, chi-square's distribution is not that of the statistic (Cochran 1954)."""


def two_sample_p(reference: Counts, live: Counts) -> float:
    """The chi-square test that both counts (k,) come of one distribution, cells joined until both expect 5 rows.

    Counts may be fractions. Two samples, not one: a reference of some hundred rows taken for exact alarms most days.
    """
    whole = float(reference.sum() + live.sum())
    share = min(float(reference.sum()), float(live.sum())) / whole
    groups = _joined((reference + live) * share)
    if groups.max() == 0:
        return 1.0
    first = np.bincount(groups, weights=reference)
    second = np.bincount(groups, weights=live)
    both = first + second
    expected_first, expected_second = both * first.sum() / whole, both * second.sum() / whole
    statistic = ((first - expected_first) ** 2 / expected_first).sum() + (
        (second - expected_second) ** 2 / expected_second
    ).sum()
    return float(chdtrc(groups.max(), statistic))


def _joined(expected: Counts) -> NDArray[np.intp]:
    """The group (k,) of each cell, so that every group expects at least MIN_EXPECTED; what is left joins the last."""
    groups, group, held = [], 0, 0.0
    for number in expected.tolist():
        groups.append(group)
        held += number
        if held >= MIN_EXPECTED:
            group, held = group + 1, 0.0
    last = max(group - 1, 0)
    return np.minimum(np.array(groups, dtype=np.intp), last)


def holm(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """Holm's adjustment for `tests` hypotheses, of which those without a p-value count as 1. Source: Holm 1979."""
    count = len(p_values) if tests is None else tests
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
