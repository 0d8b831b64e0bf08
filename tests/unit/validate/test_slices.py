"""Slices in the gate: only what is surely worse is refused, and what cannot be told is said."""

from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.validate.bootstrap import chance_of_mean
from functions.validate.gate import Case, Incumbent, judge
from functions.validate.slices import MOST_TESTED, Slice, compare, sentence_of
from shared import layout
from shared.codec import decode_gzip, encode, encode_gzip
from shared.decisions import Check
from shared.documents import SliceSettings
from shared.profiles import Holdout
from tests.bench.slices import WORSE, best_there_is, refusals
from tests.candidates import Candidate, build, run_id

Vector = NDArray[np.float64]
BY = SliceSettings(by=("group",))


def simulated(seed: int, *, rows: int, groups: int, factor: float = 1.0, alike: float = 0.9) -> list[Slice]:
    """Errors of two models whose correlation is `alike`; in group 0 the candidate's are `factor` times as large."""
    generator = np.random.default_rng(seed)
    group = np.arange(rows) % groups
    served = generator.normal(0, 10, rows)
    mine = alike * served + np.sqrt(1 - alike**2) * generator.normal(0, 10, rows)
    mine = np.where(group == 0, factor * mine, mine)
    columns = {"group": [f"g{number}" for number in group]}
    return compare(columns, np.zeros(rows), mine, served, BY)


def refused(found: list[Slice]) -> list[str]:
    return [one.label for one in found if one.worse]


@pytest.mark.parametrize("groups", [2, 5])
def test_equal_models_are_hardly_ever_refused(groups: int) -> None:
    """The whole simulation, with more seeds, correlations and groups: `make bench-explain ARGS=--slices`."""
    falsely = [bool(refused(simulated(seed, rows=100 * groups, groups=groups))) for seed in range(60)]
    assert np.mean(falsely) <= 0.05


def test_equal_models_of_few_rows_that_are_hardly_alike_are_not_refused_more_often() -> None:
    falsely = [bool(refused(simulated(seed, rows=60, groups=2, alike=0.5))) for seed in range(200)]
    assert np.mean(falsely) <= 0.08  # 5 % in all, and three standard errors of 200


@pytest.mark.parametrize("groups", [2, 5])
def test_a_slice_of_100_rows_that_is_served_30_percent_worse_is_found(groups: int) -> None:
    found = [refused(simulated(seed, rows=100 * groups, groups=groups, factor=1.3)) for seed in range(60)]
    assert np.mean([labels == ["g0"] for labels in found]) >= 0.9


def test_noise_of_its_own_in_a_slice_of_100_rows_is_found_nearly_as_often_as_any_test_can() -> None:
    found, _ = refusals(groups=2, rows=100, alike=0.95, factor=WORSE, by_noise=True, seeds=100)
    assert found >= best_there_is(groups=2, rows=100, alike=0.95) - 0.1


def test_what_is_surely_worse_by_less_than_is_allowed_passes() -> None:
    served = np.random.default_rng(3).normal(0, 10, 400)
    found = compare({"group": ["a"] * 400}, np.zeros(400), served * 1.04, served, BY)
    assert found[0].p is not None
    assert found[0].p < 0.001
    assert refused(found) == []


def test_the_chance_is_that_of_all_ways_to_swap_the_two_models_errors() -> None:
    """Of 12 rows every way is tried; rows on which both are equal say nothing."""
    differences = np.array([3.0, -1.0, 2.0, 0.5, 2.5, -0.7, 1.1, 0.9, -0.2, 1.7, 0.0, 0.0])
    ways = np.array(list(product((1, -1), repeat=differences.size))) @ differences
    exact = np.mean(ways >= differences.sum() - 1e-9)
    assert 0.001 < exact < 0.1
    assert chance_of_mean(differences) == pytest.approx(exact, abs=0.01)
    assert chance_of_mean(np.array([0.3, 0.1, 0.2, *[0.0] * 97])) == pytest.approx(1 / 8, abs=0.03)


def test_too_few_rows_are_not_judged_and_said() -> None:
    columns = {"group": ["few"] * 23 + ["many"] * 100}
    mine = np.array([100.0] * 23 + [1.0] * 100)
    found = compare(columns, np.zeros(123), mine, np.ones(123), BY)
    assert refused(found) == []
    assert "too few rows to tell, 30 are needed: group = few: 23" in sentence_of(found, BY, "run")


