"""The gate where the rows held out count differently."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from functions.validate import bootstrap
from functions.validate.bootstrap import difference_lower_bound, r2_lower_bound
from functions.validate.gate import Case, Incumbent
from shared import layout
from shared.codec import decode, encode
from shared.decisions import Decision
from shared.documents import HoldoutScores, SliceSettings
from shared.errors import InvalidDocument
from shared.metrics import SCORINGS, r2, significant
from shared.model_runtime import Model
from shared.profiles import Holdout
from tests.candidates import FEATURES, Candidate, build, run_id
from tests.unit.validate.test_gate import NOBODY, decided, failed, found, with_holdout

SCIKIT_LEARNS = {"r2": r2_score, "mae": mean_absolute_error, "rmse": root_mean_squared_error}
ROWS = 60
GENERATOR = np.random.default_rng(5)
TARGET = GENERATOR.normal(size=ROWS)
GOOD, BAD = TARGET + GENERATOR.normal(scale=0.5, size=ROWS), TARGET + GENERATOR.normal(scale=0.8, size=ROWS)
WEIGHTS = GENERATOR.uniform(0.1, 4.0, size=ROWS)


def resampled(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.int32]]:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    return [rows for block in bootstrap._resamples(ROWS) for rows in block]


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_bound_is_that_of_scikit_learns_scores_of_the_same_resamples(
    monkeypatch: pytest.MonkeyPatch, scoring: str
) -> None:
    def gain(rows: NDArray[np.int32]) -> float:
        of_good, of_bad = (
            SCIKIT_LEARNS[scoring](TARGET[rows], side[rows], sample_weight=WEIGHTS[rows]) for side in (GOOD, BAD)
        )
        return SCORINGS[scoring].sign * float(of_good - of_bad)

    gains = [gain(rows) for rows in resampled(monkeypatch)]
    expected = np.quantile(gains, 0.05, method="lower")
    assert difference_lower_bound(TARGET, GOOD, BAD, scoring, WEIGHTS) == pytest.approx(expected)


def test_the_bound_of_r2_is_that_of_scikit_learns_on_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [r2_score(TARGET[rows], GOOD[rows], sample_weight=WEIGHTS[rows]) for rows in resampled(monkeypatch)]
    expected = np.quantile(scores, 0.05, method="lower")
    assert r2_lower_bound(TARGET, GOOD, WEIGHTS) == pytest.approx(expected)


def test_weights_of_one_change_no_bound_and_their_unit_does_not_either() -> None:
    ones = np.ones(ROWS)
    assert r2_lower_bound(TARGET, GOOD, ones) == r2_lower_bound(TARGET, GOOD)
    assert r2_lower_bound(TARGET, GOOD, 7.0 * WEIGHTS) == pytest.approx(r2_lower_bound(TARGET, GOOD, WEIGHTS))
    for scoring in SCORINGS:
        plain = difference_lower_bound(TARGET, GOOD, BAD, scoring)
        assert difference_lower_bound(TARGET, GOOD, BAD, scoring, ones) == plain


CANDIDATE, SERVED = build(run_id(1), slope=4.0), build(run_id(0), slope=2.5)
HEAVY = np.arange(200) % 4 == 0


def judged(weights: list[float] | None, scoring: str = "r2", by: tuple[str, ...] = ()) -> tuple[Candidate, Decision]:
    """A candidate that is right where the model of now is wrong, and wrong in every fourth row, where that is right."""
    holdout = Case(CANDIDATE.manifest, CANDIDATE.files, (), NOBODY).holdout
    right, wrong = (Model(one.files[layout.MODEL], FEATURES).predict(holdout.columns) for one in (CANDIDATE, SERVED))
    target = np.where(HEAVY, wrong, right) + np.linspace(-1, 1, 200)
    counts = None if weights is None else np.array(weights)
    claimed = HoldoutScores(r2=r2(target, right, counts), mae=0.0, rmse=0.0)
    candidate = with_holdout(CANDIDATE, target=target.tolist(), weights=weights)
    candidate = candidate.with_manifest(
        model=msgspec.structs.replace(candidate.manifest.model, scoring=scoring, holdout=claimed),
        slices=SliceSettings(by=by, max_drop=0.0),
    )
    return candidate, decided(candidate, incumbent=Incumbent(SERVED.manifest, SERVED.files[layout.MODEL]))


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_rows_that_count_most_decide(scoring: str) -> None:
    _, alike = judged(None, scoring, ("lunch",))
    _, one = judged([1.0] * 200, scoring, ("lunch",))
    assert alike.passed, alike
    assert one == alike
    _, heavy = judged(np.where(HEAVY, 40.0, 1.0).tolist(), scoring, ("lunch",))
    assert {"champion", "slices"} <= set(failed(heavy))
    assert "and by more than 0%" in found(heavy, "slices").reason


def test_the_score_that_training_claims_is_made_again_by_weight() -> None:
    weights = np.where(HEAVY, 1.0, 5.0).tolist()
    candidate, decision = judged(weights)
    check = found(decision, "reported")
    assert check.passed
    assert check.observed == pytest.approx(candidate.manifest.model.holdout.r2)
    assert found(decision, "score").observed == check.observed
    assert "reported" in failed(decided(with_holdout(candidate, weights=None)))


def test_the_mean_that_must_be_beaten_is_the_weighted_one() -> None:
    weights = np.where(HEAVY, 40.0, 1.0).tolist()
    candidate, decision = judged(weights, "mae")
    target = np.array(Case(candidate.manifest, candidate.files, (), NOBODY).holdout.target)
    usual = np.full(200, np.average(target, weights=weights))
    error = mean_absolute_error(target, usual, sample_weight=weights)
    assert f"MAE of the mean is {significant(error)}; " in found(decision, "better_than_mean").reason


@pytest.mark.parametrize("weights", [[1.0] * 199, [1.0] * 199 + [0.0], [1.0] * 199 + [-1.0], []])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    check = found(decided(with_holdout(CANDIDATE, weights=weights)), "holdout_size")
    assert (check.standing, check.code) == ("failed", InvalidDocument.reason)
    assert "the weights must be above 0, one for each of the targets" in check.reason


def test_rows_that_count_alike_are_written_as_before() -> None:
    document = Holdout(columns={"a": [1.0]}, target=[2.0])
    assert b"weights" not in encode(document)
    assert decode(encode(document), Holdout, "holdout") == document
