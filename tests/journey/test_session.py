"""A `make run` that stays up: what it serves, how gsutil promotes, and what survives `kill -9`."""

import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from shared import layout
from shared.codec import decode, decode_gzip, digest
from shared.decisions import Pointer
from shared.documents import Manifest
from shared.profiles import Golden, Holdout
from shared.store import CloudStore
from tests.journey.fitted import fitted_pipeline
from tests.journey.local_cloud import ROOT, Session, processes_of, run_once, running, settings_for
from tests.sample import LINEAR_AND_A_FOREST, SAMPLE, with_a_short_search
from tests.tools import require

TABLE = SAMPLE / "stud.csv"
UP = r"Ctrl-C stops everything"

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Trained by a short search, since its flow is killed again and again."""
    folder = tmp_path_factory.mktemp("session")
    spec = with_a_short_search(folder / "sample", LINEAR_AND_A_FOREST)
    with running(settings_for(folder / "state"), "--dataset", str(spec)) as session:
        session.wait_for(UP)
        yield session


@pytest.fixture(scope="module")
def shell(session: Session) -> dict[str, str]:
    """The environment of a shell that sourced `.local/env`."""
    script = f"set -a; . '{session.settings.shell_file}'; env -0"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)


@pytest.fixture(scope="module")
def store(session: Session) -> Iterator[CloudStore]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in session.settings.common_environment().items():
            patch.setenv(name, value)
        yield CloudStore(session.settings.bucket)


def pointer(store: CloudStore, stage: layout.Stage) -> Pointer:
    return decode(store.read(layout.pointer(stage)).data, Pointer, stage)


def until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def served_run(url: str) -> str | None:
    try:
        answer = requests.get(f"{url}/meta", timeout=5)
    except requests.RequestException:
        return None
    return answer.json().get("run_id") if answer.status_code == 200 else None


def test_every_combination_is_predicted_as_the_fitted_pipeline_does(session: Session, store: CloudStore) -> None:
    run_id = pointer(store, "staging").run_id
    manifest = decode(store.read(layout.candidate(run_id, layout.MANIFEST)).data, Manifest, "manifest")
    holdout = decode_gzip(store.read(layout.candidate(run_id, layout.HOLDOUT)).data, Holdout, "holdout")
    names = [feature.name for feature in manifest.features]
    rows = [
        dict(zip(names, values, strict=True))
        for values in product(*(feature.categories or () for feature in manifest.features))
    ]
    assert len(rows) == 240
    expected = fitted_pipeline(TABLE, manifest, holdout).predict(pd.DataFrame(rows, dtype=object))
    answer = requests.post(f"{session.settings.staging_url}/predict_batch", json=rows, timeout=30)
    served = [entry["prediction"] for entry in answer.json()["predictions"]]
    assert max(abs(served - expected)) <= 1e-3
    assert (
        len({round(value, 6) for row, value in zip(rows, served, strict=True) if others(row) == others(rows[0])}) == 5
    )


def test_make_batch_answers_a_file_as_the_service_does(session: Session, shell: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "students.csv"
    file.write_bytes(TABLE.read_bytes())
    command = ["make", "batch", f"FILE={file}", "STAGE=staging", "KEEP=gender", f"OUT={tmp_path / 'answer.csv'}"]
    done = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    served = requests.post(
        f"{session.settings.staging_url}/predict_batch", data=TABLE.read_bytes(), headers=headers, timeout=60
    )
    expected = pd.read_csv(io.StringIO(served.text))
    answer = pd.read_csv(tmp_path / "answer.csv")
    for name in ("gender", "prediction", "interval_low", "interval_high", "risk_probability", "risk_tier", "band"):
        pd.testing.assert_series_equal(answer[name], expected[name], check_exact=True)


def others(row: dict[str, Any]) -> dict[str, Any]:
    """A row's other columns, without its race_ethnicity."""
    return {name: value for name, value in row.items() if name != "race_ethnicity"}


def test_gsutil_promotes_to_production(session: Session, store: CloudStore, shell: dict[str, str]) -> None:
    require("gsutil", source="it comes with the Google Cloud SDK")
    run_id = pointer(store, "staging").run_id
    bucket = f"gs://{shell['BUCKET']}"
    subprocess.run(
        ["gsutil", "cp", f"{bucket}/staging/current.json", f"{bucket}/promote/production.json"],
        env=shell,
        check=True,
        capture_output=True,
        timeout=120,
    )
    until(lambda: served_run(session.settings.production_url) == run_id, 60, "production serves the promoted run")
    row = decode(store.read(layout.staged("staging", run_id, layout.GOLDEN)).data, Golden, "golden").rows[-1]
    answers = [
        requests.post(f"{url}/predict", json=row, timeout=10).json()
        for url in (session.settings.staging_url, session.settings.production_url)
    ]
    assert answers[0] == answers[1]


def test_the_page_is_served(session: Session) -> None:
    page = requests.get(session.settings.staging_url, timeout=10)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


