"""Single rows that arrive together share one run, and each gets its own answer, by its own model."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from functions.predict.settings import Limits
from functions.predict.shared_runs import LONELY_RUNS, MOST_ROWS, SharedRuns
from shared.errors import IntegrityError
from shared.model_runtime import Model
from shared.serving.loaded_model import load
from shared.serving.reading import KnownRow
from tests.memory_store import MemoryStore
from tests.unit.predict.client import JSON, Client
from tests.unit.predict.promoted import BASE, ROW, SECOND, by_hand, promote


@pytest.fixture
def runs(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each run of a graph, which fails on a row with 13 hours."""
    run = Model.run

    def failing(model: Model, numeric: Any, categorical: Any) -> Any:
        found = run(model, numeric, categorical)
        if 13.0 in numeric:
            raise IntegrityError("it does not run")
        return found

    monkeypatch.setattr(Model, "run", failing)
    return runs


def rows(hours: Sequence[float]) -> list[dict[str, Any]]:
    return [{**ROW, "age": 15.0, "hours": float(hour)} for hour in hours]


async def asked(client: Client, bodies: Sequence[Any]) -> list[httpx.Response]:
    """The answers to requests that are all under way at once."""
    transport = httpx.ASGITransport(client.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as session:
        return await asyncio.gather(
            *(session.post("/predict", content=json.dumps(body), headers=JSON) for body in bodies)
        )


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    promote(store)
    return store


def test_requests_of_one_turn_share_a_run_and_each_has_its_own_answer(store: MemoryStore, runs: list[int]) -> None:
    client = Client(store, limits=Limits(remembered_rows=0))
    client.get("/ready")
    runs.clear()
    sent = rows([14 + step / 4 for step in range(2 * MOST_ROWS + 1)])
    answers = asyncio.run(asked(client, sent))
    assert [answer.json()["prediction"] for answer in answers] == [by_hand(row) for row in sent]
    assert sum(runs) == len(sent)
    assert max(runs) <= MOST_ROWS
    assert len(runs) < len(sent) / 4


def test_a_single_request_waits_for_no_other(store: MemoryStore, runs: list[int]) -> None:
    client = Client(store, limits=Limits(remembered_rows=0))
    client.get("/ready")
    runs.clear()
    assert client.post("/predict", json.dumps(ROW)).json()["prediction"] == by_hand(rows([4])[0])
    assert runs == [1]


def test_a_row_that_fails_does_not_fail_the_others(store: MemoryStore, runs: list[int]) -> None:
    client = Client(store, limits=Limits(remembered_rows=0))
    client.get("/ready")
    answers = asyncio.run(asked(client, rows([12, 13, 14])))
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[2].json()["prediction"] == by_hand(rows([14])[0])


def known(loaded: Any, row: Any) -> KnownRow:
    found: KnownRow | None = loaded.schema.known(row)
    assert found is not None
    return found


def test_each_row_is_answered_by_the_model_that_it_was_asked_of(store: MemoryStore, runs: list[int]) -> None:
    first = load(store, "staging")
    promote(store, run_id=SECOND, base=BASE + 10)
    second = load(store, "staging")
    runs.clear()

    async def mixed() -> list[float]:
        shared = SharedRuns()
        waiting = [shared.answer(loaded, known(loaded, ROW)) for loaded in (first, second, first, second)]
        return [answer.prediction for answer in await asyncio.gather(*waiting)]

    alone = by_hand(rows([4])[0])
    assert asyncio.run(mixed()) == [alone, alone + 10, alone, alone + 10]
    assert runs == [2, 2]


def test_whoever_is_gone_is_not_answered_and_the_others_are(store: MemoryStore) -> None:
    loaded = load(store, "staging")

    async def left() -> list[float]:
        shared = SharedRuns()
        gone, *others = [shared.answer(loaded, known(loaded, row)) for row in rows([1, 2, 3])]
        gone.cancel()
        return [answer.prediction for answer in await asyncio.gather(*others)]

    assert asyncio.run(left()) == [by_hand(row) for row in rows([2, 3])]


def test_rows_that_come_one_by_one_do_not_wait_and_those_that_come_together_do() -> None:
    async def turns() -> list[list[bool]]:
        shared = SharedRuns()
        found = []
        for rows_of_turn in (1, 1, 3, 1):
            found.append([shared.alone() for _ in range(rows_of_turn)])
            await asyncio.sleep(0)
        return found

    assert asyncio.run(turns()) == [[True], [True], [True, False, False], [False]]


def test_after_some_runs_of_a_single_row_rows_are_answered_at_once_again(store: MemoryStore) -> None:
    loaded = load(store, "staging")

    async def lonely() -> list[bool]:
        shared = SharedRuns()
        assert [shared.alone(), shared.alone()] == [True, False]
        found = []
        for _ in range(LONELY_RUNS):
            found.append(shared.alone())
            await shared.answer(loaded, known(loaded, ROW))
        return [*found, shared.alone()]

    assert asyncio.run(lonely()) == [*[False] * LONELY_RUNS, True]
