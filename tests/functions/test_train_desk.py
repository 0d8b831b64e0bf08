"""Training at a desk, as a person runs it: files in, a candidate's folder and a leaderboard out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import layout
from shared.codec import decode, digest
from shared.documents import Manifest
from shared.model_runtime import Model, require_golden
from shared.profiles import Golden
from tests.sample import LINEAR_AND_A_FOREST, with_a_short_search
from tests.tools import ignored

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


def desk(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "functions.train.desk", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The sample with a short search, in a folder of its own."""
    return with_a_short_search(tmp_path / "table", LINEAR_AND_A_FOREST)


def test_a_file_becomes_a_candidate_that_serves(dataset: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    out = tmp_path / "out"
    done = desk("train", str(dataset), str(out), cwd=work)
    assert done.returncode == 0, done.stderr
    for name in ("Dummy", *LINEAR_AND_A_FOREST, "CV R²"):
        assert name in done.stdout
    manifest = decode((out / layout.MANIFEST).read_bytes(), Manifest, "manifest")
    for name, promised in manifest.files.items():
        assert digest((out / name).read_bytes()) == promised
    model = Model((out / layout.MODEL).read_bytes(), manifest.features)
    require_golden(model, decode((out / layout.GOLDEN).read_bytes(), Golden, "golden"))
    assert f"{manifest.model.algorithm} was selected" in done.stdout
    assert list(work.iterdir()) == []
    again = desk("train", str(dataset), str(out), cwd=work)
    assert (again.returncode, again.stderr) == (1, f"{out} exists and is not an empty folder; name another with OUT=\n")


def test_a_table_is_checked_without_training(dataset: Path, tmp_path: Path) -> None:
    done = desk("check", str(dataset), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 categories" in done.stdout
    table = dataset.parent / "stud.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 3)[0] + ",abc,1,1"
    lines[5] = lines[5] + ",1"
    table.write_text("\n".join(lines))
    broken = desk("check", str(dataset), cwd=tmp_path)
    assert broken.returncode == 1
    ragged, target = broken.stderr.splitlines()
    assert ragged == "line 6: the number of cells differs from the header's 8"
    assert target.startswith("target 'math_score' is not a finite number in line 4")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    done = desk("check", str(tmp_path / "dataset.toml"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the dataset spec {tmp_path / 'dataset.toml'} cannot be read: No such file or directory" in done.stderr


def test_ctrl_c_leaves_nothing_behind_and_says_so_in_a_line(dataset: Path, tmp_path: Path) -> None:
    dataset.write_text(dataset.read_text().replace("random_iterations = 1", "random_iterations = 400"))
    command = [sys.executable, "-W", "error", "-m", "functions.train.desk", "train", str(dataset), str(tmp_path / "o")]
    command.append("--full")
    with ignored(signal.SIGINT):
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    deadline = time.monotonic() + 120
    while len(members(process.pid)) < 3:  # the search has begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "stopped; nothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    while members(process.pid):
        assert time.monotonic() < deadline + 60, "processes were left behind"
        time.sleep(0.2)


def members(group: int) -> list[int]:
    """The live processes of the group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, owner = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(owner) == group and state != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("out", "reason"), [("/proc/out", "cannot be written: "), ("table/stud.csv", "is not an empty folder")]
)
def test_a_folder_that_cannot_be_written_is_named_before_training(
    dataset: Path, tmp_path: Path, out: str, reason: str
) -> None:
    began = time.monotonic()
    done = desk("train", str(dataset), str(tmp_path / out), cwd=tmp_path)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - began < 60


def test_a_spec_with_an_unknown_key_names_the_nearest(dataset: Path, tmp_path: Path) -> None:
    dataset.write_text(dataset.read_text().replace("target =", "targt ="))
    done = desk("check", str(dataset), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "dataset.toml: unknown key 'targt'; did you mean 'target'?\n")
