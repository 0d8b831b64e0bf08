"""What weekdays usually show: their mix, when it is known, and what it excuses."""

import numpy as np
import pytest

from functions.watch.drift import CellCounts, compare_all
from functions.watch.habit import DAYS, Habit, habit
from shared.arrays import Counts

TRAINED = np.array([400.0, 400.0])
WEEKDAY, WEEKEND = np.array([560.0, 440.0]), np.array([350.0, 650.0])
"""5 × 560 + 2 × 350 is half of a week's 7,000 rows."""


def weeks(days: int, weekday: Counts = WEEKDAY, weekend: Counts = WEEKEND) -> dict[int, Counts]:
    return {day: weekend if day % 7 >= 5 else weekday for day in range(days)}


def test_the_reference_is_the_windows_weekdays_in_the_windows_mix() -> None:
    found = habit(weeks(DAYS + 4), {DAYS + 4: WEEKDAY, DAYS + 5: WEEKEND * 3})
    assert found is not None
    assert (found.weekday / found.weekday.sum()).tolist() == pytest.approx([(560 + 3 * 350) / 4000, 2390 / 4000])
    assert found.weekday.sum() == pytest.approx(8_000 / 0.75), "no day counts for more rows than it had"
    assert found.whole.sum() == 56_000


@pytest.mark.parametrize(
    ("past", "window"),
    [
        ({}, {DAYS: WEEKDAY}),
        (weeks(DAYS - 1), {DAYS - 1: WEEKDAY}),
        (weeks(DAYS), {DAYS: WEEKDAY * 0}),
        (weeks(DAYS, weekday=WEEKDAY * 0), {DAYS: WEEKDAY}),
    ],
)
def test_nothing_is_usual_before_eight_weeks_or_without_rows(
    past: dict[int, Counts], window: dict[int, Counts]
) -> None:
    assert habit(past, window) is None


def alarms(live: Counts, past: dict[int, Counts], day: int) -> tuple[bool, bool]:
    evidence = CellCounts(TRAINED, live, live[None], np.array([day]), day, habit=habit(past, {day: live}))
    found = compare_all({"lunch": evidence})["lunch"]
    return found.alarms, found.usual


def test_a_weekend_as_weekends_are_alarms_until_that_is_known() -> None:
    assert alarms(WEEKEND, weeks(DAYS - 2), DAYS - 2) == (True, False)
    assert alarms(WEEKEND, weeks(DAYS + 5), DAYS + 5) == (False, True)
    assert alarms(WEEKDAY, weeks(DAYS), DAYS) == (False, True)


def test_a_weekday_that_is_as_weekends_are_alarms() -> None:
    assert alarms(WEEKEND, weeks(DAYS), DAYS) == (True, False)


def test_what_is_other_than_training_never_becomes_usual() -> None:
    for day in (DAYS, DAYS + 5):
        assert alarms(WEEKEND, weeks(day, weekday=WEEKEND), day) == (True, False)


def test_a_habit_of_few_rows_excuses_no_change_of_many() -> None:
    few = Habit(np.array([14.0, 6.0]), TRAINED)
    evidence = CellCounts(TRAINED, WEEKEND, WEEKEND[None], np.array([0]), habit=few)
    assert compare_all({"lunch": evidence})["lunch"].alarms
