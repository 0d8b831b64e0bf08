"""The watch at its promised sizes, once each: counts that instances keep, predictions replayed, labels taken in.

`python -m tests.bench.sizes [counts] [replay] [labels]`. The suite has a small one of each; wrk asks for `counts`.
"""

import argparse
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pyarrow.parquet as pq
import requests

from functions.watch.ledger import RESIDUAL
from shared import layout
from shared.clock import utc_now
from shared.codec import decode
from shared.documents import Cell
from shared.monitoring import LiveBlock, Performance
from shared.store import CloudStore
from tests.bench import serving
from tests.bench.watch import say, told
from tests.functions.test_predict_function import Function, running
from tests.local_storage import running_storage
from tests.memory_store import MemoryStore
from tests.unit.predict.promoted import by_hand, promote
from tests.unit.watch.world import World, labelled, noise, rows

ROOT = Path(__file__).parents[2]
REQUESTS, INSTANCES = 100_000, 3
REPLAYED, SWAPS, CALLERS = 10_000, 5, 4
LABELS, LABEL_SECONDS = 100_000, 20.0
TOLERANCE = 1e-5


def main() -> int:
    """Each part with its bounds; the exit code says whether all were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    kept = [found for name in parser.parse_args().parts or PARTS for found in PARTS[name]()]
    say(f"{sum(kept)} of {len(kept)} bounds kept")
    return 0 if all(kept) else 1


# ---- counts ----------------------------------------------------------------------------------------------------------


def counts() -> list[bool]:
    """100,000 requests to three instances, which SIGTERM ends in the middle of it; and again, one of them killed."""
    ended, _ = counted(None)
    killed, of_it = counted(0)
    return [
        told("counts lost at SIGTERM under load", float(ended), 0.0),
        told("counts lost where one of three instances was killed, of its own answers", float(killed), float(of_it)),
    ]


def counted(killed: int | None) -> tuple[int, int]:
    """How many counts are lost, and how many answers the killed instance gave, all of them within its last 300 s."""
    with running_storage() as storage, tempfile.TemporaryDirectory() as name:
        store = bucket(storage.http_url, "counts")
        promote(store)
        script = serving.lua(Path(name), "single", [json.dumps(row) for row in rows(1_000)])
        with ExitStack() as stack:
            functions = [stack.enter_context(running(folder(name, place))) for place in range(INSTANCES)]
            for function in functions:
                ready(function)
            callers = [called(function, script) for function in functions]
            seconds = REQUESTS / rate(functions, script)
            time.sleep(1.2 * seconds)
            if killed is not None:
                os.killpg(functions[killed].process.pid, signal.SIGKILL)
        answers = [answered(caller) for caller in callers]
        found = [decode(store.read(i.name).data, LiveBlock, i.name) for i in store.list(layout.LIVE)]
        whole = sum(block.rows for block in found)
        say(f"{sum(answers):,} answers of {INSTANCES} instances, {whole:,} counted in {len(found)} blocks")
        if sum(answers) < REQUESTS:
            say(f"fewer than {REQUESTS:,}: the computer was too busy to ask them in time")
        return abs(sum(answers) - whole), answers[killed] if killed is not None else 0


def rate(functions: Sequence[Function], script: Path) -> float:
    """Requests a second of all instances at once, measured by a short call of the first beside the others' load."""
    server = serving.Server("first", int(functions[0].url.rpartition(":")[2]), functions[0].process.pid, 0.0)
    uncounted = script.with_name("uncounted.lua")
    uncounted.write_text(script.read_text() + "\nwrk.headers['X-Purpose'] = 'bench'\n" + AGAIN, encoding="utf-8")
    return serving.wrk(server, "/predict", uncounted, 8, 2)[0] * INSTANCES


AGAIN = "init = function() for i, body in ipairs(bodies) do ready[i] = wrk.format(nil, nil, nil, body) end end\n"
"""The requests are made once, at the start: with the header too."""


