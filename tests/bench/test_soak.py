"""A short soak with every test run; the long one is `make bench`."""

import asyncio

import pytest

from tests.bench.soak import SWAPS, failures, main, soak, verdict
from tests.unit.predict.promoted import EXPECTED, FIRST, SECOND

NEVER: frozenset[int] = frozenset()


def test_under_load_no_answer_fails_or_mixes_two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BUCKET"):
        monkeypatch.setenv(name, "")  # restored afterwards
    found = asyncio.run(main(8.0, swap_seconds=2.0))
    assert failures(found) == []
    assert found["swaps"] >= SWAPS
    assert found["refused"] and found[FIRST] and found[SECOND]


def test_bombs_among_the_rows_end_no_worker_and_spoil_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BUCKET"):
        monkeypatch.setenv(name, "")  # restored afterwards
    found = soak(10.0, 1)
    assert [(name, value) for name, value, bound, _ in found.bounds if value > bound] == []


def test_a_mixture_would_be_seen() -> None:
    assert verdict(200, NEVER, {"model": {"run_id": SECOND}, "prediction": EXPECTED}) == "wrong"
    assert verdict(503, NEVER, {}) == "status 503"
    assert verdict(200, frozenset({422}), {}) == "status 200"
    assert verdict(500, frozenset({422}), {}) == "status 500"
