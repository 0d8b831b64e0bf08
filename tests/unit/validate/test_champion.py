"""How often the champion check errs, on the sample's own rows: retraining must not be a lottery, decay must be seen."""

import csv
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Lasso, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeRegressor

from functions.validate import bootstrap
from tests.candidates import build, run_id
from tests.local_storage import ROOT
from tests.unit.validate.test_gate import champion, decided, failed, found

SAMPLE = ROOT / "shared" / "datasets" / "students" / "stud.csv"
SPLITS = 40
HELD_OUT = 200
MORE_ROWS = 20
MAX_R2_DROP = 0.02

RIDGE, LASSO, OVERFITTED = Ridge(alpha=10.0), Lasso(alpha=0.1), DecisionTreeRegressor(random_state=1)


@cache
def sample() -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """The five features and the math score."""
    with SAMPLE.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[:5] for row in rows]), np.array([float(row[5]) for row in rows])


def refusals(served: object, candidate: object) -> float:
    """Share of random splits on which the candidate, trained on a few more rows than what serves, is refused."""
    features, target = sample()
    refused = 0
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(target))
        held_out, rows = order[:HELD_OUT], order[HELD_OUT:]
        reference = fitted(served, features[rows[:-MORE_ROWS]], target[rows[:-MORE_ROWS]]).predict(features[held_out])
        predicted = fitted(candidate, features[rows], target[rows]).predict(features[held_out])
        refused += bootstrap.difference_lower_bound(target[held_out], predicted, reference) < -MAX_R2_DROP
    return refused / SPLITS


def fitted(model: object, features: NDArray[np.str_], target: NDArray[np.float64]) -> Pipeline:
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), model).fit(features, target)


@pytest.mark.parametrize("candidate", [RIDGE, LASSO], ids=["the same algorithm", "another linear one"])
def test_retraining_with_a_few_more_rows_is_hardly_ever_refused(candidate: object) -> None:
    assert refusals(RIDGE, candidate) <= 0.10


def test_a_clearly_worse_model_is_hardly_ever_let_through() -> None:
    assert refusals(RIDGE, OVERFITTED) >= 0.95


def test_a_refusal_for_lack_of_rows_says_so_and_what_to_do() -> None:
    """Both models err by the same amount, in opposite directions: 40 noisy rows cannot tell them apart."""
    decision = decided(build(run_id(1), slope=4.8, rows=40, noise=12.0), incumbent=champion(slope=3.2))
    assert failed(decision) == ["champion"]
    assert found(decision, "champion").reason.endswith(
        "; 40 rows are too few to tell: hold out more, or raise gate.max_r2_drop"
    )


def test_a_refusal_of_what_is_plainly_worse_blames_nothing_else() -> None:
    reason = found(decided(build(run_id(1), slope=2.5), incumbent=champion()), "champion").reason
    assert reason.endswith("is needed")
