"""What a slip in a command's variables says: one line that begins with the command, and no traceback."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from infra.delivery import bundles, doctor
from infra.evidently import week
from infra.local import up
from infra.operate import (
    batch,
    challenge,
    compare,
    experiments,
    history,
    label,
    promote,
    reproduce,
    retrain,
    rollback,
    sql,
)

RUN = "20260105T070000Z-0123abcd"
Command = Callable[[Sequence[str]], int]


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (history.main, ["--stage", "prod"], "history: argument --stage: invalid choice: 'prod'"),
        (history.main, ["--at", "yesterday"], "history: argument --at: expected a moment"),
        (compare.main, ["--run", "x", "--other", RUN], "compare: argument --run: expected a run id"),
        (compare.main, ["--run", RUN, "--other", "x"], "compare: argument --other: expected a run id"),
        (reproduce.main, ["--run", "x"], "reproduce: argument --run: expected a run id"),
        (
            reproduce.main,
            ["--run", RUN, "--jobs", "all"],
            "reproduce: argument --jobs: expected a whole number",
        ),
        (rollback.main, ["--to", "the last one"], "rollback: argument --to: expected a run id"),
        (promote.main, ["--wait", "long"], "promote: argument --wait: expected a number"),
        (challenge.main, ["--mode", "canry"], "challenge: argument --mode: invalid choice: 'canry'"),
        (challenge.main, ["--percent", "200"], "challenge: argument --percent: expected a number from 0 to 100"),
        (challenge.main, ["--days", "soon"], "challenge: argument --days: expected a"),
        (challenge.main, ["--then", "wait"], "challenge: argument --then: invalid choice: 'wait'"),
        (label.main, ["march.csv"], "label: argument file: there is no file 'march.csv'"),
        (label.main, ["march.xlsx"], "label: argument file: expected a file that ends in .csv or .parquet"),
        (batch.main, ["rows.parquet"], "batch: argument file: there is no file 'rows.parquet'"),
        (batch.main, ["folder.csv"], "batch: argument file: 'folder.csv' is a folder"),
        (batch.main, ["rows.txt"], "batch: argument file: expected a file that ends in .csv or .parquet"),
        (retrain.main, ["--job", "weekly"], "retrain: a job is projects/P/locations/L/jobs/J, found 'weekly'"),
        (retrain.main, ["--wait", "-1"], "retrain: argument --wait: expected a number"),
        (week.main, ["--python", "python", "--days", "x"], "evidently: argument --days: expected a number"),
        (sql.main, ["nowhere.sql"], "sql: "),
        (experiments.main, ["--port", "x"], "mlflow: argument --port: expected a"),
        (bundles.main, ["nope"], "bundle: argument FN: invalid choice: 'nope'"),
        (doctor.main, ["--project", "my-project"], "doctor: a project is looked at in a region: give both"),
    ],
)
def test_a_slip_is_told_in_one_line(
    main: Command,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.setenv("BUCKET", "some-bucket")
    try:
        ended = main(arguments)
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        ended = stop.code
    err = capsys.readouterr().err
    assert ended != 0
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("TRAIN_JOBS", "x"),
        ("TRAIN_BUDGET_SECONDS", "-1"),
        ("TRAIN_BACKEND", "spark"),
        ("MAX_BODY_BYTES", "ten"),
        ("MAX_BATCH_ROWS", "0"),
        ("BODY_SECONDS", "soon"),
        ("REMEMBERED_ROWS", "all"),
        ("PREDICT_PORT", "99999"),
    ],
)
def test_a_setting_that_a_function_would_refuse_is_told_before_the_local_cloud_starts(
    name: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for proxies in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(proxies, "")
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(name, found)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert up.main([]) == 2
    assert capsys.readouterr().out.startswith(f"cannot start: environment variable {name} must be ")
    assert not (tmp_path / "state").exists()
