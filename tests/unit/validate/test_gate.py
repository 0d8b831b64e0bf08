"""The gate: every check fails with its own reason, and nothing that is not a number passes."""

import itertools
import json
import math
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from functions.validate import bootstrap, gate
from functions.validate.gate import Case, Incumbent, judge
from shared import layout
from shared.codec import decode, encode, encode_gzip
from shared.decisions import Check, Decision
from shared.documents import Feature, GateSettings
from shared.metrics import mae, r2, rmse, significant
from shared.profiles import Golden, Holdout
from tests.candidates import FEATURES, Candidate, build, graph, run_id

NOBODY = Incumbent(None, b"", "staging serves nothing yet")
OPENING = [gate.check(name, True, None, None, "fine") for name in gate.OPENING]
SCORED = ["score", "better_than_mean", "reported", "contract", "champion", "slices"]
NAMES = [*gate.OPENING, "integrity", "graph", "golden", "holdout_size", *SCORED]


def decided(candidate: Candidate, problems: tuple[str, ...] = (), incumbent: Incumbent = NOBODY) -> Decision:
    return judge(OPENING, Case(candidate.manifest, candidate.files, problems, incumbent))


def failed(decision: Decision) -> list[str]:
    return [c.name for c in decision.checks if c.standing == "failed"]


def found(decision: Decision, name: str) -> Check:
    return next(check for check in decision.checks if check.name == name)


def champion(**options: Any) -> Incumbent:
    served = build(run_id(0), **options)
    return Incumbent(served.manifest, served.files[layout.MODEL])


def with_holdout(candidate: Candidate, **changes: Any) -> Candidate:
    holdout = Case(candidate.manifest, candidate.files, (), NOBODY).holdout
    return candidate.with_file(layout.HOLDOUT, encode_gzip(msgspec.structs.replace(holdout, **changes)))


def test_a_good_candidate_passes_every_check_in_the_order_of_the_table() -> None:
    decision = decided(build(run_id(1)))
    assert decision.passed, decision
    assert [check.name for check in decision.checks] == NAMES
    assert all(check.reason for check in decision.checks)


def test_a_decision_is_the_same_whenever_it_is_made() -> None:
    assert encode(decided(build(run_id(1)))) == encode(decided(build(run_id(1))))


def test_a_problem_of_a_file_fails_integrity_and_runs_nothing_that_needs_the_files() -> None:
    decision = decided(build(run_id(1)), ("model.onnx is missing",))
    assert failed(decision) == ["integrity"]
    assert found(decision, "integrity").reason == "model.onnx is missing"
    assert {check.reason for check in decision.checks[4:]} == {
        "not run: integrity failed",
    }
    assert not any(check.passed for check in decision.checks[4:])


@pytest.mark.parametrize("name", gate.OPENING)
def test_nothing_runs_after_an_opening_check_failed(name: str) -> None:
    opening = [gate.check(n, n != name, None, None, "so it is") for n in gate.OPENING]
    decision = judge(opening, None)
    assert not decision.passed
    assert failed(decision) == [name]
    assert [check.name for check in decision.checks] == NAMES
    assert all(f"not run: {name} failed" in check.reason for check in decision.checks[3:])


def test_golden_predictions_of_another_model_fail() -> None:
    candidate = build(run_id(1))
    decision = decided(candidate.with_file(layout.MODEL, graph(FEATURES, 3.9)))
    assert failed(decision) == ["golden"]
    assert "golden predictions differ by" in found(decision, "golden").reason
    assert found(decision, "score").reason == "not run: golden failed"


@pytest.mark.parametrize("model", [b"", b"\x00" * 100, b"{}", encode(Golden(rows=(), predictions=()))])
def test_bytes_that_are_no_graph_are_never_loaded(model: bytes) -> None:
    decision = decided(build(run_id(1)).with_file(layout.MODEL, model))
    assert failed(decision) == ["graph"]
    assert "no ONNX model" in found(decision, "graph").reason
    assert found(decision, "golden").reason == "not run: graph failed"


def test_a_graph_for_other_features_fails_golden() -> None:
    decision = decided(build(run_id(1)).with_file(layout.MODEL, graph(FEATURES[:1], 4.0)))
    assert failed(decision) == ["golden"]
    assert "do not fit the manifest's features" in found(decision, "golden").reason


