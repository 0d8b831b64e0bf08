"""A short `make torture` of serving: in its deployed memory, no process is ended and no single row fails."""

import pytest

from tests.bench.bodies import generated
from tests.bench.memory_room import PREDICT_MIB
from tests.bench.torture import SHAPES, predict


def test_bad_bodies_end_no_worker_and_take_nothing_from_single_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BUCKET"):
        monkeypatch.setenv(name, "")  # restored afterwards
    found = predict(5.0, seed=1)
    assert found.inputs > 40 + SHAPES
    broken = [(name, value, bound) for name, value, bound, timing in found.bounds if value > bound and not timing]
    assert broken == [], f"in {PREDICT_MIB} MiB"
    assert set(found.statuses) <= {0, 200, 400, 413, 422, 503}


def test_the_same_seed_sends_the_same_bodies() -> None:
    one, other = generated(7), generated(7)
    assert [next(one) for _ in range(5)] == [next(other) for _ in range(5)]
