"""What comes after the search is bounded too: proof, importance, groups and residuals of wide, slow or late runs."""

import io
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from functions.train import pipeline, stages
from functions.train.candidate import diagnosis
from functions.train.candidate.blending import Blending
from functions.train.candidate.diagnosis import AnswerRules, diagnose, importance
from functions.train.candidate.selection import NO_TIME, Finish, Result, finish_all
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of, proof_rows, require_parity
from functions.train.inputs import RunInputs
from functions.train.search.blend import MEMBERS
from functions.train.search.search import SearchPlan, out_of_fold, search
from functions.train.search.searched import Candidate, Searched
from functions.train.search.space import Choices
from functions.train.search.workers import Pool, Workers
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import SearchSettings
from shared import layout
from shared.dataset import DatasetSpec, TuningSpec
from shared.dataset_file import parse_spec
from shared.documents import Feature, Interval, TargetRange
from shared.store import Download
from shared.tables.reading import Column
from tests.tools import processor_seconds
from tests.unit.train.test_race import folds

SPEC = DatasetSpec(name="n", source="t.csv", target="y")


class Asked:
    """A model of numbers that answers with the first, and remembers how many rows it was asked for."""

    categorical = ()

    def __init__(self, names: Sequence[str], pause: float = 0.0) -> None:
        self.numeric = tuple(names)
        self.rows: list[int] = []
        self._pause = pause

    def arrays(self, columns: dict[str, list[Any]]) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        numbers = np.array([columns[name] for name in self.numeric], dtype=np.float64).T.copy()
        return numbers, np.empty((len(numbers), 0), dtype=object)

    def run(self, numeric: NDArray[np.float64], _words: NDArray[np.object_]) -> NDArray[np.float64]:
        self.rows.append(len(numeric))
        time.sleep(self._pause)
        first: NDArray[np.float64] = np.nan_to_num(numeric[:, 0])
        return first

    def predict(self, columns: dict[str, list[Any]]) -> NDArray[np.float64]:
        return self.run(*self.arrays(columns))


def wide(rows: int, width: int) -> tuple[Rows, tuple[Feature, ...]]:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(rows, width))).add_prefix("x")
    table = Rows(frame, frame["x0"].to_numpy() + generator.normal(scale=0.1, size=rows))
    return table, describe_features([Column(str(name), "numeric", False) for name in frame], table, SPEC)


def test_a_wide_table_is_proved_with_fewer_rows_and_a_usual_one_with_all() -> None:
    assert proof_rows(20) >= 100_000
    rows, features = wide(300, 1_500)
    model = Asked([feature.name for feature in features])

    class Same:
        def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
            first: NDArray[np.float64] = np.nan_to_num(frame["x0"].to_numpy())
            return first

    assert require_parity(Same(), model, features, rows.features, 0) == 0.0  # type: ignore[arg-type]
    assert model.rows == [300, proof_rows(1_500)]
    assert 200 <= proof_rows(1_500) < 5_000
    assert proof_rows(10**9) == 200


@pytest.mark.parametrize(("width", "shuffles"), [(4, 10), (1_500, 2)])
def test_many_features_are_shuffled_fewer_times_and_that_is_said(width: int, shuffles: int) -> None:
    rows, features = wide(44, width)
    model = Asked([feature.name for feature in features])
    found = importance(model, features, columns_of(rows.features), rows.target, 0)  # type: ignore[arg-type]
    assert {entry["shuffles"] for entry in found} == {shuffles}
    assert len(found) == width
    assert len(model.rows) == 1 + width * shuffles
    assert found[0]["feature"] == "x0"
    assert found[0]["mean"] > 0.5
    assert {entry["mean"] for entry in found[1:]} == {0.0}  # every column is put back


@pytest.mark.parametrize(("of_any_budget", "of_this_one"), [(0.05, math.inf), (60.0, 0.05)])
def test_a_slow_graph_is_asked_for_as_long_as_there_is_time(
    of_any_budget: float, of_this_one: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "MOST_SECONDS", of_any_budget)
    rows, features = wide(30, 20)
    model: Any = Asked([feature.name for feature in features], pause=0.02)
    found = importance(model, features, columns_of(rows.features), rows.target, 0, most_seconds=of_this_one)
    assert 1 <= len(found) <= 3
    assert {entry["shuffles"] for entry in found} == {1}


def test_groups_are_those_of_the_leading_features_and_of_the_slices() -> None:
    rows, features = wide(60, 100)
    model = Asked([feature.name for feature in features])
    served = AnswerRules(Interval(level=0.9, low_residual=-1.0, high_residual=1.0), TargetRange())
    found = diagnose(model, features, rows, served, 0, slices=("x99",))  # type: ignore[arg-type]
    named = {group["feature"] for group in found["groups"]}
    assert {"x0", "x99"} <= named
    assert len(named) == found["grouped"] == 61
    assert found["features"] == 100


