"""Two runs side by side: on the same rows, whatever columns each uses, and nothing claimed that they do not show."""

from typing import Any

import msgspec
import numpy as np
import pytest

from infra.operate import compare as command
from infra.operate.comparison import Side, compare, interval, scored
from infra.operate.served import CannotTell
from shared import layout
from shared.codec import decode_gzip, encode_gzip
from shared.documents import Feature, TrainingInfo
from shared.metrics import R2, SCORINGS, significant
from shared.profiles import Holdout
from tests.candidates import FEATURES, Candidate, build, publish, run_id
from tests.memory_store import MemoryStore

HOURS, LUNCH = FEATURES


def side(number: int, **options: Any) -> tuple[Side, Holdout]:
    candidate = build(run_id(number), **options)
    return Side(candidate.manifest, candidate.files[layout.MODEL]), holdout_of(candidate)


def holdout_of(candidate: Candidate) -> Holdout:
    return decode_gzip(candidate.files[layout.HOLDOUT], Holdout, "holdout")


def lines(first: Side, second: Side, holdout: Holdout | None) -> list[str]:
    return list(compare(first, second, holdout))


def test_the_better_run_is_named_with_the_difference_and_its_interval() -> None:
    (first, holdout), (second, _) = side(1, slope=2.0), side(2, slope=4.0)
    text = "\n".join(lines(first, second, holdout))
    assert text.count("the second is better") == len(SCORINGS)
    assert "the first is better" not in text
    assert "\n".join(lines(second, first, holdout)).count("the first is better") == len(SCORINGS)


def test_a_difference_that_the_rows_do_not_show_is_not_claimed() -> None:
    (first, holdout), (second, _) = side(1, slope=3.5, rows=40, noise=12.0), side(2, slope=4.5)
    assert "\n".join(lines(first, second, holdout)).count("no difference that these rows show") == len(SCORINGS)


def test_the_interval_holds_the_score_and_pairs_the_rows() -> None:
    (first, holdout), (second, _) = side(1, slope=3.9), side(2, slope=4.0)
    found = scored(first, second, holdout)
    of_first, of_second, of_difference = interval(found, R2)
    assert of_first[0] < R2.score(found.target, found.first) < of_first[1]
    assert of_difference[1] - of_difference[0] < 0.2 * (of_second[1] - of_second[0])  # paired: much narrower


def test_runs_with_other_features_are_scored_on_rows_that_carry_both() -> None:
    age = Feature(name="age", kind="numeric", nullable=False, imputed=1.0, min=0.0, max=9.0)
    first, holdout = side(1)
    second, _ = side(2, features=(HOURS, LUNCH, age))
    ages = [str(position % 9) for position in range(len(holdout.target))]
    wide = msgspec.structs.replace(holdout, columns={**holdout.columns, "age": ages})
    text = "\n".join(lines(first, second, wide))
    assert "Scores of both on the same 200 rows" in text
    assert any(line.startswith("* age") and "not used" in line for line in text.splitlines())
    assert "Scores: the rows held out do not have age" in lines(first, second, holdout)


def test_runs_of_other_targets_are_not_scored_on_one_of_them() -> None:
    (first, holdout), (second, _) = side(1), side(2)
    other = Side(msgspec.structs.replace(second.manifest, target="grade"), second.graph)
    found = lines(first, other, holdout)
    assert found[-1] == f"Scores: one predicts {first.manifest.target}, the other grade"
    assert any(line.startswith("* target") and line.endswith("grade") for line in found)


def test_what_differs_is_marked_and_what_does_not_stands_once() -> None:
    (first, holdout), (second, _) = side(1), side(2)
    model = msgspec.structs.replace(second.manifest.model, algorithm="Lasso", params={"alpha": 2.0})
    second = Side(msgspec.structs.replace(second.manifest, model=model), second.graph)
    found = lines(first, second, holdout)
    assert any(line.startswith("* algorithm") and line.endswith("Lasso") for line in found)
    assert any(line.startswith("* alpha") and line.endswith("2") for line in found)
    assert any(line.startswith("  table") and line.endswith("sample") for line in found)


def test_how_each_was_made_is_told_where_the_manifest_knows() -> None:
    (first, _), (second, _) = side(1), side(2)
    made = TrainingInfo(
        spec={"split": {"holdout": 0.2, "seed": 7}}, spec_sha256="0" * 64, budget_seconds=60, jobs=2, backend="loky"
    )
    second = Side(msgspec.structs.replace(second.manifest, training=made), second.graph)
    found = lines(first, second, None)
    assert any(line.startswith("* split") and "seed=7" in line for line in found)
    assert "Scores: no rows held out are left of either run (they are kept for 90 days)" in found


def test_groups_too_small_to_tell_are_left_out() -> None:
    first, holdout = side(1, slope=2.0)
    second, _ = side(2)
    lunch = ["Free" if position < 5 else "standard" for position in range(len(holdout.target))]
    few = msgspec.structs.replace(holdout, columns={**holdout.columns, "lunch": lunch})
    text = "\n".join(lines(first, second, few))
    assert "lunch = standard" in text
    assert "lunch = free" not in text


def test_a_run_is_found_where_a_stage_holds_it_and_a_damaged_one_is_told() -> None:
    store, kept = MemoryStore(), build(run_id(1))
    for name in (layout.MODEL, layout.MANIFEST):
        data = kept.manifest_bytes if name == layout.MANIFEST else kept.files[name]
        store.write(layout.staged("production", run_id(1), name), data, if_generation=0, content_type="x")
    assert command.find(store, run_id(1)).manifest == kept.manifest
    assert command.rows_of(store, kept.manifest) is None  # only candidates keep them
    with pytest.raises(CannotTell, match="there is no run"):
        command.find(store, run_id(2))
    publish(store, build(run_id(3)))
    assert len((command.rows_of(store, build(run_id(3)).manifest) or holdout_of(kept)).target) == 200


def test_many_rows_are_sampled_with_their_columns() -> None:
    (first, holdout), (second, _) = side(1, rows=6_000), side(2)
    found = scored(first, second, holdout)
    assert len(found.target) == len(found.columns["hours"]) == 5_000
    assert R2.score(found.target, found.second) > 0.5  # rows and targets still belong together


def test_the_rows_that_count_most_decide_which_run_is_better() -> None:
    (first, holdout), (second, _) = side(1, slope=2.0), side(2, slope=4.0)
    heavy = np.arange(200) % 4 == 0
    found = scored(first, second, holdout)
    told = msgspec.structs.replace(
        holdout,
        target=np.where(heavy, found.first, found.second).tolist(),
        weights=np.where(heavy, 40.0, 1.0).tolist(),
    )
    text = "\n".join(lines(first, second, told))
    assert text.count("the first is better") == len(SCORINGS)
    alike = "\n".join(lines(first, second, msgspec.structs.replace(told, weights=None)))
    assert alike.count("the second is better") == len(SCORINGS)
    (mae,) = [line.split() for line in text.splitlines() if "MAE" in line]
    error = np.average(np.abs(np.array(told.target) - found.first), weights=told.weights)
    assert mae[1] == significant(float(error))


def test_a_target_that_is_constant_claims_nothing() -> None:
    (first, holdout), (second, _) = side(1), side(2)
    flat = msgspec.structs.replace(holdout, target=[1.0] * len(holdout.target))
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        text = "\n".join(lines(first, second, decode_gzip(encode_gzip(flat), Holdout, "x")))
    assert "R²" in text
