"""The parts of dates that a model learns from, by arithmetic that NumPy and the serving graph do alike.

A date arrives as days since 1970-01-01. Its parts are year, month, day of the month, day of the week (Monday is 0), day
of the year, its age in days before the last date of training, and the hour where training saw times of day.
"""

from typing import Any, Self, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from shared.arrays import Matrix

TO_MARCH = 719_468
"""Days from 0000-03-01 to 1970-01-01: years that begin in March end with their leap day."""
TO_FIRST = 719_163
"""The ordinal of 1970-01-01, where that of 0001-01-01 is 1."""

Days = TypeVar("Days", bound=Any)


def calendar(day: Days) -> tuple[Days, Days, Days, Days, Days]:
    """Year, month, day of the month, weekday and day of the year, of whole days since 1970-01-01, year 1 to 9999.

    Needs only + - * // % of integers. Source: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms
    (civil_from_days), https://howardhinnant.github.io/date_algorithms.html
    """
    march = day + TO_MARCH
    era = march // 146_097
    of_era = march - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (year_of_era * 365 + year_of_era // 4 - year_of_era // 100)
    months = (of_year * 5 + 2) // 153
    year = year_of_era + era * 400 + months // 10
    before = year - 1
    ordinal = day + TO_FIRST
    of_january = ordinal - (before * 365 + before // 4 - before // 100 + before // 400)
    return year, (months + 2) % 12 + 1, of_year - (months * 153 + 2) // 5 + 1, (ordinal + 6) % 7, of_january


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Dates (n, k) as days since 1970-01-01, NaN missing, to their parts (n, w), part by part.

    Learns `imputed_` (k,), the middle date, which stands for a missing one; `reference_` (k,), the last date, from
    which ages are counted; and `timed_`, the places of the columns that have times of day.
    """

    def fit(self, days: Any, _target: Any = None) -> Self:
        """Learn from dates (n, k); a column without any is as if of 1970-01-01."""
        held = np.array(days, dtype=np.float64)
        held[:, np.isnan(held).all(axis=0)] = 0.0
        self.imputed_ = np.nanquantile(held, 0.5, axis=0, method="lower")
        self.reference_ = np.nanmax(held, axis=0)
        self.timed_ = np.flatnonzero((np.nan_to_num(held) % 1).any(axis=0))
        return self

    def transform(self, days: Any) -> Matrix:
        """The parts of dates (n, k)."""
        held = np.asarray(days, dtype=np.float64)
        filled = np.where(np.isnan(held), self.imputed_, held)
        whole = np.floor(filled)
        hours = (filled - whole)[:, self.timed_] * 24.0
        return np.hstack([*calendar(whole.astype(np.int64)), self.reference_ - filled, hours])