@pytest.mark.parametrize(
    ("golden", "reason"),
    [
        (b'{"rows": [], "predictions": []}', "no rows"),
        (b'{"rows": [{}], "predictions": [1.0]}', "do not fit"),
        (b'{"rows": [{"hours": 1}], "predictions": [1.0]}', "do not fit"),
        (b'{"rows": [{"hours": "x", "lunch": "free"}], "predictions": [1.0]}', "do not fit"),
        (b'{"rows": [{"hours": 1, "lunch": 7}], "predictions": [1.0]}', "differ by"),
        (b'{"rows": [{"hours": 1, "lunch": "free"}], "predictions": [NaN]}', "not a valid Golden"),
        (b'{"rows": [{"hours": 1, "lunch": "free"}], "predictions": [1e400]}', "not a valid Golden"),
        (b'{"rows": [{"hours": 1, "lunch": "free"}], "predictions": ["44"]}', "not a valid Golden"),
        (b'{"rows": [{"hours": 1, "lunch": "free"}], "predictions": [true]}', "not a valid Golden"),
        (b'{"rows": [{"hours": 1, "lunch": "free"}], "predictions": []}', "1 rows but 0 predictions"),
        (b"[]", "not a valid Golden"),
        (b"", "not a valid Golden"),
    ],
)
def test_a_golden_file_that_is_not_one_fails_golden(golden: bytes, reason: str) -> None:
    decision = decided(build(run_id(1)).with_file(layout.GOLDEN, golden))
    assert failed(decision) == ["golden"]
    assert reason in found(decision, "golden").reason


def test_a_graph_that_predicts_nothing_that_is_a_number_never_passes() -> None:
    decision = decided(build(run_id(1)).with_file(layout.MODEL, graph(FEATURES, math.nan)))
    assert failed(decision) == ["golden"]


def test_a_score_that_is_not_a_number_passes_no_check() -> None:
    class Blind(Case):
        predicted = np.full(200, np.nan)

    candidate = build(run_id(1))
    decision = judge(OPENING, Blind(candidate.manifest, candidate.files, (), champion()))
    assert failed(decision) == ["score", "better_than_mean", "reported", "champion"]
    assert found(decision, "score").observed == "nan"
    assert b"NaN" not in encode(decision)


@pytest.mark.parametrize("rows", [1, 2, 29])
def test_fewer_than_thirty_held_out_rows_fail(rows: int) -> None:
    decision = decided(build(run_id(1), rows=rows))
    assert failed(decision) == ["holdout_size"]
    assert found(decision, "holdout_size").reason == f"{rows} rows are held out, 30 are needed"
    assert found(decision, "score").reason == "not run: holdout_size failed"


def test_thirty_rows_are_enough() -> None:
    assert decided(build(run_id(1), rows=30)).passed


def test_a_constant_target_fails_although_its_r2_might_be_called_perfect() -> None:
    candidate = with_holdout(build(run_id(1)), target=[0.1] * 200)
    decision = decided(candidate)
    assert failed(decision) == ["holdout_size"]
    assert "constant" in found(decision, "holdout_size").reason


@pytest.mark.parametrize(
    "holdout", [b"", b"{}", b"\x1f\x8b", encode_gzip(Holdout(columns={"hours": [1.0]}, target=[1.0]))[:-9]]
)
def test_a_holdout_that_does_not_parse_fails_its_check(holdout: bytes) -> None:
    assert failed(decided(build(run_id(1)).with_file(layout.HOLDOUT, holdout))) == ["holdout_size"]


def test_an_empty_holdout_fails() -> None:
    assert failed(decided(with_holdout(build(run_id(1)), columns={"hours": [], "lunch": []}, target=[]))) == [
        "holdout_size"
    ]


def test_a_holdout_without_a_feature_fails_every_score() -> None:
    decision = decided(with_holdout(build(run_id(1)), columns={"hours": [1.0] * 200}))
    assert failed(decision) == ["score", "better_than_mean", "reported"]
    assert "do not fit the features" in found(decision, "score").reason


def test_numbers_at_the_edge_of_floats_overflow_into_a_refusal() -> None:
    target = [1e308 if row % 2 else -1e308 for row in range(200)]
    assert "score" in failed(decided(with_holdout(build(run_id(1)), target=target)))


def test_r2_is_that_of_the_artefact_and_not_the_trainers_claim() -> None:
    candidate = build(run_id(1), slope=2.5, min_r2=0.8, claimed_r2=0.9)
    decision = decided(candidate)
    assert failed(decision) == ["score", "reported"]
    trial = Case(candidate.manifest, candidate.files, (), NOBODY)
    assert found(decision, "score").observed == r2(trial.target, trial.predicted)
    assert found(decision, "score").threshold == 0.8


def test_r2_at_the_threshold_passes() -> None:
    score = build(run_id(1)).manifest.model.holdout.r2
    assert decided(build(run_id(1), min_r2=score)).passed
    assert failed(decided(build(run_id(1), min_r2=math.nextafter(score, 1)))) == ["score"]


