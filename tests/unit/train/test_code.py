"""The digest of the code that trains: it changes with what decides a model, and with nothing else."""

import os
import shutil
import time
from pathlib import Path

import pytest

from functions.train import code
from functions.train.code import CodeChanged, code_digest, sources

ROOT = Path(__file__).resolve().parents[3]
LATER = 4e9


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The checkout's code, to edit."""
    for folder in ("functions", "shared"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    return tmp_path


@pytest.mark.parametrize(
    "name", ["functions/train/search/zoo.py", "shared/tables/reading.py", "functions/train/data/preprocessing.py"]
)
def test_an_edited_source_gives_another_digest(copy: Path, name: str) -> None:
    before = code_digest(copy, LATER)
    with (copy / name).open("a") as source:
        source.write("\n# another\n")
    assert code_digest(copy, LATER) != before


@pytest.mark.parametrize("name", ["functions/predict/main.py", "functions/train/README.md", "shared/serving/rows.py"])
def test_what_does_not_train_changes_nothing(copy: Path, name: str) -> None:
    before = code_digest(copy, LATER)
    with (copy / name).open("a") as source:
        source.write("\n# another\n")
    assert code_digest(copy, LATER) == before


def test_another_version_of_a_library_gives_another_digest(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest(copy, LATER)
    monkeypatch.setattr(code, "installed_versions", lambda: {"xgboost": "0.0.1"})
    assert code_digest(copy, LATER) != before


def test_the_place_of_the_checkout_does_not_matter(copy: Path) -> None:
    assert code_digest(copy, LATER) == code_digest(ROOT, LATER)


def test_every_folder_of_the_story_is_read() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in sources(ROOT)}
    for folder in ("data", "search", "graph", "candidate"):
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "functions/train" / folder).glob("[a-z]*.py")}
        assert ours <= found, "a module that the story does not import decides nothing, or is imported by name only"


def test_code_that_was_edited_while_the_process_runs_does_not_train(copy: Path) -> None:
    """What would train is the old code, and its digest would be the new one's."""
    edited = copy / "functions/train/search/zoo.py"
    os.utime(edited, (time.time() + 5, time.time() + 5))
    with pytest.raises(CodeChanged, match=r"functions/train/search/zoo\.py was edited after this process began"):
        code_digest(copy, time.time())
