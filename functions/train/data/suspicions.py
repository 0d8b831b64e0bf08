"""What costs people most and is no error: features that nearly are the target, row numbers, dates as words. Pure.

A sentence each, with what to write into the spec; whether it is so, a person knows.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared import metrics
from shared.arrays import Vector
from shared.tables.cells import writing_of
from shared.tables.reading import Table

MAX_ROWS = 5_000
LEAK_R2 = 0.98
"""R² that one feature alone reaches on rows it was not fitted to; what real tables measure hardly ever does."""
ROW_NUMBER = 0.999
MOSTLY = 0.5


def suspicions(table: Table, seed: int = 0) -> tuple[str, ...]:
    """A sentence for each feature of `table` that a person should look at."""
    rows = np.arange(len(table.target))
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MAX_ROWS, replace=False))
    features, target = table.features.iloc[rows], table.target.to_numpy(dtype=np.float64)[rows]
    found: list[str] = []
    for column in table.columns:
        numeric = column.kind != "categorical"
        places = None if column.kind == "date" else rows  # time rises with the rows of any log
        found += _of_numbers(column.name, features[column.name], target, places) if numeric else []
        found += [] if numeric else _of_words(column.name, features[column.name], target)
    return tuple(found)


def _of_numbers(name: str, values: pd.Series, target: Vector, rows: NDArray[np.int_] | None) -> Iterator[str]:
    numbers = values.to_numpy(dtype=np.float64)
    present = np.isfinite(numbers)
    alone = _alone(numbers[present], target[present])
    if alone >= LEAK_R2:
        yield _leak(name, alone)
    elif rows is not None and _differ(numbers[present], len(numbers)) and _along(numbers, rows) >= ROW_NUMBER:
        yield (
            f"feature {name!r} only counts the rows: it rises with them and has a value for each; if it is no "
            f"measurement, list it in drop"
        )


def _differ(numbers: Vector, rows: int) -> bool:
    return len(set(numbers.tolist())) >= 0.95 * rows


def _of_words(name: str, values: pd.Series, target: Vector) -> Iterator[str]:
    present = values.notna().to_numpy()
    words = values[present].map(str)
    codes, _ = pd.factorize(words)
    alone = _alone(codes.astype(np.float64), target[present], exact=True)
    if alone >= LEAK_R2:
        yield _leak(name, alone)
    counts = words.value_counts()
    if counts[[writing_of(str(word)) == "date" for word in counts.index]].sum() > MOSTLY * len(words):
        yield (
            f"feature {name!r} holds dates that are kept as words: a model learns nothing of their order, and does not "
            f'know a new day; say kind = "date" in the spec, or date_format, or list it in drop'
        )


def _leak(name: str, alone: float) -> str:
    return (
        f"feature {name!r} nearly is the target: alone it explains {min(alone, 0.9999):.2%} of it; if it is not known "
        f"when a prediction is asked for, list it in drop"
    )


def _along(numbers: Vector, rows: NDArray[np.int_]) -> float:
    present = np.isfinite(numbers)
    if present.sum() < 3 or np.ptp(numbers[present]) == 0:
        return 0.0
    return float(np.corrcoef(numbers[present], rows[present])[0, 1])


def _alone(values: Vector, target: Vector, *, exact: bool = False) -> float:
    """R² on every second row of a prediction from the others by this value alone: interpolated, or the mean of exactly
    the same value where `exact`. What was not seen gets the mean.
    """
    half = np.arange(len(values)) % 2 == 0
    if half.sum() < 10 or np.ptp(target) == 0:
        return 0.0
    known, places = np.unique(values[half], return_inverse=True)
    means = np.bincount(places, target[half]) / np.bincount(places)
    if exact:
        table = dict(zip(known.tolist(), means.tolist(), strict=True))
        usual = float(target[half].mean())
        predicted = np.array([table.get(value, usual) for value in values[~half].tolist()])
    else:
        predicted = np.interp(values[~half], known, means)
    r2 = metrics.r2(target[~half], predicted)
    return r2 if np.isfinite(r2) else 0.0
