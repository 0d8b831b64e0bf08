"""`make bench-verdict`: how often an equal challenger is withdrawn, and after how many labels a worse one is.

The differences are those of real models on the sample: ridge regressions with and without some of its columns, their
predictions out of fold. An experiment draws labelled rows of it and looks after each.
"""

import argparse
import csv
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from functions.watch.quality import differences, judge

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "students" / "stud.csv"
SCORES = ("math_score", "reading_score", "writing_score")
MAX_DROP = 0.02
MODELS: dict[str, tuple[tuple[int, ...], float]] = {
    "champion": ((0, 1, 2, 3, 4), 10.0),
    "equal": ((0, 1, 2, 3), 10.0),
    "0.058 worse": ((0, 1, 2, 3, 4), 300.0),
    "0.032 worse": ((0, 2, 3, 4), 10.0),
    "0.029 worse": ((0, 1, 2, 3), 10.0),
    "alike": ((0, 1, 2, 3, 4), 12.0),
}
"""Columns and penalty. `equal` is taken less its mean: as different in each row as another model, and as good."""


@dataclass(frozen=True)
class Stops:
    """Of `experiments`, how many ended as worse, and after how many labels: the median and the 90 % quantile."""

    experiments: int
    withdrawn: int
    median: float
    ninety: float


@cache
def _sample() -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    with SAMPLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name not in SCORES]
    features = np.array([[row[name] for name in columns] for row in rows], dtype=object)
    return features, np.array([float(row["math_score"]) for row in rows])


@cache
def _residuals(name: str) -> NDArray[np.float64]:
    features, target = _sample()
    columns, penalty = MODELS[name]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge(penalty))
    folds = KFold(5, shuffle=True, random_state=1)
    predicted = cross_val_predict(model, features[:, list(columns)], target, cv=folds)
    return np.asarray(predicted - target, dtype=np.float64)


def paired_losses(name: str) -> NDArray[np.float64]:
    """Each row's part in the loss of R² of the model `name` against the champion."""
    return differences(_residuals("champion"), _residuals(name), float(_sample()[1].var()))


def simulate(losses: NDArray[np.float64], *, experiments: int, labels: int, seed: int) -> Stops:
    """Experiments of `labels` rows drawn from `losses`, with a look after each."""
    rng, stops = np.random.default_rng(seed), []
    for _ in range(experiments):
        found = judge(rng.choice(losses, labels), max_drop=-np.inf)  # only what is worse ends an experiment
        if found.verdict == "worse" and found.look is not None:
            stops.append(found.look.labels)
    late = [*stops, *[labels + 1] * (experiments - len(stops))]
    return Stops(experiments, len(stops), float(np.median(late)), float(np.quantile(late, 0.9)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench-verdict", description=__doc__)
    parser.add_argument("--experiments", type=int, default=1000, help="of equal models (1000); a fifth of the others")
    options = parser.parse_args(arguments)
    equal = paired_losses("equal")
    found = simulate(equal - equal.mean(), experiments=options.experiments, labels=5000, seed=1)
    _say(f"equal models: {found.withdrawn} of {found.experiments} withdrawn within 5,000 labels, a look after each")
    for name in ("0.058 worse", "0.032 worse", "0.029 worse"):
        stops = simulate(paired_losses(name), experiments=options.experiments // 5, labels=20_000, seed=1)
        _say(f"{name}: withdrawn after {stops.median:.0f} labels in the median, {stops.ninety:.0f} in 90 %")
    alike = paired_losses("alike")
    _say(f"alike (ridge 12 for 10): {judge(np.random.default_rng(1).choice(alike, 5000), MAX_DROP).look}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
