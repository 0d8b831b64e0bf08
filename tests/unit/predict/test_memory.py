"""A row is asked of the graph once, and never answered with what another model said."""

import json
from typing import Any

import pytest

from functions.predict.memory import Memory
from functions.predict.settings import Limits
from shared.serving.loaded_model import load
from shared.serving.reading import ModelInput
from tests.memory_store import MemoryStore
from tests.unit.predict.client import Client
from tests.unit.predict.promoted import EXPECTED, FIRST, ROW, SECOND, golden_rows, promote


def asked(client: Client, row: Any) -> Any:
    answer = client.post("/predict", json.dumps(row))
    assert answer.status_code == 200
    return answer.json()


def client(remembered: int) -> Client:
    store = MemoryStore()
    promote(store)
    made = Client(store, limits=Limits(remembered_rows=remembered))
    made.get("/ready")
    return made


@pytest.mark.parametrize(("remembered", "expected"), [(4096, 1), (0, 3)])
def test_the_same_row_in_any_order_runs_the_graph_once_unless_nothing_is_remembered(
    runs: list[int], remembered: int, expected: int
) -> None:
    one = client(remembered)
    runs.clear()
    answers = [asked(one, row) for row in (ROW, dict(reversed(list(ROW.items()))), {**ROW, "age": 15.0})]
    assert answers[0]["prediction"] == EXPECTED
    assert answers == [answers[0]] * 3
    assert len(runs) == expected


def test_rows_that_differ_or_lack_a_value_are_not_confused() -> None:
    one = client(4096)
    rows = [dict(row) for row in golden_rows()]
    first, again = [asked(one, row) for row in rows], [asked(one, row) for row in rows]
    fresh = [asked(client(0), row) for row in rows]
    assert first == again == fresh
    assert asked(one, {**ROW, "hours": None}) != asked(one, {**ROW, "hours": 0})


def test_another_model_is_asked_anew() -> None:
    store = MemoryStore()
    promote(store)
    one = Client(store, refresh_seconds=3600)
    before = asked(one, ROW)
    promote(store, run_id=SECOND, base=70.0)
    one.predictor.look().result()
    after = asked(one, ROW)
    assert (before["model"]["run_id"], before["prediction"]) == (FIRST, EXPECTED)
    assert (after["model"]["run_id"], after["prediction"]) == (SECOND, EXPECTED + 10)


def test_the_oldest_row_is_forgotten_first_and_the_limit_holds(runs: list[int]) -> None:
    store = MemoryStore()
    promote(store)
    loaded, memory = load(store, "staging"), Memory(2)
    rows = [loaded.schema.known({**ROW, "hours": hours}) for hours in (1, 2, 3)]
    runs.clear()
    for row in (rows[0], rows[1], rows[1], rows[2], rows[2], rows[1], rows[0]):
        assert row is not None
        if memory.find(loaded, row) is None:
            memory.keep(loaded, row, loaded.answers(ModelInput.of(row))[0])
    assert len(runs) == 4
    assert len(memory._held[1]) == 2
