"""A short soak with every test run; the long one is `make bench`."""

import asyncio

import pytest

from tests.bench.soak import failures, main, verdict
from tests.unit.predict.promoted import EXPECTED, FIRST, SECOND


def test_under_load_no_answer_fails_or_mixes_two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BUCKET"):
        monkeypatch.setenv(name, "")  # restored afterwards
    found = asyncio.run(main(13))
    assert failures(found) == []
    assert found["swaps"] == 2
    assert found["refused"] and found[FIRST] and found[SECOND]


def test_a_mixture_would_be_seen() -> None:
    assert verdict(200, False, {"model": {"run_id": SECOND}, "prediction": EXPECTED}) == "wrong"
    assert verdict(503, False, {}) == "status 503"
    assert verdict(200, True, {}) == "status 200"