def test_a_job_run_by_hand_finds_nothing_new(session: Session, store: CloudStore, shell: dict[str, str]) -> None:
    # Staging serves the run before its call has ended: what is asked for until then is told of that call.
    until(lambda: bool(store.list(layout.ATTEMPTS)), 120, "the first training's call has ended")
    before = store.list("candidates/")
    done = subprocess.run(
        ["make", "retrain"], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    serving = pointer(store, "staging").run_id
    assert f"unchanged: the same data, spec and code gave {serving}" in done.stdout
    train_log = session.settings.state / "logs" / "train.log"
    until(lambda: '"unchanged"' in train_log.read_text(), 60, "train answers unchanged")
    assert store.list("candidates/") == before


class Watcher(threading.Thread):
    """Asks staging for predictions all the time, and keeps what it was told."""

    def __init__(self, url: str, row: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._url, self._row = url, row
        self._ended = threading.Event()
        self.seen: set[tuple[str, float]] = set()
        self.unexpected: set[int] = set()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                answer = requests.post(f"{self._url}/predict", json=self._row, timeout=10)
            except requests.RequestException:
                continue  # the process under test is the one that was killed
            if answer.status_code == 200:
                self.seen.add((answer.json()["model"]["run_id"], answer.json()["prediction"]))
            elif answer.status_code != 503:
                self.unexpected.add(answer.status_code)

    def end(self) -> None:
        self._ended.set()
        self.join(15)


@pytest.mark.timeout(1500)
def test_the_flow_completes_whatever_process_is_killed(
    session: Session, store: CloudStore, shell: dict[str, str]
) -> None:
    first = pointer(store, "staging").run_id
    golden = decode(store.read(layout.staged("staging", first, layout.GOLDEN)).data, Golden, "golden")
    watcher = Watcher(session.settings.staging_url, dict(golden.rows[-1]))
    watcher.start()
    for number, name in enumerate(("storage", "eventarc", "scheduler", "train", "validate", "predict-staging")):
        before = pointer(store, "staging").run_id
        change_the_data(store, number)
        until(lambda: retrain(shell), 60, "make retrain")
        time.sleep(0.3 * (number + 1))  # at another moment of the flow each time
        kill(session, name)
        restarted = f"{name} had died and was started again"
        session.wait_for(restarted, 30)
        if name in ("train", "scheduler"):
            until(lambda: retrain(shell), 60, "make retrain")  # the call was lost; the lease makes it harmless
        until(lambda before=before: advanced(store, before), 240, f"staging advances although {name} was killed")
    serving = pointer(store, "staging").run_id
    until(lambda: served_run(session.settings.staging_url) == serving, 60, "staging serves the last run")
    watcher.end()
    assert watcher.unexpected == set()
    require_complete(store, {run_id for run_id, _ in watcher.seen}, len(watcher.seen))


def retrain(shell: dict[str, str]) -> bool:
    """`make retrain WAIT=0`: whether the scheduler took the call."""
    done = subprocess.run(
        ["make", "retrain", "WAIT=0"], cwd=ROOT, env=shell, capture_output=True, timeout=120, check=False
    )
    return done.returncode == 0


def advanced(store: CloudStore, before: str) -> bool:
    try:
        return pointer(store, "staging").run_id > before
    except Exception:  # noqa: BLE001 - the storage server may be the one that is down
        return False


def kill(session: Session, name: str) -> None:
    """`kill -9` of the process that listens as `name`, as its process group's head."""
    pids = (session.settings.state / "pids").read_text().splitlines()
    pid = next(int(line.split()[1]) for line in pids if line.split()[0] == name)
    os.killpg(pid, signal.SIGKILL)


def change_the_data(store: CloudStore, number: int) -> None:
    """One more row, so that there is something to train on."""
    present = store.read("data/stud.csv")
    row = f'"female","group {"ABCDE"[number % 5]}","high school","standard","none","{60 + number}","70","70"\n'
    store.write("data/stud.csv", present.data + row.encode(), if_generation=present.generation, content_type="text/csv")


def require_complete(store: CloudStore, run_ids: set[str], answers: int) -> None:
    """Every run that ever answered was promoted, complete and verified, and each gave one answer to one question."""
    assert answers == len(run_ids)
    pointers = [entry.name.removesuffix(".json") for entry in store.list(layout.history_folder("staging"))]
    assert run_ids <= {key[-len("20260105T070000Z-0123abcd") :] for key in pointers}
    assert len(pointers) == len({key[-len("20260105T070000Z-0123abcd") :] for key in pointers})
    for run_id in run_ids:
        manifest = store.read(layout.staged("staging", run_id, layout.MANIFEST)).data
        files = decode(manifest, Manifest, "manifest").files
        for name, promised in files.items():
            if name != layout.HOLDOUT:
                assert digest(store.read(layout.staged("staging", run_id, name)).data) == promised


def test_ctrl_c_leaves_no_process_behind(session: Session) -> None:
    assert session.interrupt() == 0
    assert processes_of(session.settings) == {}
    assert "Traceback" not in session.output()


def test_when_make_run_itself_is_killed_nothing_stays_and_the_next_one_goes_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state")
    short = ("--dataset", str(with_a_short_search(tmp_path / "sample", ("LinearRegression", "Ridge"))))
    with running(settings, *short) as session:
        session.wait_for("train +ingest")
        session.process.kill()
        session.process.wait(30)
    until(lambda: processes_of(settings) == {}, 60, "the processes end with their parent")
    again = run_once(settings, *short)
    assert again.code == 0, again.output


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.ports.validate))
        taken.listen()
        with running(settings) as blocked:
            assert blocked.process.wait(30) == 2
    (line,) = blocked.output().splitlines()
    assert f"port {settings.ports.validate} is in use" in line
    assert "make run VALIDATE_PORT=" in line
