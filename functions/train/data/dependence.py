"""Rows that depend on each other, and what that makes of a score: measured, where the spec does not say how to split.

Where time goes on, tomorrow's rows are what a model is asked for, and where customers come again, new customers may be;
a split that mixes them lets the model look up what it should predict. The difference is that of one quick forest.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GroupKFold, KFold

from functions.train.data.preprocessing import preprocessing
from functions.train.data.split import Parts, newest
from shared import metrics
from shared.arrays import RowIndices, Vector
from shared.dataset import DatasetSpec
from shared.tables.reading import Column, Table

WORTH_TELLING = 0.05
"""A difference in R² below this is what two splits may differ by without any reason."""
SURE = 3.0
"""A difference counts from this many standard errors on."""
MOST_ROWS = 2_000
MOST_GROUPS = 3
FOLDS = 4
MOST_TRIED = 100
"""Features that a split of the forest chooses among: with 1,500 of them, all at every split took minutes."""
MIN_MOMENTS = 20


def dependence(table: Table, spec: DatasetSpec, seed: int = 0) -> tuple[str, ...]:
    """A sentence for each column by which rows depend on each other, with the R² that a split by it leaves."""
    if spec.split.time or spec.split.group or spec.split.key:
        return ()
    rows = np.arange(len(table.target))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    found: list[str] = []
    for name, days in _times(table, rows):
        out = newest(days, 1 / FOLDS)
        if out.any():
            found += _sentence(
                table,
                rows,
                (name, "time", "the newest, by the older ones"),
                [(np.flatnonzero(~out), np.flatnonzero(out))],
            )
    for name, groups in _groups(table, rows):
        parts = list(GroupKFold(FOLDS).split(groups, groups=groups))
        found += _sentence(table, rows, (name, "group", "new ones, by the others"), parts)
    return tuple(found)


def _times(table: Table, rows: RowIndices) -> Iterator[tuple[str, Vector]]:
    for column in table.columns:
        days = table.features[column.name].to_numpy()[rows] if column.kind == "date" else np.array([])
        if column.kind == "date" and not np.isnan(days.astype(float)).any() and len(np.unique(days)) >= MIN_MOMENTS:
            yield column.name, days.astype(np.float64)


def _groups(table: Table, rows: RowIndices) -> list[tuple[str, RowIndices]]:
    """Words that come again and again, of many different ones: those with the most first."""
    found = []
    for frame in (table.features, table.others):
        for name in frame.columns:
            cells = frame[name].iloc[rows]
            if pd.api.types.is_numeric_dtype(cells) or cells.isna().any():
                continue
            codes, words = pd.factorize(cells)
            if 4 * FOLDS <= len(words) <= len(rows) / 3:
                found.append((str(name), codes))
    return sorted(found, key=lambda group: -int(group[1].max()))[:MOST_GROUPS]


def _sentence(table: Table, rows: RowIndices, split: tuple[str, str, str], parts: Parts) -> Iterator[str]:
    """The sentence, where a split by the column costs the score more than chance does, on the same rows. The column of
    a group is left out: that a new one has no value that is known is no surprise."""
    name, key, whom = split
    columns = [column for column in table.columns if key == "time" or column.name != name]
    if not columns:
        return
    features, target = table.features.iloc[rows], table.target.to_numpy(dtype=np.float64)[rows]
    any_parts = list(KFold(FOLDS, shuffle=True, random_state=0).split(features))
    usual, apart = (_outside(features, target, columns, chosen) for chosen in (any_parts, parts))
    tested = np.isfinite(apart)
    truth, usual, apart = target[tested], usual[tested], apart[tested]
    worse = (truth - apart) ** 2 - (truth - usual) ** 2
    sure = worse.mean() > SURE * worse.std() / np.sqrt(len(worse))
    before, after = metrics.r2(truth, usual), metrics.r2(truth, apart)
    if sure and before - after >= WORTH_TELLING:
        yield (
            f"rows depend on {name!r}: a quick model explains {_percent(before)} where rows are split by chance, and "
            f"{_percent(after)} of the same rows as {whom}; if such rows are what it will be asked for, say "
            f'[split] {key} = "{name}" in the spec'
        )


def _outside(features: pd.DataFrame, target: Vector, columns: Sequence[Column], parts: Parts) -> Vector:
    """What a forest that did not see a row says of it (n,), NaN for rows that no part tests."""
    predicted = np.full(len(target), np.nan)
    for train, test in parts:
        steps = preprocessing(columns).fit(features.iloc[train])
        rows = steps.transform(features.iloc[train])
        tried = MOST_TRIED if rows.shape[1] > MOST_TRIED else None
        forest = ExtraTreesRegressor(20, min_samples_leaf=5, max_features=tried, random_state=0, n_jobs=1)
        forest.fit(rows, target[train])
        predicted[test] = forest.predict(steps.transform(features.iloc[test]))
    return predicted


def _percent(share: float) -> str:
    return f"{share:.0%}" if share > 0 else "nothing (R² below 0)"
