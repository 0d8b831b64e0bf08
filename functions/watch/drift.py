"""Whether live rows are still those that training saw: counts against counts, with a stated rate of false alarms.

Pure. Arrives: counts of the same cells at training and live. Leaves: a p-value, how far a share moved, and the alarms.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from functions.watch.habit import Habit
from shared.arrays import Counts
from shared.two_samples import ALARM_P, ALARM_SHARE, holm, two_sample_p

MIN_EFFECTIVE_ROWS = 200.0
MIN_DAYS = 7
"""Fewer days say little of how much days differ."""


@dataclass(frozen=True)
class CellCounts:
    """The cells of one feature: rows at training, live rows of the window, and live rows by block over four weeks.

    `reference` (k,), `live` (k,), `blocks` (b, k), `days` (b,) on which each block was counted, as numbers that grow;
    `since`: the first day of the window. `ordered`: neighbours are alike, as the bins of a number are. `habit`: what
    the window's weekdays usually show, once that is known.
    """

    reference: Counts
    live: Counts
    blocks: Counts
    days: NDArray[np.int64]
    since: int = 0
    ordered: bool = False
    habit: Habit | None = None

    def on(self, day: int) -> Counts:
        """The rows (k,) of one day."""
        found: Counts = self.blocks[self.days == day].sum(axis=0)
        return found

    def design_effect(self) -> float:
        """By the blocks within each day, and by how much the days of before the window usually differ.

        So rows that are alike within a block or on a day count for less, while the change that a look is for, or that
        others were for, does not speak against itself.
        """
        before = self.days < self.since
        return max(design_effect(self.blocks, self.days), usual_effect(self.blocks[before], self.days[before]))


@dataclass(frozen=True)
class Comparison:
    """What one look says of one feature.

    `rows`: live rows; `effective`: so many independent ones are worth as much. `moved`: the largest change of a share,
    in cell `cell`. `p` is None where there were too few rows for a look; `adjusted` is `p` for all features together.
    `usual`: such weekdays have always been so, in weeks that as a whole are as training saw them.
    """

    rows: float
    design_effect: float
    effective: float
    moved: float
    cell: int
    p: float | None = None
    adjusted: float | None = None
    usual: bool = False

    @property
    def looked(self) -> bool:
        """Whether there were rows enough."""
        return self.p is not None

    @property
    def alarms(self) -> bool:
        """The rule: surely another distribution, and a difference that matters."""
        differs = self.adjusted is not None and self.adjusted < ALARM_P and self.moved >= ALARM_SHARE
        return differs and not self.usual


def compare_all(evidence: Mapping[str, CellCounts]) -> dict[str, Comparison]:
    """One look at every feature, by name."""
    found = {name: compare(entry) for name, entry in evidence.items()}
    looked = {name: entry.p for name, entry in found.items() if entry.p is not None}
    adjusted = dict(zip(looked, holm(list(looked.values()), len(found)), strict=True))
    return {name: _with_adjusted(entry, adjusted.get(name)) for name, entry in found.items()}


def compare(evidence: CellCounts) -> Comparison:
    """One feature by itself; without a p-value below MIN_EFFECTIVE_ROWS."""
    reference, live = evidence.reference, evidence.live
    rows, known = float(live.sum()), float(reference.sum())
    effect = evidence.design_effect()
    if not rows or not known:
        return Comparison(rows, effect, 0.0, 0.0, 0)
    change = np.abs(live / rows - reference / known)
    cell = int(change.argmax())
    effective = rows / effect
    p = None
    if effective >= MIN_EFFECTIVE_ROWS:
        order = np.arange(len(reference)) if evidence.ordered else np.argsort(reference, kind="stable")
        p = two_sample_p(reference[order], live[order] / effect)
    usual = evidence.habit is not None and _is_usual(evidence, evidence.habit, effect)
    return Comparison(rows, effect, effective, float(change[cell]), cell, p, usual=usual)


def _is_usual(evidence: CellCounts, habit: Habit, effect: float) -> bool:
    """Whether the window is as its weekdays always were, in weeks that as a whole are as training saw them.

    The second half keeps what is other than training, and has been for long, from becoming usual.
    """
    few = habit.weekday.sum() / effect < MIN_EFFECTIVE_ROWS
    if few or _moved(habit.whole, evidence.reference) >= ALARM_SHARE:
        return False
    if _moved(evidence.live, habit.weekday) < ALARM_SHARE:
        return True
    order = np.arange(len(habit.weekday)) if evidence.ordered else np.argsort(habit.weekday, kind="stable")
    return two_sample_p(habit.weekday[order] / effect, evidence.live[order] / effect) >= ALARM_P


def _moved(counts: Counts, other: Counts) -> float:
    return float(np.abs(counts / max(counts.sum(), 1.0) - other / max(other.sum(), 1.0)).max())


def design_effect(blocks: Counts, groups: NDArray[np.int64] | None = None) -> float:
    """How many times the variance of shares exceeds that of independent rows, from counts by block (b, k); at least 1.

    Shares are those of each group of blocks, (b,), one of all where there are none. This is Rao and Scott's first-order
    correction: callers ask runs of alike rows, and those tell less than their number says.
    Source: Rao and Scott, On Simple Adjustments to Chi-Square Tests with Sample Survey Data, 1987.
    """
    sizes = blocks.sum(axis=1)
    filled = sizes > 0
    blocks, sizes = blocks[filled], sizes[filled]
    groups = (
        np.zeros(len(blocks), dtype=np.int64) if groups is None else np.unique(groups[filled], return_inverse=True)[1]
    )
    members = np.bincount(groups) if len(groups) else np.zeros(0, dtype=np.int64)
    if not (members > 1).any():
        return 1.0
    totals = np.zeros((len(members), blocks.shape[1]))
    np.add.at(totals, groups, blocks)
    shares = totals / totals.sum(axis=1, keepdims=True)
    several = members > 1
    correction = np.where(several, members / np.maximum(members - 1, 1), 0.0)
    found = (((blocks - sizes[:, None] * shares[groups]) ** 2) * correction[groups, None]).sum(axis=0)
    independent = (totals * (1 - shares))[several].sum(axis=0)
    inner = independent > 0
    if not inner.any():
        return 1.0
    whole = totals[several].sum(axis=0) / totals[several].sum()
    return max(1.0, float(np.average(found[inner] / independent[inner], weights=1 - whole[inner])))


def usual_effect(blocks: Counts, days: NDArray[np.int64]) -> float:
    """The design effect that a usual day shows, from blocks (b, k) and their days (b,); 1 below MIN_DAYS days.

    Each day's Pearson statistic against the median day's shares; the median of these over that of
    a chi-square's. So days of another time, up to half of them, do not make all days count for less.
    """
    found, places = np.unique(days, return_inverse=True)
    totals = np.zeros((len(found), blocks.shape[1]))
    np.add.at(totals, places, blocks)
    totals = totals[totals.sum(axis=1) > 0]
    if len(totals) < MIN_DAYS:
        return 1.0
    sizes = totals.sum(axis=1, keepdims=True)
    shares = np.median(totals / sizes, axis=0)
    inner = shares > 0
    freedom = int(inner.sum()) - 1
    if freedom < 1:
        return 1.0
    expected = sizes * shares[inner] / shares[inner].sum()
    statistics = ((totals[:, inner] - expected) ** 2 / expected).sum(axis=1)
    return max(1.0, float(np.median(statistics)) / float(chdtri(freedom, 0.5)))


def silence_p(before: Sequence[float], effect: float) -> float:
    """How probable a day without any row is, after days with `before` rows in runs of about `effect` alike ones.

    A Poisson count's chance of nought; 1 where one of the days before had none, so that a weekend is no silence.
    """
    if not before or min(before) <= 0:
        return 1.0
    return math.exp(-float(np.mean(before)) / max(effect, 1.0))


def _with_adjusted(entry: Comparison, adjusted: float | None) -> Comparison:
    if adjusted is None:
        return entry
    return replace(entry, adjusted=adjusted)
