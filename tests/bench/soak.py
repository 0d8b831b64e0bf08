"""Load with bad requests and model swaps in between: no answer may be a 5xx, and each must fit the run that it names.

`python -m tests.bench.soak [seconds]`; the models are small graphs whose predictions are known by hand. `make torture`
sends bodies of 8 MiB in place of the bad requests, to a service in its deployed memory.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from shared.documents import Document
from shared.store import CloudStore
from tests.bad_bodies import JSON, SIZE, bad_bodies
from tests.bench.findings import Findings
from tests.bench.memory_room import PREDICT_MIB, Room, allocator, memory_room
from tests.functions.test_predict_function import running
from tests.local_storage import running_storage
from tests.unit.predict.promoted import BASE, EXPECTED, FIRST, ROW, SECOND, promote, write_pointer

CONNECTIONS = 64
SWAP_SECONDS = 5.0
SWAPS = 2
PATIENCE = 120.0
BAD_EVERY = 20
SECOND_BASE = BASE + 10
EXPECTED_BY_RUN = {FIRST: EXPECTED, SECOND: EXPECTED + SECOND_BASE - BASE}
GOOD = json.dumps(dict(ROW)).encode()
BAD = json.dumps({**ROW, "age": -1}).encode()


class Request(NamedTuple):
    """What is sent; `statuses`: what may come of it where it is to be refused, none where it has an answer."""

    path: str
    kind: str
    body: bytes
    statuses: frozenset[int] = frozenset()


ROWS = Request("/predict", JSON, GOOD)
BAD_ROW = Request("/predict", JSON, BAD, frozenset({422}))


def bombs() -> list[Request]:
    """Bodies that cost more to refuse than to send."""
    allowed = frozenset({400, 413, 422, 503})
    return [Request("/predict_batch", kind, body, allowed) for _, kind, body in bad_bodies() if len(body) <= SIZE]


def soak(seconds: float, _seed: int) -> Findings:
    """The soak of a service in its deployed memory, with bombs: every row has the answer of the run that it names."""
    found = Findings("soak", room_mib=PREDICT_MIB)
    with memory_room(PREDICT_MIB) as room:
        settings = {"MEMORY_MIB": str(PREDICT_MIB), **allocator()}
        counted = asyncio.run(main(seconds, bombs(), settings, room))
        found.ended = room.ended()
    found.most_mib = counted.pop("most MiB")
    found.inputs = sum(counted.values())
    found.statuses.update({int(name.split()[1]): counted[name] for name in counted if name.startswith("status")})
    found.neighbour = f"{counted[FIRST] + counted[SECOND]} rows right, {counted['refused']} bombs refused"
    found.bound("processes ended", found.ended, 0)
    found.bound("rows that were answered wrongly or not at all", sum(counted[name] for name in failures(counted)), 0)
    found.bound("runs that answered nobody", 2 - len({FIRST, SECOND} & set(counted)), 0)
    found.bound("kinds of requests that were never refused", int(not counted["refused"]), 0)
    return found


async def main(
    seconds: float,
    bad: Sequence[Request] = (BAD_ROW,),
    settings: Mapping[str, str] | None = None,
    room: Room | None = None,
    swap_seconds: float = SWAP_SECONDS,
) -> Counter[str]:
    """What was answered, counted: `<run_id>`, `refused`, `wrong` and any other status; every twentieth is a `bad` one.

    It takes `seconds`, or longer where `SWAPS` models have not answered by then: a busy machine is slow to load one.
    In a `room`, `most MiB` are counted too.
    """
    found: Counter[str] = Counter()
    with running_storage() as storage, tempfile.TemporaryDirectory() as folder:
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="soak")
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "soak"}, timeout=30).raise_for_status()
        store = CloudStore("soak")
        pointers = {SECOND: promote(store, run_id=SECOND, base=SECOND_BASE), FIRST: promote(store, run_id=FIRST)}
        with running(Path(folder), settings, by=room.command if room else ()) as function:
            if room:
                room.begin()
            end = time.monotonic() + seconds
            port = urlsplit(function.url).port or 0
            over = asyncio.Event()
            async with asyncio.TaskGroup() as callers:  # one that fails ends the soak, with its error
                for place in range(CONNECTIONS):
                    callers.create_task(call(port, over, found, bad, place))
                await swap(store, pointers, found, end, swap_seconds)
                over.set()
            if room:
                found["most MiB"] = int(room.peak())
    return found


async def swap(
    store: CloudStore, pointers: Mapping[str, Document], found: Counter[str], end: float, pause: float
) -> None:
    """Let the two models take turns until `end`, at least `SWAPS` times; each has answered before the next comes."""
    while time.monotonic() + pause < end or found["swaps"] < SWAPS:
        await asyncio.sleep(pause)
        run_id = (SECOND, FIRST)[found["swaps"] % 2]
        await asyncio.to_thread(write_pointer, store, "staging", pointers[run_id])
        await answers(run_id, found)
        found["swaps"] += 1
    await asyncio.sleep(end - time.monotonic())


async def answers(run_id: str, found: Counter[str]) -> None:
    """Wait until `run_id` answers once more than it has. Raises TimeoutError where it does not."""
    before = found[run_id]
    async with asyncio.timeout(PATIENCE):
        while found[run_id] == before:
            await asyncio.sleep(0.05)


async def call(
    port: int, over: asyncio.Event, found: Counter[str], bad: Sequence[Request] = (BAD_ROW,), place: int = 0
) -> None:
    """One connection, one request after the other; every twentieth is a bad one, the next of `bad` each time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    n = 0
    while not over.is_set():
        n += 1
        sent = ROWS
        if n % BAD_EVERY == 0:
            place += 1
            sent = bad[place % len(bad)]
        head = (
            f"POST {sent.path} HTTP/1.1\r\nHost: soak\r\nContent-Type: {sent.kind}\r\n"
            f"Content-Length: {len(sent.body)}\r\n\r\n"
        )
        writer.write(head.encode() + sent.body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        answer = json.loads(await reader.readexactly(length))
        found[verdict(int(lines[0].split()[1]), sent.statuses, answer)] += 1
        if "connection: close" in lines:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def verdict(status: int, refused_by: frozenset[int], answer: dict[str, object]) -> str:
    """The name under which an answer is counted."""
    if status != 200 or refused_by:
        return "refused" if status in refused_by else f"status {status}"
    model, prediction = answer["model"], answer["prediction"]
    assert isinstance(model, dict)
    return str(model["run_id"]) if EXPECTED_BY_RUN[model["run_id"]] == prediction else "wrong"


def failures(found: Counter[str]) -> list[str]:
    """What must not be there."""
    return [name for name in found if name == "wrong" or name.startswith("status")]


if __name__ == "__main__":
    counted = asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
    sys.stdout.write(", ".join(f"{name}: {count:,}" for name, count in sorted(counted.items())) + "\n")
    sys.exit(1 if failures(counted) or not {FIRST, SECOND} <= set(counted) else 0)