def late(seconds_left: float) -> tuple[Blending, Result]:
    best = Candidate("random", {}, (0.5,) * 5, (0.5,) * 5, seconds=50.0)
    searched = Searched(MODEL_ZOO[1], [best])
    empty = Rows(pd.DataFrame(), np.zeros(0))
    finish = Finish((), (), empty, empty, 0, ends=time.monotonic() + seconds_left)
    plan = SearchPlan(TuningSpec(), 0, Pool(Workers(1, "sequential")))
    return Blending(folds(), plan, finish), Result(searched, best, None, None, None, 1.0, None, None)


@pytest.mark.parametrize(("left", "count"), [(-100.0, 1), (25.0, 2), (1_000.0, 5), (math.inf, 5)])
def test_residuals_come_from_as_many_folds_as_there_is_time_for(left: float, count: int) -> None:
    blending, result = late(left)
    predicted = blending.in_time(result)
    assert np.isfinite(predicted).sum() == count * 40
    remark = f"its interval is that of {count} of 5 folds, since the time budget is short"
    assert result.searched.remark == (remark if count < 5 else None)


def test_what_was_fitted_out_of_fold_is_not_fitted_again() -> None:
    blending, result = late(-100.0)
    whole = blending.out_of_fold(result)
    assert np.isfinite(whole).all()
    assert blending.in_time(result) is whole
    assert result.searched.remark is None


def test_what_the_search_predicted_out_of_fold_is_not_fitted_again() -> None:
    fits = []

    class Counted(Ridge):  # type: ignore[misc]
        def fit(self, *given: object) -> "Counted":
            fits.append(1)
            super().fit(*given)
            return self

    counted = Algorithm("Counted", lambda _: Counted(), {"alpha": Choices((0.1, 1.0, 10.0))}, opening={"alpha": 1.0})
    plan = SearchPlan(TuningSpec(), 0, Pool(Workers(1, "sequential")))
    (searched,) = search([counted], folds(), plan)
    best, made = searched.best, len(fits)
    assert best is not None
    assert [len(one.outside) for one in searched.candidates if one is not best] == [0] * (len(searched.candidates) - 1)
    empty = Rows(pd.DataFrame(), np.zeros(0))
    late = Finish((), (), empty, empty, 0, ends=time.monotonic() - 100.0)
    found = Blending(folds(), plan, late).in_time(Result(searched, best, None, None, None, 1.0, None, None))
    assert (len(fits), searched.remark) == (made, None)
    assert np.array_equal(found, out_of_fold(counted, best.params, folds(), plan))


def test_those_that_no_blend_is_made_of_leave_it_its_time() -> None:
    rows, features = wide(60, 2)
    columns = tuple(Column(feature.name, "numeric", False) for feature in features)
    finish = Finish(columns, features, rows, rows, 0, ends=time.monotonic() + 50.0)
    ranked = [
        Searched(replace(MODEL_ZOO[1], name=f"{place}"), [Candidate("random", {}, (score,) * 5, (score,) * 5, 44.0)])
        for place, score in enumerate(np.linspace(0.9, 0.3, MEMBERS + 2))
    ]  # a refit of 11 s each is expected, of which five would take 55 s
    left_out = [result.name for result in finish_all(ranked, finish) if result.error == NO_TIME]
    assert left_out == ["5", "6"]


@pytest.mark.parametrize(
    ("budget", "ends"), [(8.0, (5.2, 6.8)), (60.0, (39.0, 51.0)), (120.0, (96.0, 111.0)), (1500.0, (1200.0, 1425.0))]
)
def test_a_short_budget_leaves_time_for_the_report(budget: float, ends: tuple[float, float]) -> None:
    assert stages.ends_after(budget) == pytest.approx(ends)


def test_a_whole_run_on_few_rows_and_many_columns_keeps_to_its_budget() -> None:
    """1.5 times the budget and a constant, in processor time, which a busy computer does not change."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(np.round(generator.normal(size=(220, 700)), 3)).add_prefix("x")
    frame["y"] = np.round(frame["x0"] * 3 + frame["x1"] + generator.normal(scale=0.3, size=220), 3)
    spec = b'name = "wide"\nsource = "w.csv"\ntarget = "y"\n[tuning]\nfolds = 3\n'
    text = io.BytesIO()
    frame.to_csv(text, index=False)
    inputs = RunInputs(parse_spec(spec), Download(spec, 0), "w.csv", Download(text.getvalue(), 0))
    settings = SearchSettings(jobs=1, backend="loky", budget_seconds=8.0, git_sha="unknown")
    seconds, run = processor_seconds(lambda: pipeline.train(inputs, settings, "20260105T070000Z-0123abcd"))
    assert seconds < 1.5 * settings.budget_seconds + 10.0
    page = run.files[layout.REPORT_PAGE].decode()
    assert "Groups are those of 60 of 700 features, which matter most." in page
    assert "the first 20 of 700 features" in page
    assert "And 640 more in report.json" in page
