"""`make run ONCE=1` from an empty folder: both stages serve the model that was fitted."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from infra.settings import LocalSettings
from tests.journey.local_cloud import ROOT, UP_SECONDS, Finished, environment, processes_of, run_once, settings_for
from tests.sample import SAMPLE
from tests.tools import DEAD_PROXIES

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("once")


@pytest.fixture(scope="module")
def first(state: Path) -> Finished:
    return run_once(settings_for(state))


def predictions(output: str) -> list[dict[str, object]]:
    lines = [line.strip() for line in output.splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"prediction"')]


def started(settings: LocalSettings) -> list[str]:
    """The processes that left a log: every process of the local cloud has one."""
    return sorted(log.name for log in (settings.state / "logs").iterdir())


def test_it_ends_well_with_a_prediction_of_both_stages(first: Finished) -> None:
    assert first.code == 0, first.output
    staging, production = predictions(first.output)
    assert staging == production


def test_it_says_how_good_the_model_is_and_where_its_report_lies(first: Finished, state: Path) -> None:
    assert "of the differences in math_score (R² 0." in first.output
    (page,) = (state / "reports").glob("*.html")
    assert f"reports/{page.name}" in first.output
    assert "was chosen by its R² over the folds" in page.read_text()


def test_the_run_is_in_mlflow(first: Finished, state: Path) -> None:
    assert first.code == 0, first.output
    with closing(sqlite3.connect(state / "mlflow" / "mlflow.db")) as database:
        names = {name for (name,) in database.execute("SELECT name FROM runs WHERE status = 'FINISHED'")}
    assert {"Ridge", "Lasso", "LinearRegression", "Dummy"} <= names


def test_a_second_run_keeps_the_state_of_the_first(first: Finished, state: Path) -> None:
    settings = settings_for(state)
    second = run_once(settings)
    assert second.code == 0, second.output
    assert predictions(second.output) == predictions(first.output)
    assert processes_of(settings) == {}


def test_another_table_is_told_what_would_happen_before_it_is_trained_on(first: Finished, state: Path) -> None:
    assert first.code == 0, first.output
    spec = state / "houses.toml"
    spec.write_text('name = "houses"\nsource = "stud.csv"\ntarget = "math_score"\n')
    shutil.copy(SAMPLE / "stud.csv", state / "stud.csv")
    done = run_once(settings_for(state), "--dataset", str(spec))
    assert done.code == 1
    assert "this local cloud serves 'student-performance'" in done.output
    assert 'replaces = "student-performance"' in done.output
    assert "Traceback" not in done.output


def test_a_spec_that_does_not_parse_ends_with_the_reason(tmp_path: Path) -> None:
    spec = tmp_path / "dataset.toml"
    spec.write_text('name = "x"\nsuorce = "t.csv"\ntarget = "y"\n')
    settings = settings_for(tmp_path / "state")
    done = run_once(settings, "--dataset", str(spec))
    assert done.code == 1
    assert "unknown key 'suorce'; did you mean 'source'?" in done.output
    assert "Traceback" not in done.output
    assert started(settings) == []


def test_a_missing_table_ends_with_its_path(tmp_path: Path) -> None:
    spec = tmp_path / "dataset.toml"
    shutil.copy(SAMPLE / "dataset.toml", spec)
    settings = settings_for(tmp_path / "state")
    done = run_once(settings, "--dataset", str(spec))
    assert done.code == 1
    assert f"cannot read {tmp_path / 'stud.csv'}: No such file or directory" in done.output
    assert "Traceback" not in done.output
    assert started(settings) == []


def test_a_table_that_cannot_be_trained_on_ends_with_the_log_of_train(tmp_path: Path) -> None:
    shutil.copy(SAMPLE / "dataset.toml", tmp_path / "dataset.toml")
    header, *rows = (SAMPLE / "stud.csv").read_text().splitlines()
    rows[7] = rows[7].replace('"', "").rsplit(",", 3)[0] + ",abc,1,1"
    (tmp_path / "stud.csv").write_text("\n".join([header, *rows]) + "\n")
    settings = settings_for(tmp_path / "state")
    done = run_once(settings, "--dataset", str(tmp_path / "dataset.toml"))
    assert done.code == 1
    assert "math_score" in done.output
    assert "train.log" in done.output
    assert "train.log" in started(settings)
    assert "Traceback" not in done.output


def test_make_run_trains_on_the_table_that_is_named_whatever_else_make_exports(tmp_path: Path) -> None:
    """`DATASET` is make's variable and a setting of train; make exports it, and train once took it for its own.

    On an ASCII terminal, where the lines of the functions' logs were once no JSON, and nobody saw that train had ended.
    """
    towns = ("Köln", "Würzburg")
    rows = [f"{size},{age},{towns[size % 2]},{3 * size - age}" for size in range(40, 140) for age in (1, 5)]
    (tmp_path / "houses.csv").write_text("\n".join(["size,age,town,price", *rows]) + "\n", encoding="utf-8")
    spec = tmp_path / "houses.toml"
    tuning = '[tuning]\nfolds = 2\nrandom_iterations = 1\n[algorithms]\nonly = ["LinearRegression", "Ridge"]\n'
    spec.write_text(f'name = "houses"\nsource = "houses.csv"\ntarget = "price"\n{tuning}')
    settings = settings_for(tmp_path / "state")
    others = (
        "JOB=other",
        "BUCKET=other",
        "GIT_SHA=other",
        "STAGE=other",
        "OIDC_AUDIENCE=other",
        "MLFLOW_TRACKING_URI=x",
    )
    done = subprocess.run(
        ["make", "run", "ONCE=1", f"DATASET={spec}", *others],
        cwd=ROOT,
        env={**environment(settings), **DEAD_PROXIES, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=UP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    staging, production = predictions(done.stdout)
    assert staging == production
    assert done.stdout.isascii()
    (asked,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('  {"size"')][:1]
    assert asked["town"] in towns, "what is printed to be sent is what was sent"
    assert (settings.state / "logs" / "train.log").read_text().count("refused") == 0
