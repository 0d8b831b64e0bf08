"""Load with bad requests and model swaps in between: no answer may be a 5xx, and each must fit the run that it names.

`python -m tests.bench.soak [seconds]`; the models are small graphs whose predictions are known by hand.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import requests

from shared.store import CloudStore
from tests.functions.test_predict_function import running
from tests.local_storage import running_storage
from tests.unit.predict.promoted import BASE, EXPECTED, FIRST, ROW, SECOND, promote, write_pointer

CONNECTIONS = 64
SWAP_SECONDS = 5.0
BAD_EVERY = 20
SECOND_BASE = BASE + 10
EXPECTED_BY_RUN = {FIRST: EXPECTED, SECOND: EXPECTED + SECOND_BASE - BASE}
GOOD = json.dumps(dict(ROW)).encode()
BAD = json.dumps({**ROW, "age": -1}).encode()


async def main(seconds: float) -> Counter[str]:
    """What was answered, counted: `<run_id>`, `refused`, `wrong` and any other status."""
    found: Counter[str] = Counter()
    with running_storage() as storage, tempfile.TemporaryDirectory() as folder:
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="soak")
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "soak"}, timeout=30).raise_for_status()
        store = CloudStore("soak")
        pointers = [promote(store, run_id=SECOND, base=SECOND_BASE), promote(store, run_id=FIRST)]
        with running(Path(folder)) as function:
            end = time.monotonic() + seconds
            port = urlsplit(function.url).port or 0
            callers = [asyncio.create_task(call(port, end, found)) for _ in range(CONNECTIONS)]
            swaps = 0
            while time.monotonic() + SWAP_SECONDS < end:
                await asyncio.sleep(SWAP_SECONDS)
                await asyncio.to_thread(write_pointer, store, "staging", pointers[swaps % 2])
                swaps += 1
            await asyncio.gather(*callers)
            found["swaps"] = swaps
    return found


async def call(port: int, end: float, found: Counter[str]) -> None:
    """One connection, one request after the other; every twentieth is a bad one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    n = 0
    while time.monotonic() < end:
        n += 1
        body = BAD if n % BAD_EVERY == 0 else GOOD
        head = (
            f"POST /predict HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        writer.write(head.encode() + b"\r\n" + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        answer = json.loads(await reader.readexactly(length))
        found[verdict(int(lines[0].split()[1]), body is BAD, answer)] += 1
    writer.close()


def verdict(status: int, bad: bool, answer: dict[str, object]) -> str:
    """The name under which an answer is counted."""
    if status != 200 or bad:
        return "refused" if bad and status == 422 else f"status {status}"
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
