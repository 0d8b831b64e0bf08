"""What the days of a window usually show: the same weekdays of the eight weeks before it. Pure.

Callers of a Saturday may be others than those of a Monday, week after week, in a mix that training saw: such a day
differs from training, and is nothing to tell of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.arrays import Counts

WEEKS = 8
DAYS = 7 * WEEKS


@dataclass(frozen=True)
class Habit:
    """Rows by cell (k,): `weekday`, of the window's weekdays in the window's mix; `whole`, of all days of the weeks."""

    weekday: Counts
    whole: Counts


def habit(past: Mapping[int, Counts], window: Mapping[int, Counts]) -> Habit | None:
    """What is usual for a window, from the rows by cell of each day, by the day's ordinal.

    None before eight weeks are over, and where one of the window's weekdays never had a row in them.
    """
    asked = {day: counts for day, counts in window.items() if counts.sum()}
    if not asked:
        return None
    first = min(window) - DAYS
    before = {day: counts for day, counts in past.items() if first <= day < min(window)}
    if not past or min(past) > first or not before:
        return None
    rows = sum(float(counts.sum()) for counts in asked.values())
    mix = {number: _on_weekday(asked, number).sum() / rows for number in {day % 7 for day in asked}}
    known = {number: _on_weekday(before, number) for number in mix}
    if not all(counts.sum() for counts in known.values()):
        return None
    size = min(float(known[number].sum() / share) for number, share in mix.items())
    usual = [known[number] / known[number].sum() * share * size for number, share in mix.items()]
    return Habit(np.sum(usual, axis=0), np.sum(list(before.values()), axis=0))


def _on_weekday(days: Mapping[int, Counts], number: int) -> Counts:
    """The rows of one weekday."""
    found: Counts = np.sum([counts for day, counts in days.items() if day % 7 == number], axis=0)
    return np.asarray(found, dtype=np.float64)
