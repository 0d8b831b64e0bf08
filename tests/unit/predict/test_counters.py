"""Live counters: what a block holds, what is not counted, and what becomes of counts while the bucket is away."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.predict.live import counters as module
from functions.predict.live.counters import Counters
from functions.predict.memory import Remembered
from shared import layout
from shared.codec import decode
from shared.errors import NotPermitted, PreconditionFailed, StorageUnavailable
from shared.monitoring import LiveBlock
from shared.store import ObjectInfo
from tests.memory_store import MemoryStore
from tests.unit.predict.client import JSON, Client
from tests.unit.predict.promoted import EXPECTED, FIRST, ROW, SECOND, promote

NOW = datetime(2026, 1, 6, 10, 0, 0, tzinfo=UTC)


class Times:
    """A clock and timers that a test moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0

    def clock(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return self.seconds


class Outage(MemoryStore):
    """A bucket whose writes below live/ fail while `fault` is set."""

    fault: Exception | None = None
    lose_answers = False

    def write(self, name: str, data: bytes, **options: Any) -> ObjectInfo:
        if name.startswith(layout.LIVE) and self.fault is not None:
            raise self.fault
        written = super().write(name, data, **options)
        if name.startswith(layout.LIVE) and self.lose_answers:
            raise StorageUnavailable("the answer was lost")
        return written


@pytest.fixture
def store() -> Outage:
    made = Outage()
    promote(made)
    return made


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def client(store: Outage, times: Times) -> Client:
    return Client(store, counters=Counters(store, "staging", times.clock))


@pytest.fixture
def counters(client: Client) -> Counters:
    return counters_of(client)


def counters_of(client: Client) -> Counters:
    return client.counters


def blocks(store: MemoryStore) -> list[LiveBlock]:
    return [
        decode(store.read(info.name).data, LiveBlock, info.name) for info in store.list(layout.live_folder("staging"))
    ]


def ask(client: Client, *rows: Mapping[str, Any], purpose: str | None = None) -> int:
    headers = {**JSON, **({"X-Purpose": purpose} if purpose else {})}
    return client.post("/predict_batch", json.dumps(rows), headers).status_code


def test_a_block_says_how_often_each_category_and_bin_was_asked(
    client: Client, store: Outage, counters: Counters
) -> None:
    for _ in range(6):
        client.post("/predict", json.dumps(ROW))
    assert ask(client, *[{**ROW, "age": 24, "hours": None, "gender": "female"}] * 7) == 200
    counters.drain()
    (block,) = blocks(store)
    assert (block.run_id, block.requests, block.rows) == (FIRST, 7, 13)
    assert block.features["gender"].counts == (7, 6)
    assert block.features["age"].bins == (0, 0, 6, 7), "15 is above 10 and up to 20, 24 up to 25"
    assert block.features["hours"].bins == (0, 6, 0)
    assert block.features["hours"].missing == 7
    assert sum(block.prediction.bins) + block.prediction.above == 13
    assert block.answers == {"2xx": 7}
    assert sum(block.latency_us) == 7
    assert EXPECTED == 66.0
    assert block.prediction.bins[3] == 6, "66 is above 60 and up to 70"


def test_the_key_tells_the_run_the_day_and_the_moment(client: Client, store: Outage, counters: Counters) -> None:
    client.post("/predict", json.dumps(ROW))
    counters.drain()
    (info,) = store.list(layout.LIVE)
    assert info.name.startswith(f"live/staging/{FIRST}/20260106/100000-")


def test_a_rare_category_waits_for_the_next_block_and_is_other_in_the_last(
    client: Client, store: Outage, counters: Counters, times: Times
) -> None:
    ask(client, *[ROW] * 8, *[{**ROW, "gender": "female"}] * 3)
    counters.hand_over()
    settled(store, 1)
    times.now += timedelta(seconds=1)
    ask(client, *[{**ROW, "gender": "female"}] * 3, *[{**ROW, "race_ethnicity": "group A"}] * 2)
    counters.drain()
    first, second = blocks(store)[0], merged(blocks(store)[1:])
    assert first.features["gender"].counts == (0, 8), "3 is too few to be told"
    assert first.features["gender"].other == 0
    assert second["female"] == 6, "the three of before and the three of now"
    assert second["other"] == 2, "and two males at the end"


def merged(found: list[LiveBlock]) -> dict[str, int]:
    return {
        "female": sum(block.features["gender"].counts[0] for block in found),
        "other": sum(block.features["gender"].other for block in found),
    }


def settled(store: MemoryStore, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(blocks(store)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_asked_for_another_purpose_is_not_counted(client: Client, store: Outage, counters: Counters) -> None:
    for purpose in ("what-if", "page", "smoke", "bench"):
        assert ask(client, dict(ROW), purpose=purpose) == 200
        assert ask(client, {"gender": "male"}, purpose=purpose) == 422
    assert ask(client, dict(ROW), purpose="score") == 200
    counters.drain()
    assert merged_rows(store) == 1
    assert [block.refused for block in blocks(store) if block.refused] == []


def merged_rows(store: MemoryStore) -> int:
    return sum(block.rows for block in blocks(store))


def test_refusals_are_counted_by_code_and_field_and_never_by_a_caller_s_own_words(
    client: Client, store: Outage, counters: Counters
) -> None:
    ask(client, {**ROW, "gender": "secretword"}, {**ROW, "age": 1e9})
    ask(client, {**ROW, "secretname": 1})
    client.post("/predict", "{")
    counters.drain()
    (block,) = blocks(store)
    assert block.refused == {
        "unknown_category": {"gender": 1},
        "out_of_range": {"age": 1},
        "unknown_field": {"": 1},
        "malformed_json": {"": 1},
    }
    assert block.answers == {"4xx": 3}
    assert "secret" not in "".join(store.read(info.name).data.decode() for info in store.list(layout.LIVE))


def test_rows_that_are_answered_each_for_itself_count_with_the_reasons_of_the_others(
    client: Client, store: Outage, counters: Counters
) -> None:
    body = json.dumps([dict(ROW), {**ROW, "gender": None}])
    assert client.post("/predict_batch?errors=rows", body).status_code == 200
    counters.drain()
    (block,) = blocks(store)
    assert (block.rows, block.refused) == (1, {"null": {"gender": 1}})


def test_faults_count(client: Client, store: Outage, counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/predict", json.dumps(ROW))
    loaded = client.predictor.current
    assert loaded is not None
    monkeypatch.setattr(type(loaded.schema), "known", lambda *_: 1 / 0)
    assert client.post("/predict", json.dumps(ROW)).status_code == 500
    counters.drain()
    (block,) = blocks(store)
    assert block.answers == {"2xx": 1, "5xx": 1}


def test_however_much_is_asked_a_block_is_written_after_five_minutes_only(
    store: Outage, times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    client = Client(store, counters=Counters(store, "staging", times.clock))
    for _ in range(5):
        ask(client, *[dict(ROW)] * 10)
    time.sleep(0.1)
    assert blocks(store) == [], "counted five times, written never"
    counters_of(client).drain()
    (block,) = blocks(store)
    assert (block.rows, block.requests) == (50, 5)


def test_after_five_minutes_the_next_request_writes(client: Client, store: Outage, counters: Counters) -> None:
    loaded = loaded_of(client)
    (answer,) = loaded.answers(loaded.schema.read_row({**ROW}))
    rows = (loaded, loaded.schema.known({**ROW}), Remembered(answer))
    counters.answered(0.0, 0.001, *rows)
    counters.answered(299.9, 0.001, *rows)
    assert blocks(store) == []
    counters.answered(300.0, 0.001, *rows)
    settled(store, 1)
    assert blocks(store)[0].rows == 3


def test_an_instance_that_is_killed_at_any_moment_loses_at_most_its_last_five_minutes(
    client: Client, store: Outage, counters: Counters
) -> None:
    """Nothing is written when it is killed: what the bucket holds after each request is all that is left of it."""
    loaded = loaded_of(client)
    (answer,) = loaded.answers(loaded.schema.read_row({**ROW}))
    rows = (loaded, loaded.schema.known({**ROW}), Remembered(answer))
    moments = np.cumsum(np.random.default_rng(0).exponential(12.0, 200))
    for asked, moment in enumerate(moments, start=1):
        counters.answered(moment, 0.001, *rows)
        for thread in threading.enumerate():
            if thread.name == "counters":
                thread.join()
        lost = moments[merged_rows(store) : asked]
        assert moment - min(lost, default=moment) < module.MAX_SECONDS
    assert len(blocks(store)) >= 5


def loaded_of(client: Client) -> Any:
    client.get("/ready")
    return client.predictor.current


def test_another_run_gets_blocks_of_its_own(store: Outage) -> None:
    client = Client(store, refresh_seconds=0.0, counters=Counters(store, "staging"))
    counters = counters_of(client)
    client.post("/predict", json.dumps(ROW))
    promote(store, run_id=SECOND)
    client.predictor.look().result()
    client.post("/predict", json.dumps(ROW))
    counters.drain()
    assert {block.run_id: block.rows for block in blocks(store) if block.rows} == {FIRST: 1, SECOND: 1}


def test_an_outage_loses_nothing_and_says_so_once(client: Client, store: Outage, counters: Counters) -> None:
    store.fault = StorageUnavailable("503")
    for _ in range(3):
        client.post("/predict", json.dumps(ROW))
        counters.drain()
    assert blocks(store) == []
    store.fault = None
    counters.drain()
    assert merged_rows(store) == 3
    assert {block.lost for block in blocks(store)} == {0}


def test_what_waits_is_bounded_the_oldest_goes_first_and_the_loss_is_told(
    client: Client, store: Outage, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BLOCKS", 2)
    store.fault = StorageUnavailable("503")
    for _ in range(5):
        client.post("/predict", json.dumps(ROW))
        counters.drain()
    store.fault = None
    counters.drain()
    assert merged_rows(store) + sum(block.lost for block in blocks(store)) == 5
    assert sum(block.lost for block in blocks(store)) == 3


def test_lists_that_wait_to_be_counted_are_bounded_too(
    client: Client, store: Outage, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LISTS", 1)
    monkeypatch.setattr(Counters, "_work", lambda *_: None)
    for _ in range(3):
        client.post("/predict", json.dumps(ROW))
        counters.hand_over()
    monkeypatch.undo()
    counters.drain()
    assert merged_rows(store) == 1
    assert sum(block.lost for block in blocks(store)) == 2


def test_a_block_whose_answer_was_lost_counts_once(client: Client, store: Outage, counters: Counters) -> None:
    store.lose_answers = True
    client.post("/predict", json.dumps(ROW))
    counters.drain()
    store.lose_answers = False
    counters.drain()
    assert merged_rows(store) == 1


@pytest.mark.parametrize("fault", [NotPermitted("403"), PreconditionFailed("412")])
def test_a_block_that_cannot_be_written_twice_holds_no_other_back(
    client: Client, store: Outage, counters: Counters, fault: Exception
) -> None:
    client.post("/predict", json.dumps(ROW))
    store.fault = fault
    counters.drain()
    store.fault = None
    client.post("/predict", json.dumps(ROW))
    counters.drain()
    assert merged_rows(store) == (2 if isinstance(fault, NotPermitted) else 1)


def test_a_clock_that_was_set_back_gives_no_block_that_ends_before_it_begins(
    client: Client, store: Outage, counters: Counters, times: Times
) -> None:
    client.post("/predict", json.dumps(ROW))
    times.now = NOW - timedelta(hours=3)
    counters.drain()
    (block,) = blocks(store)
    assert block.since == block.until == times.now