def test_a_score_that_may_be_chance_is_not_better_than_the_mean() -> None:
    candidate = build(run_id(1), noise=60.0, rows=40)
    decision = decided(candidate)
    assert failed(decision) == ["better_than_mean"]
    observed = found(decision, "better_than_mean").observed
    assert isinstance(observed, float)
    assert observed < 0.0 < candidate.manifest.gate.min_r2 < candidate.manifest.model.holdout.r2


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.0009, True), (0.0011, False), (-0.0011, False)])
def test_the_reported_score_agrees_within_a_thousandth(error: float, passes: bool) -> None:
    score = build(run_id(1)).manifest.model.holdout.r2
    decision = decided(build(run_id(1), claimed_r2=score + error))
    assert failed(decision) == ([] if passes else ["reported"])


def test_a_candidate_as_good_as_the_champion_passes() -> None:
    assert decided(build(run_id(1)), incumbent=champion()).passed


def test_a_candidate_clearly_worse_than_the_champion_fails() -> None:
    decision = decided(build(run_id(1), slope=2.5), incumbent=champion())
    assert failed(decision) == ["champion"]
    assert found(decision, "champion").threshold == -0.02
    assert run_id(0) in found(decision, "champion").reason


def test_a_better_candidate_replaces_the_champion() -> None:
    assert decided(build(run_id(1)), incumbent=champion(slope=2.5)).passed


def test_a_champion_with_fewer_features_is_compared_on_its_own_terms() -> None:
    accepting = build(run_id(1), slope=2.5).with_manifest(gate=GateSettings(accepts=("field:lunch",)))
    decision = decided(accepting, incumbent=champion(features=FEATURES[:1]))
    assert failed(decision) == ["champion"]
    assert isinstance(found(decision, "champion").observed, float)


def test_a_champion_with_features_that_are_not_there_is_skipped_with_a_reason() -> None:
    other = Feature(name="age", kind="numeric", nullable=False, imputed=1.0, min=0.0, max=9.0)
    decision = decided(build(run_id(1)), incumbent=champion(features=(*FEATURES, other)))
    assert failed(decision) == ["contract"]
    assert found(decision, "champion").reason.endswith(f"{run_id(0)} needs features that the candidate has not: age")


def test_a_champion_for_another_target_is_skipped_with_a_reason() -> None:
    decision = decided(build(run_id(1)), incumbent=champion(target="height"))
    assert failed(decision) == ["contract"]
    assert "not compared" in found(decision, "champion").reason


def test_without_a_champion_the_check_says_why_it_passes() -> None:
    assert found(decided(build(run_id(1))), "champion").reason == "not compared: staging serves nothing yet"


def test_reasons_hold_no_cell_of_a_row() -> None:
    candidate = build(run_id(1))
    secret = {"rows": [{"hours": "secret-cell", "lunch": "free"}], "predictions": [1.0]}
    decision = decided(candidate.with_file(layout.GOLDEN, json.dumps(secret).encode()))
    assert b"secret-cell" not in encode(decision)


def test_the_lower_bound_covers_the_true_r2_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    below = 0
    for _ in range(100):
        signal = random.normal(size=200)
        below += bootstrap.r2_lower_bound(signal + random.normal(size=200), signal) <= 0.5
    assert 88 <= below <= 100


def test_the_lower_bound_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    target = random.normal(size=50)
    predicted = target + random.normal(size=50)
    rows = np.concatenate(list(bootstrap._resamples(50)))
    scores = sorted(r2(target[pick], predicted[pick]) for pick in rows)
    assert bootstrap.r2_lower_bound(target, predicted) == pytest.approx(scores[int(0.05 * 1999)], abs=1e-9)


def test_the_paired_bound_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    target = random.normal(size=50)
    one, two = target + random.normal(size=50), target + random.normal(size=50)
    rows = np.concatenate(list(bootstrap._resamples(50)))
    scores = sorted(r2(target[pick], one[pick]) - r2(target[pick], two[pick]) for pick in rows)
    assert bootstrap.difference_lower_bound(target, one, two) == pytest.approx(scores[int(0.05 * 1999)], abs=1e-9)


def test_resamples_without_a_defined_r2_only_lower_the_bound() -> None:
    target = np.array([0.0] * 39 + [1.0])
    assert bootstrap.r2_lower_bound(target, target * 0.99) == -math.inf
    assert bootstrap.difference_lower_bound(target, target * 0.99, target * 0.5) == -math.inf


def test_two_thousand_resamples_of_a_thousand_rows_take_under_a_fifth_of_a_second() -> None:
    random = np.random.default_rng(3)
    target = random.normal(size=1000)
    predicted = target + random.normal(size=1000)

    def seconds() -> float:
        start = time.process_time()  # not the clock on the wall: others work here too
        bootstrap.r2_lower_bound(target, predicted)
        return time.process_time() - start

    assert min(itertools.islice(iter(seconds, None), 5)) < 0.2


