"""Evidently's report of the rows that `week.py` wrote. Called in the environment that has Evidently.

Source: https://docs.evidentlyai.com/metrics/preset_regression and preset_data_drift.
"""

import json
from pathlib import Path

import pandas as pd

from evidently import DataDefinition, Dataset, Regression, Report
from evidently.presets import DataDriftPreset, RegressionPreset


def main(folder: Path, out: Path) -> None:
    """Write the page `out` of reference.parquet, current.parquet and columns.json in `folder`."""
    columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
    definition = DataDefinition(
        numerical_columns=columns["numeric"],
        categorical_columns=columns["categorical"],
        regression=[Regression(target=columns["target"], prediction=columns["prediction"])],
    )
    current, reference = (
        Dataset.from_pandas(pd.read_parquet(folder / f"{name}.parquet"), data_definition=definition)
        for name in ("current", "reference")
    )
    Report([RegressionPreset(), DataDriftPreset()]).run(current, reference).save_html(str(out))
