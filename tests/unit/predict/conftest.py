"""What the tests of the prediction service share: a bucket in which a model serves, and the runs of its graph."""

from typing import Any

import pytest

from shared.model_runtime import Model
from tests.memory_store import MemoryStore
from tests.unit.predict.promoted import promote


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    promote(store)
    return store


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each run of a graph; the graph itself runs."""
    found: list[int] = []
    run = Model.run

    def counted(model: Model, numeric: Any, categorical: Any) -> Any:
        found.append(len(categorical))
        return run(model, numeric, categorical)

    monkeypatch.setattr(Model, "run", counted)
    return found
