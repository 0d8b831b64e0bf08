"""The preprocessing of a table by the kinds of its columns; fitted in every fold, and again on all training rows."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from functions.train.data.dates import DateParts
from shared.tables.reading import Column

NUMERIC_STEP = "numeric"
DATE_STEP = "date"
CATEGORICAL_STEP = "categorical"
MISSING_STEP = "missing"
MIN_FREQUENCY = 5
MAX_CATEGORIES = 200


class MissingCells(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns (n, k) to a column of zeros and ones for each of which cells are missing: that there is no value may say
    more than the one that stands for it.

    Learns `places_` (w,), which columns these are: those with five missing cells and five others, as a category must
    have five rows.
    """

    def fit(self, rows: pd.DataFrame, _target: object = None) -> Self:
        """Learn from rows (n, k)."""
        counts = pd.isna(rows).to_numpy().sum(axis=0)
        self.places_ = np.flatnonzero((counts >= MIN_FREQUENCY) & (len(rows) - counts >= MIN_FREQUENCY))
        return self

    def transform(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """1.0 where a cell of those columns is missing, (n, w)."""
        return pd.isna(rows).to_numpy()[:, self.places_].astype(np.float64)


def columns_of_categories(encoder: OneHotEncoder) -> list[dict[str, int]]:
    """Map every known category to its one-hot column, by feature of a fitted encoder; rare ones share the last."""
    mapped = []
    for known, rare in zip(encoder.categories_, encoder.infrequent_categories_, strict=True):
        shared = set() if rare is None else set(rare)
        frequent = [name for name in known if name not in shared]
        columns = {str(name): place for place, name in enumerate(frequent)}
        mapped.append({str(name): columns.get(str(name), len(frequent)) for name in known})
    return mapped


def preprocessing(columns: Sequence[Column]) -> ColumnTransformer:
    """Numbers and truth values: median imputer, scaler. Dates: their parts, scaled. Categorical: most-frequent imputer,
    one-hot with unknown as all zeros. At last, of each, which cells were missing.

    Rare categories share one column, so that a category of one row decides nothing and the width is bounded.
    """
    numeric = [column.name for column in columns if column.kind in ("numeric", "boolean")]
    dates = [column.name for column in columns if column.kind == "date"]
    categorical = [column.name for column in columns if column.kind == "categorical"]
    steps = []
    if numeric:
        steps.append(
            (
                NUMERIC_STEP,
                Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())]),
                numeric,
            )
        )
    if dates:
        steps.append((DATE_STEP, Pipeline([("parts", DateParts()), ("scale", StandardScaler())]), dates))
    if categorical:
        encoder = OneHotEncoder(
            handle_unknown="ignore", sparse_output=False, min_frequency=MIN_FREQUENCY, max_categories=MAX_CATEGORIES
        )
        impute = SimpleImputer(strategy="most_frequent", missing_values=np.nan)
        steps.append((CATEGORICAL_STEP, Pipeline([("impute", impute), ("encode", encoder)]), categorical))
    if columns:
        steps.append((MISSING_STEP, MissingCells(), [*numeric, *dates, *categorical]))
    return ColumnTransformer(steps)