def called(function: Function, script: Path) -> subprocess.Popen[str]:
    command = ["wrk", "-t1", "-c8", "-d600s", "-s", str(script), f"{function.url}/predict"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answered(caller: subprocess.Popen[str]) -> int:
    """The answers that a caller got, of a service that is gone by now."""
    caller.send_signal(signal.SIGINT)
    text, _ = caller.communicate(timeout=60)
    if "Non-2xx" in text:
        raise SystemExit(f"requests were refused:\n{text}")
    return int(re.findall(r"(\d+) requests in", text)[0])


# ---- replay ----------------------------------------------------------------------------------------------------------


def replay() -> list[bool]:
    """10,000 requests of a service under which the model is swapped five times; their labels come afterwards."""
    with running_storage() as storage, tempfile.TemporaryDirectory() as name:
        world = World(bucket=cast(MemoryStore, bucket(storage.http_url, "replay")), now=utc_now())
        asked = rows(REPLAYED, 11)
        answers: list[dict[str, Any]] = []
        with ExitStack() as stack:
            for number in range(SWAPS + 1):
                world.now = utc_now()
                world.serve(f"20260105T07000{number}Z-0000000{number}", base=58.0 + number)
                if number == 0:
                    function = stack.enter_context(running(folder(name, 0), {"STAGE": "production"}))
                    ready(function)
                part = asked[len(answers) : (number + 1) * REPLAYED // (SWAPS + 1)]
                with ThreadPoolExecutor(CALLERS) as callers:
                    chunks = [part[place::CALLERS] for place in range(CALLERS)]
                    found = list(callers.map(partial(ask, function), chunks))
                    ordered = [found[place % CALLERS][place // CALLERS] for place in range(len(part))]
                answers += ordered
        world.now = utc_now()
        errors = [a["prediction"] + 7.0 - by_hand(row) for a, row in zip(answers, asked, strict=True)]
        runs = [a["model"]["run_id"] for a in answers]
        world.label(labelled(asked, errors, run_id=runs))
        (table,) = [pq.read_table(io.BytesIO(data)) for data in world.files(layout.LEDGER).values()]
        named = table.column("run").to_pylist()
        residuals = np.array([table.column(RESIDUAL + run)[place].as_py() for place, run in enumerate(named)])
        say(f"{len(residuals):,} of {len(answers):,} answers attributed, of {len(set(named))} runs")
        return [
            told("rows that are attributed to nobody", float(len(answers) - len(residuals)), 0.0),
            told("runs that answered none", float(SWAPS + 1 - len(set(named))), 0.0),
            told("the largest difference of replayed and served", float(np.abs(residuals - 7.0).max()), TOLERANCE),
        ]


def ask(function: Function, chunk: Sequence[Mapping[str, Cell]]) -> list[dict[str, Any]]:
    with httpx.Client(timeout=60) as client:
        return [client.post(f"{function.url}/predict", json=dict(row)).raise_for_status().json() for row in chunk]


# ---- labels ----------------------------------------------------------------------------------------------------------


def labels() -> list[bool]:
    """100,000 labelled rows in one file: processor seconds from its event to the performance."""
    world = World()
    world.serve()
    world.pass_days(3)
    data = labelled(rows(LABELS), noise(LABELS))
    began = time.process_time()
    world.label(data)
    seconds = time.process_time() - began
    (key,) = [info.name for info in world.bucket.list(layout.performance())]
    if decode(world.bucket.read(key).data, Performance, key).rows != LABELS:
        raise SystemExit("not every row was taken in")
    return [told(f"processor seconds from {LABELS:,} labelled rows to the performance", seconds, LABEL_SECONDS)]


# ---- what they share -------------------------------------------------------------------------------------------------


def bucket(url: str, name: str) -> CloudStore:
    os.environ.update(STORAGE_EMULATOR_HOST=url, GOOGLE_CLOUD_PROJECT="local", BUCKET=name, PYTHONPATH=str(ROOT))
    requests.post(f"{url}/storage/v1/b", json={"name": name}, timeout=30).raise_for_status()
    return CloudStore(name)


def folder(name: str, place: int) -> Path:
    made = Path(name) / str(place)
    made.mkdir()
    return made


def ready(function: Function) -> None:
    deadline = time.monotonic() + 60
    while function.get("/ready").status_code != 200:
        if time.monotonic() > deadline:
            raise SystemExit(f"the service did not become ready:\n{function.log.read_text()[-2000:]}")
        time.sleep(0.1)


PARTS: dict[str, Callable[[], list[bool]]] = {"counts": counts, "replay": replay, "labels": labels}

if __name__ == "__main__":
    sys.exit(main())
