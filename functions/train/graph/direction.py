"""Proof that a graph keeps the directions that it was asked to keep: the artefact itself is asked, not its library."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from functions.train.graph.export import columns_of
from functions.train.graph.graph import NotExportable
from shared.model_runtime import Model, tolerance

ROWS = 200
POINTS = 50


def require_directions(model: Model, training: pd.DataFrame, asked: Mapping[str, int]) -> None:
    """Ask the graph of training rows with one feature changed over its range, and one range beyond at both ends.

    `asked`: 1 or −1 by feature. Raises NotExportable where a prediction goes the other way.
    """
    rows = training.iloc[np.unique(np.linspace(0, len(training) - 1, ROWS).astype(int))]
    columns = columns_of(rows)
    for name, sign in asked.items():
        seen = training[name].dropna().to_numpy(dtype=np.float64)
        low, high = float(seen.min()), float(seen.max())
        span = high - low
        values = np.unique(np.concatenate([np.quantile(seen, np.linspace(0, 1, POINTS)), [low - span, high + span]]))
        said = np.array([model.predict({**columns, name: [float(value)] * len(rows)}) for value in values])
        worst = float(np.max(-sign * np.diff(said, axis=0), initial=0.0))
        if worst > tolerance(said.ravel()):
            direction = "increasing" if sign > 0 else "decreasing"
            raise NotExportable(f"its graph is not {direction} in {name}: a prediction goes back by {worst:.3g}")
