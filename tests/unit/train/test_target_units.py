"""A target trains alike in every unit: in billionths, and far from zero."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from functions.train.candidate.selection import Finish, Result, finish_all
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.search.folds import make_folds
from functions.train.search.search import SearchPlan, search
from functions.train.search.space import Choices
from functions.train.search.zoo import MODEL_ZOO, suited
from shared.dataset import DatasetSpec, TuningSpec
from shared.model_runtime import tolerance
from shared.tables.reading import Column

COLUMNS = (Column("v", "numeric", False), Column("w", "categorical", False))
FEW = {"n_estimators": 40, "iterations": 60}
UNITS = {"plain": (1.0, 0.0), "billionths": (1e-9, 0.0), "offset": (1.0, 1.7e9), "millions": (1e7, -3e8)}
ZOO = [
    replace(
        entry,
        opening={**entry.opening, **{name: FEW[name] for name in FEW if name in entry.opening}},
        space={name: Choices((FEW.get(name, entry.opening[name]),)) for name in entry.space},
    )
    for entry in MODEL_ZOO
]


def finished(scale: float, offset: float) -> dict[str, Result]:
    generator = np.random.default_rng(0)
    v, w = np.round(generator.uniform(0, 10, 500), 3), generator.choice(np.array(["a", "b", "c"], dtype=object), 500)
    plain = 12 + v * (v > 5) + 2 * (w == "b") + generator.normal(scale=0.4, size=500)
    frame, target = pd.DataFrame({"v": v, "w": w}), plain * scale + offset
    training, held = (
        Rows(frame.iloc[part].reset_index(drop=True), target[part]) for part in (slice(0, 380), slice(380, None))
    )
    features = describe_features(COLUMNS, training, DatasetSpec(name="n", source="t.csv", target="y"))
    found = search(ZOO, make_folds(training.features, training.target, COLUMNS, 2, 42), SearchPlan(TuningSpec(), 42))
    return {result.name: result for result in finish_all(found, Finish(COLUMNS, features, training, held, 42))}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Result]]:
    return {unit: finished(*how) for unit, how in UNITS.items()}


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit != "plain"])
@pytest.mark.parametrize("name", [entry.name for entry in MODEL_ZOO])
def test_every_algorithm_scores_the_same_in_every_unit(
    results: dict[str, dict[str, Result]], name: str, unit: str
) -> None:
    plain, other = results["plain"][name], results[unit][name]
    assert (other.error, other.selectable) == (plain.error, plain.selectable) == (None, name != "Dummy")
    assert plain.best is not None
    assert other.best is not None
    assert plain.holdout is not None
    assert other.holdout is not None
    assert name == "Dummy" or plain.best.r2_mean > 0.7
    assert other.best.r2_mean == pytest.approx(plain.best.r2_mean, abs=0.01)
    assert other.holdout.r2 == pytest.approx(plain.holdout.r2, abs=0.01)


def test_the_proof_of_parity_is_held_to_the_spread_of_the_predictions() -> None:
    plain = np.array([10.0, 12.0, 30.0])
    assert tolerance(plain) == pytest.approx(2e-4, rel=1e-3)
    assert tolerance(plain * 1e-9) == pytest.approx(2e-13, rel=1e-3)
    assert tolerance(plain + 1.7e9) < 0.01


def test_a_criterion_that_allows_no_negative_target_is_left_out_where_there_is_one() -> None:
    tree = next(entry for entry in MODEL_ZOO if entry.name == "DecisionTree")
    assert "poisson" in suited(tree, 0.0).space["criterion"].options
    assert suited(tree, -0.5).space["criterion"].options == ("squared_error", "absolute_error")
    assert {name: suited(tree, -0.5).space[name] for name in ("max_depth", "min_samples_leaf")} == {
        name: tree.space[name] for name in ("max_depth", "min_samples_leaf")
    }


def test_no_candidate_fails_on_a_target_with_negatives() -> None:
    generator = np.random.default_rng(0)
    frame, target = pd.DataFrame({"v": generator.normal(size=80)}), generator.normal(size=80)
    tree = [entry for entry in MODEL_ZOO if entry.name in ("LinearRegression", "DecisionTree")]
    folds = make_folds(frame, target, COLUMNS[:1], 2, 42)
    assert [found.failed for found in search(tree, folds, SearchPlan(TuningSpec(), 42))] == [0, 0]
