"""No count is lost: real processes, many callers, and SIGTERM in the middle of it."""

import json
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import requests

from shared import layout
from shared.codec import decode
from shared.monitoring import LiveBlock
from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, eventually, running, storage, store
from tests.unit.predict.promoted import ROW, promote

__all__ = ["storage", "store"]

INSTANCES = 3
CALLERS = 4
REQUESTS = int(os.environ.get("COUNTED_REQUESTS", "1200"))


def ask(function: Function, answered: list[int], enough: int) -> None:
    """Ask until `enough` answers came or the service is gone."""
    with httpx.Client(timeout=PATIENCE) as client:
        for number in range(enough):
            row = {**ROW, "age": 5 + number % 20}
            try:
                answer = client.post(f"{function.url}/predict", content=json.dumps(row), headers=JSON)
            except httpx.TransportError:
                return
            answered.append(answer.status_code)


JSON = {"Content-Type": "application/json"}


def test_no_count_is_lost_at_sigterm_under_load(store: CloudStore, tmp_path: Path) -> None:
    """COUNTED_REQUESTS=100000 asks as many."""
    promote(store)
    answered: list[int] = []
    with ExitStack() as stack:
        functions = []
        for place in range(INSTANCES):
            folder = tmp_path / str(place)
            folder.mkdir()
            functions.append(stack.enter_context(running(folder)))
            eventually(lambda: functions[-1].get("/ready").status_code == 200)
        threads = [
            threading.Thread(target=ask, args=(function, answered, REQUESTS // INSTANCES // CALLERS))
            for function in functions
            for _ in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: len(answered) >= REQUESTS // 2)
    for thread in threads:  # the instances were ended by SIGTERM, in the middle of it
        thread.join()
    found = [decode(store.read(i.name).data, LiveBlock, i.name) for i in store.list(layout.LIVE)]
    assert set(answered) == {200}
    assert sum(block.rows for block in found) == len(answered)
    assert sum(block.lost for block in found) == 0
    assert sum(sum(block.features["age"].bins) for block in found) == len(answered)
    genders = [block.features["gender"] for block in found]
    assert sum(sum(gender.counts) + gender.other for gender in genders) == len(answered)


@pytest.mark.parametrize("purpose", ["bench"])
def test_an_idle_instance_writes_at_its_end(store: CloudStore, tmp_path: Path, purpose: str) -> None:
    promote(store)
    with running(tmp_path) as function:
        assert function.predict().status_code == 200
        url = f"{function.url}/predict"
        requests.post(url, json=dict(ROW), headers={"X-Purpose": purpose}, timeout=PATIENCE).raise_for_status()
        assert store.list(layout.LIVE) == []
    (info,) = store.list(layout.LIVE)
    assert decode(store.read(info.name).data, LiveBlock, info.name).rows == 1
