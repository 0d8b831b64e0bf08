"""The sample table as tests train on it: with a search of moments, where it does not matter how well the model does.

The whole search of its spec runs once in the suite, by `make run ONCE=1` in tests/journey/test_once.py.
"""

import shutil
from pathlib import Path

from shared import layout
from shared.store import Store
from tests.memory_store import MemoryStore

SAMPLE = Path(__file__).resolve().parents[1] / "shared" / "datasets" / "students"
LINEAR_AND_A_FOREST = ("LinearRegression", "Ridge", "Lasso", "RandomForest")
"""Enough for a search in several processes, with a winner that explains about what can be explained."""

IN_THIS_PROCESS = {"TRAIN_JOBS": "1", "TRAIN_BACKEND": "sequential"}
"""Settings of a search without processes of its own, for tests of something else: each takes seconds to import."""


def seeded(
    store: MemoryStore | None = None, *, only: tuple[str, ...] = (), iterations: int | None = None
) -> MemoryStore:
    """The bucket, or a new one, with the sample in it; of `only` these algorithms, with so many `iterations` each."""
    store = store or MemoryStore()
    seed(store)
    spec = store.read(layout.SPEC).data.decode()
    if iterations is not None:
        assert "random_iterations = 25\n" in spec, "[tuning] reads otherwise"
        spec = spec.replace("random_iterations = 25\n", f"random_iterations = {iterations}\n")
    if only:
        spec += _algorithms(only)
    store.write(layout.SPEC, spec.encode(), if_generation=None, content_type="text/plain")
    return store


def seed(store: Store) -> None:
    """Put the sample where the default call of training looks for it."""
    for name in ("dataset.toml", "stud.csv"):
        store.write(f"data/{name}", (SAMPLE / name).read_bytes(), if_generation=None, content_type="text/plain")


def short_search(spec: str, only: tuple[str, ...] = ()) -> str:
    """The sample's spec with two folds and one draw an algorithm; of `only` these algorithms, where any is named."""
    text = spec.replace("random_iterations = 25\n", "random_iterations = 1\n").replace("folds = 5\n", "folds = 2\n")
    assert text.count("random_iterations = 1\n") == text.count("folds = 2\n") == 1, "[tuning] reads otherwise"
    return text + _algorithms(only) if only else text


def _algorithms(names: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"\n[algorithms]\nonly = [{quoted}]\n"


def with_a_short_search(folder: Path, only: tuple[str, ...] = ()) -> Path:
    """A copy of the sample in `folder`, which must not exist; the path of its spec."""
    shutil.copytree(SAMPLE, folder)
    spec = folder / "dataset.toml"
    spec.write_text(short_search(spec.read_text(), only))
    return spec