def test_fifty_thousand_rows_fit_into_memory_and_time() -> None:
    random = np.random.default_rng(3)
    target = random.normal(size=50_000)
    start = time.process_time()
    assert 0.4 < bootstrap.r2_lower_bound(target + random.normal(size=50_000), target) < 0.5
    assert time.process_time() - start < 60


def test_a_check_table_row_needs_only_checks_that_come_before_it() -> None:
    names = list(gate.OPENING)
    for name, needs, _ in gate.CHECKS:
        assert set(needs) <= set(names)
        names.append(name)
    assert names == NAMES


def test_a_decision_survives_its_own_json() -> None:
    decision = decided(build(run_id(1), slope=0.0, claimed_r2=0.5))
    assert decode(encode(decision), Decision, "d") == decision


def in_mae(candidate: Candidate, **settings: Any) -> Candidate:
    manifest = candidate.manifest
    return candidate.with_manifest(
        model=msgspec.structs.replace(manifest.model, scoring="mae"),
        gate=msgspec.structs.replace(manifest.gate, **settings),
    )


def test_the_floor_is_stated_in_the_score_that_chose_the_model() -> None:
    candidate = build(run_id(1), slope=0.0, claimed_r2=None)
    error = candidate.manifest.model.holdout.mae
    passing, failing = (found(decided(in_mae(candidate, min_score=error * by)), "score") for by in (1.01, 0.99))
    assert (passing.standing, failing.standing) == ("passed", "failed")
    assert passing.observed == pytest.approx(error)
    assert failing.reason.startswith(f"MAE on the held-out rows is {significant(error)}, at most ")
    assert "; R² is " in failing.reason


def test_without_a_floor_of_its_own_an_error_has_none_and_min_r2_is_no_part_of_it() -> None:
    check = found(decided(in_mae(build(run_id(1), min_r2=0.999))), "score")
    assert (check.standing, check.threshold) == ("passed", None)


def test_min_score_is_the_floor_of_r2_too() -> None:
    candidate = build(run_id(1))
    gate_settings = msgspec.structs.replace(candidate.manifest.gate, min_score=0.999)
    assert failed(decided(candidate.with_manifest(gate=gate_settings))) == ["score"]


@pytest.mark.parametrize("scoring", ["mae", "rmse"])
@pytest.mark.parametrize(("slope", "standing"), [(4.0, "passed"), (2.5, "failed")])
def test_the_champion_is_compared_in_the_score_that_chose_the_model(scoring: str, slope: float, standing: str) -> None:
    candidate = build(run_id(1), slope=slope)
    model = msgspec.structs.replace(candidate.manifest.model, scoring=scoring)
    check = found(decided(candidate.with_manifest(model=model), incumbent=champion()), "champion")
    assert check.standing == standing
    assert f"has {scoring.upper()} " in check.reason
    assert "; R² " in check.reason


def test_an_error_may_grow_by_max_drop() -> None:
    candidate = build(run_id(1), slope=3.0)
    strict, lax = (
        found(decided(in_mae(candidate, max_drop=drop), incumbent=champion()), "champion") for drop in (0.01, 5.0)
    )
    assert (strict.standing, lax.standing) == ("failed", "passed")
    assert (strict.threshold, lax.threshold) == (-0.01, -5.0)


def test_a_model_worse_than_the_mean_is_refused_by_any_score() -> None:
    assert "better_than_mean" in failed(decided(in_mae(build(run_id(1), slope=-4.0))))


def test_a_score_that_is_not_known_is_refused_with_the_choices() -> None:
    candidate = build(run_id(1))
    model = msgspec.structs.replace(candidate.manifest.model, scoring="mape")
    check = found(decided(candidate.with_manifest(model=model)), "score")
    assert (check.standing, "r2, mae, rmse" in check.reason) == ("failed", True)


@pytest.mark.parametrize(("scoring", "measure"), [("mae", mae), ("rmse", rmse)])
def test_the_bound_of_a_difference_is_that_of_resampled_rows(scoring: str, measure: Any) -> None:
    generator = np.random.default_rng(0)
    target = generator.normal(size=40)
    one, two = (target + generator.normal(scale=0.5, size=40) for _ in range(2))
    rows = np.concatenate(list(bootstrap._resamples(40)))
    gains = sorted(measure(target[pick], two[pick]) - measure(target[pick], one[pick]) for pick in rows)
    assert bootstrap.difference_lower_bound(target, one, two, scoring) == pytest.approx(gains[99], abs=1e-9)
