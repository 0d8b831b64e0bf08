"""The fitted pipeline of a run, made again from the table and the manifest alone, with scikit-learn's own parts.

It shares no code with the training function, so that it can tell when that one, the graph or the serving is wrong.
"""

import csv
from pathlib import Path

import pandas as pd
import sklearn.linear_model
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shared.documents import Manifest
from shared.profiles import Holdout


def fitted_pipeline(table: Path, manifest: Manifest, holdout: Holdout) -> Pipeline:
    """`manifest`'s algorithm on the rows of `table` that are not in `holdout`; categorical features only."""
    names = [feature.name for feature in manifest.features]
    held_out = {tuple(row) for row in zip(*(holdout.columns[name] for name in names), holdout.target, strict=True)}
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = [[row[name] for name in names] + [float(row[manifest.target])] for row in csv.DictReader(file)]
    training = [row for row in rows if tuple(row) not in held_out]
    assert len(training) == len(rows) - len(holdout.target)
    frame = pd.DataFrame([row[:-1] for row in training], columns=names, dtype=object)
    encoder = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    estimator = getattr(sklearn.linear_model, manifest.model.algorithm)(**manifest.model.params)
    pipeline = make_pipeline(ColumnTransformer([("categorical", encoder, names)]), estimator)
    return pipeline.fit(frame, [row[-1] for row in training])