def test_500_slices_are_judged_where_they_can_be_and_the_sentence_stays_short() -> None:
    labels = [f"v{number % 500}" for number in range(600)] + ["big"] * 200
    generator = np.random.default_rng(1)
    served = generator.normal(0, 1, 800)
    found = compare({"group": labels}, np.zeros(800), served * 1.01, served, BY)
    assert len(found) == 501
    assert [one.label for one in found if one.p is not None] == ["big"]
    assert len(sentence_of(found, BY, "run")) < 1_000
    assert "and 490 more" in sentence_of(found, BY, "run")


def test_more_slices_than_the_resamples_can_tell_are_not_tested() -> None:
    labels = [f"v{number % 150}" for number in range(150 * 30)]
    generator = np.random.default_rng(2)
    served = generator.normal(0, 1, len(labels))
    found = compare({"group": labels}, np.zeros(len(labels)), served, served, BY)
    assert sum(one.p is not None for one in found) == MOST_TESTED


def test_a_perfect_champion_makes_no_division_by_zero() -> None:
    found = compare({"group": ["a"] * 40}, np.zeros(40), np.ones(40), np.zeros(40), BY)
    assert refused(found) == ["a"]
    assert found[0].increase == float("inf")
    same = compare({"group": ["a"] * 40}, np.zeros(40), np.zeros(40), np.zeros(40), BY)
    assert refused(same) == []


def decided(candidate: Candidate, incumbent: Candidate | None, **asked: Any) -> Check:
    slices = SliceSettings(**asked)
    manifest = msgspec.structs.replace(candidate.manifest, slices=slices)
    served = (
        Incumbent(None, b"", "nothing is served")
        if incumbent is None
        else Incumbent(incumbent.manifest, incumbent.files[layout.MODEL])
    )
    decision = judge((), Case(manifest, candidate.files, (), served))
    return next(check for check in decision.checks if check.name == "slices")


CANDIDATE, SAME = build(run_id(1), rows=400), build(run_id(0), rows=400)


def test_a_candidate_as_good_in_every_slice_passes_with_the_worst_one_named() -> None:
    check = decided(CANDIDATE, SAME, by=("lunch", "hours"))
    assert (check.passed, check.observed, check.threshold) == (True, 0.0, 0.05)
    assert f"slices none is surely worse than {SAME.manifest.run_id} and by more than 5%" in check.reason


def test_a_candidate_that_serves_one_slice_worse_is_refused_with_its_name() -> None:
    """The champion knows more of the rows with many hours: the candidate's slope is too low for them."""
    worse = build(run_id(1), rows=400, slope=3.0, claimed_r2=0.5)
    check = decided(worse, SAME, by=("hours",))
    assert (check.passed, check.code) == (False, "slices_failed")
    assert check.reason.startswith(f"surely worse than {SAME.manifest.run_id} and by more than 5%: hours = 7.")
    assert isinstance(check.observed, float)
    assert check.observed > 0.3


@pytest.mark.parametrize(
    ("incumbent", "asked", "passed", "code"),
    [
        (SAME, {}, True, "not_asked"),
        (None, {"by": ("lunch",)}, True, "not_compared"),
        (SAME, {"by": ("shoes",)}, False, "no_such_slice"),
    ],
)
def test_what_was_not_compared_says_why(
    incumbent: Candidate | None, asked: dict[str, Any], passed: bool, code: str
) -> None:
    check = decided(CANDIDATE, incumbent, **asked)
    assert (check.passed, check.code) == (passed, code)


def test_a_column_that_no_model_uses_is_a_slice_all_the_same() -> None:
    """It comes as text, with a word that only the rows held out have."""
    document = decode_gzip(CANDIDATE.files[layout.HOLDOUT], Holdout, "holdout")
    group = ["a" if place % 2 else "b" for place in range(399)] + ["only here"]
    wider = Holdout(columns={**document.columns, "group": list(group)}, target=document.target)
    candidate = CANDIDATE.with_file(layout.HOLDOUT, encode_gzip(wider))
    candidate = candidate.with_manifest(dropped=("group",))
    check = decided(candidate, SAME, by=("group",))
    assert check.passed
    assert "of 2 slices none" in check.reason
    assert "group = only here: 1" in check.reason


def test_settings_are_in_the_manifest_as_it_is_written() -> None:
    asked = SliceSettings(by=("lunch",), max_drop=0.1, min_rows=50)
    assert b'"max_drop": 0.1' in encode(msgspec.structs.replace(CANDIDATE.manifest, slices=asked))
