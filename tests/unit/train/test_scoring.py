"""The score that the spec names chooses the winner and orders what people are shown; R² stands beside it."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.tree import DecisionTreeRegressor

from functions.train import pipeline
from functions.train.candidate.report import report_page
from functions.train.candidate.trained import Trained
from functions.train.desk import leaderboard
from functions.train.inputs import RunInputs
from functions.train.search.zoo import MODEL_ZOO, Algorithm, chosen
from functions.train.settings import SearchSettings
from shared import layout
from shared.dataset import AlgorithmsSpec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.store import Download

BASELINE = MODEL_ZOO[0]
MEANS = Algorithm("Means", lambda _: DecisionTreeRegressor(max_depth=2))
MEDIANS = Algorithm("Medians", lambda _: DecisionTreeRegressor(max_depth=2, criterion="absolute_error"))
ZOO = [BASELINE, MEANS, MEDIANS]
SETTINGS = SearchSettings(jobs=1, backend="loky", budget_seconds=600, git_sha="unknown")


def table() -> bytes:
    """A skewed target: medians have the smaller absolute error, means the smaller squared one."""
    generator = np.random.default_rng(3)
    x = np.round(generator.uniform(0, 10, 900), 2)
    y = (1 + x) * np.exp(generator.normal(scale=0.8, size=900))
    frame = pd.DataFrame({"x": x, "y": np.round(y, 3)})
    text = io.StringIO()
    frame.to_csv(text, index=False)
    return text.getvalue().encode()


def trained(scoring: str) -> Trained:
    spec = f'name = "n"\nsource = "n.csv"\ntarget = "y"\n[tuning]\nscoring = "{scoring}"\nfolds = 3\n'.encode()
    inputs = RunInputs(parse_spec(spec), Download(spec, 0), "n.csv", Download(table(), 0))
    return pipeline.train(inputs, SETTINGS, "20260105T070000Z-0123abcd", ZOO)


@pytest.fixture(scope="module")
def runs() -> dict[str, Trained]:
    return {scoring: trained(scoring) for scoring in ("r2", "mae", "RMSE")}


def test_the_score_of_the_spec_chooses_the_winner(runs: dict[str, Trained]) -> None:
    winners = {scoring: run.selected.result.name for scoring, run in runs.items()}
    assert winners == {"r2": "Means", "mae": "Medians", "RMSE": "Means"}


def test_the_manifest_holds_the_score_with_r2_beside_it(runs: dict[str, Trained]) -> None:
    model = runs["mae"].manifest.model
    assert model.scoring == "mae"
    assert model.cv.score_mean is not None
    assert model.cv.score_mean == pytest.approx(-runs["mae"].selected.best.mean)
    assert model.cv.score_mean > 0 > model.cv.r2_mean - 1
    assert runs["r2"].manifest.model.cv.score_mean == runs["r2"].manifest.model.cv.r2_mean


@pytest.mark.parametrize(("scoring", "label"), [("r2", "R²"), ("mae", "MAE"), ("RMSE", "RMSE")])
def test_the_report_and_the_leaderboard_are_in_its_order(runs: dict[str, Trained], scoring: str, label: str) -> None:
    run = runs[scoring]
    report = json.loads(run.files[layout.REPORT])
    page = run.files[layout.REPORT_PAGE].decode()
    names = [page.index(f"<td>{row['name']}") for row in report["algorithms"] if row["cv"]]
    order = np.argsort([row["cv"]["score_mean"] * (1 if scoring == "r2" else -1) for row in report["algorithms"]])[::-1]
    assert [names[place] for place in order] == sorted(names)
    assert f"Cross-validated {label} of every algorithm" in page
    assert f"<th>{label} (mean ± sd)</th>" in page
    said = io.StringIO()
    Console(file=said, width=200).print(leaderboard(run.results, run.selected.result.name, scoring.lower()))
    lines = said.getvalue()
    assert (f"CV {label}" in lines) and ("CV R²" in lines)
    assert lines.index(run.selected.result.name) < min(
        lines.index(result.name) for result in run.results if result.name != run.selected.result.name
    )


def test_an_algorithm_without_a_score_has_a_dash_and_no_spread_of_nothing(runs: dict[str, Trained]) -> None:
    report = json.loads(runs["mae"].files[layout.REPORT])
    report["algorithms"][0] |= {"cv": None, "params": None, "error": "cut by the time budget"}
    page = report_page(report).decode()
    assert "<td>Dummy</td><td>–</td><td>–</td>" in page
    assert "– ± –" not in page


def test_the_spec_chooses_algorithms() -> None:
    assert {entry.name for entry in chosen(MODEL_ZOO, AlgorithmsSpec(only=("KNN",)))} == {"Dummy", "KNN"}
    assert {entry.name for entry in chosen(MODEL_ZOO, AlgorithmsSpec())} == {entry.name for entry in MODEL_ZOO}
    left = chosen(MODEL_ZOO, AlgorithmsSpec(without=("KNN", "Ridge")))
    assert {entry.name for entry in MODEL_ZOO} - {entry.name for entry in left} == {"KNN", "Ridge"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (AlgorithmsSpec(only=("catboost",)), "algorithms.only names 'catboost'; did you mean 'CatBoost'?"),
        (AlgorithmsSpec(without=("SVM",)), "there are Dummy, LinearRegression, Ridge"),
        (AlgorithmsSpec(only=("Dummy",)), "leaves nothing that can be published"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(asked: AlgorithmsSpec, said: str) -> None:
    with pytest.raises(InvalidDataset, match=said.replace("?", r"\?")):
        chosen(MODEL_ZOO, asked)
