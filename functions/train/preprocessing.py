"""The preprocessing of a table by the kinds of its columns; fitted in every fold, and again on all training rows."""

from collections.abc import Sequence

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from functions.train.ingestion import Column

NUMERIC_STEP = "numeric"
CATEGORICAL_STEP = "categorical"


def preprocessing(columns: Sequence[Column]) -> ColumnTransformer:
    """Numeric: median imputer, scaler. Categorical: most-frequent imputer, one-hot with unknown as all zeros."""
    numeric = [column.name for column in columns if column.kind == "numeric"]
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
    if categorical:
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        impute = SimpleImputer(strategy="most_frequent", missing_values=np.nan)
        steps.append((CATEGORICAL_STEP, Pipeline([("impute", impute), ("encode", encoder)]), categorical))
    return ColumnTransformer(steps)
