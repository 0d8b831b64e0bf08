"""Training at a desk, as a person runs it: files in, a candidate's folder and a leaderboard out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared import layout
from shared.manifest import Golden, Manifest, decode, digest
from shared.model_runtime import Model, require_golden

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "shared" / "datasets" / "students"

pytestmark = pytest.mark.timeout(900)  # training, where the processors are shared


def desk(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "functions.train.desk", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The sample with a short search, in a folder of its own."""
    folder = tmp_path / "table"
    shutil.copytree(SAMPLE, folder)
    spec = folder / "dataset.toml"
    text = spec.read_text()
    assert "folds = 5" in text
    assert "random_iterations = 25" in text
    text = text.replace("folds = 5", "folds = 2").replace("random_iterations = 25", "random_iterations = 1")
    spec.write_text(text)
    return spec


def test_a_file_becomes_a_candidate_that_serves(dataset: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    out = tmp_path / "out"
    done = desk("train", str(dataset), str(out), cwd=work)
    assert done.returncode == 0, done.stderr
    for name in ("Dummy", "KNN", "RandomForest", "AdaBoost", "XGBoost", "CatBoost", "CV R²"):
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
    assert broken.stderr == "line 6: the number of cells differs from the header's 8\n"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    done = desk("check", str(tmp_path / "dataset.toml"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the dataset spec {tmp_path / 'dataset.toml'} cannot be read: No such file or directory" in done.stderr
