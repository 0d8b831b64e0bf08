"""`make torture`: each function in its deployed memory, among inputs made to cost more than they are worth.

`python -m tests.bench.torture [--seconds 60] [--seed 1] [PART …]`; parts are predict, validate, train, documents,
batch, watch, soak.
One table: inputs tried, the most memory and time that one took, what a neighbour noticed meanwhile, and whether a
process was ended. Where this process may make control groups, the whole of a function is held to its memory, as its
container would; else each of its processes is, by a limit on its data. Fails where a bound of the table does not hold.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import requests

from shared.store import CloudStore
from tests.bad_bodies import JSON, bad_bodies
from tests.bench.bodies import generated
from tests.bench.bombs import requests_of
from tests.bench.findings import Findings
from tests.bench.memory_room import PREDICT_MIB, Room, allocator, memory_room
from tests.bench.parsing import batch, documents, train, watch
from tests.bench.soak import soak
from tests.functions.test_predict_function import running
from tests.functions.test_validate_function import Bucket, flooded, running_function
from tests.local_storage import running_storage
from tests.unit.predict.promoted import EXPECTED, ROW, promote

VALIDATE_MIB = 1024
SHAPES = 300
AT_ONCE = 64
MODULE = (sys.executable, "-m", "tests.bench.torture")
GOOD = json.dumps(dict(ROW)).encode()
MEBIBYTE = 2**20


# ---- predict -------------------------------------------------------------------------------------------------------


def predict(seconds: float, seed: int) -> Findings:
    """Each body alone, for its memory and time; then many at once beside single rows."""
    found = Findings("predict", room_mib=PREDICT_MIB)
    with running_storage() as storage, tempfile.TemporaryDirectory() as folder, memory_room(PREDICT_MIB) as room:
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="torture")
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "torture"}, timeout=30).raise_for_status()
        promote(CloudStore("torture"))
        settings = {"MEMORY_MIB": str(PREDICT_MIB), "REFRESH_SECONDS": "15", **allocator()}
        with running(Path(folder), settings, by=room.command) as function:
            requests.get(f"{function.url}/ready", timeout=60).raise_for_status()
            _alone(function.url, room, found)
            _shapes(urlsplit(function.url).port or 0, seed, found)
            room.begin()
            _together(function.url, seconds, seed, found)
            found.most_mib = room.peak()
        found.ended = room.ended()
        found.bound("processes ended", found.ended, 0)
    return found


def _alone(url: str, room: Room, found: Findings) -> None:
    # Making a body may take longer than a connection may be idle.
    with httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for _ in range(50):
            client.post("/predict", content=GOOD, headers={"Content-Type": JSON}).raise_for_status()
        for name, kind, body in bad_bodies():
            before = room.begin()
            began = time.perf_counter()
            status = client.post("/predict_batch", content=body, headers={"Content-Type": kind}).status_code
            taken, grown = time.perf_counter() - began, room.peak() - before
            found.inputs += 1
            found.statuses[status] += 1
            found.worst_mib, found.worst_seconds = max(found.worst_mib, grown), max(found.worst_seconds, taken)
            sys.stdout.write(
                f"  {name:34} {len(body) / MEBIBYTE:5.1f} MiB  {grown:6.1f} MiB {1000 * taken:7.0f} ms {status}\n"
            )
    found.bound("MiB for one refusal", found.worst_mib, 64.0)
    found.bound("seconds for one refusal", found.worst_seconds, 0.3, timing=True)


def _shapes(port: int, seed: int, found: Findings) -> None:
    """Raw requests of any shape, each on a connection of its own; after them a right one is answered."""
    shapes, faults = requests_of(seed), 0
    for _ in range(SHAPES):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
            caller.sendall(next(shapes))
            caller.shutdown(socket.SHUT_WR)
            answer = caller.recv(65536)
            faults += answer[9:12] == b"500"
        found.inputs += 1
    found.bound("raw requests that were answered with 500", faults, 0)
    right = requests.post(f"http://127.0.0.1:{port}/predict", data=GOOD, headers={"Content-Type": JSON}, timeout=60)
    found.bound("rows not answered after raw requests", int(right.json().get("prediction") != EXPECTED), 0)


def _together(url: str, seconds: float, seed: int, found: Findings) -> None:
    """Bombs by a process of their own, so that what it costs to send them delays nobody here."""
    command = [*MODULE, "--bomb", url, "--seconds", str(seconds), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bombers:
        assert bombers.stdout is not None
        assert bombers.stdout.readline() == "ready\n"
        latencies: list[float] = []
        failed = asyncio.run(_single(urlsplit(url).port or 0, time.monotonic() + seconds, latencies))
        counted = json.loads(bombers.stdout.readline())
    found.statuses.update({int(status): count for status, count in counted.items()})
    found.inputs += sum(counted.values())
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)]
    found.neighbour = f"{len(latencies)} rows, p99 {1000 * p99:.0f} ms, {failed} failed"
    found.bound("single rows that failed", failed, 0)
    found.bound("ms p99 of single rows", 1000 * p99, 50.0, timing=True)


async def bomb(url: str, seconds: float, seed: int) -> None:
    """Send bodies for `seconds`, AT_ONCE at a time; print what was answered."""
    more = generated(seed)
    bodies = [(kind, body) for _, kind, body in (*bad_bodies(), *(next(more) for _ in range(200)))]
    _say("ready")
    statuses: Counter[int] = Counter()
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)) as client:
        await asyncio.gather(*(_bomb(client, bodies, number, end, statuses) for number in range(AT_ONCE)))
    _say(json.dumps(statuses))


async def _bomb(
    client: httpx.AsyncClient, bodies: list[tuple[str, bytes]], place: int, end: float, statuses: Counter[int]
) -> None:
    while time.monotonic() < end:
        kind, body = bodies[place % len(bodies)]
        place += AT_ONCE + 1
        try:
            answer = await client.post("/predict_batch", content=body, headers={"Content-Type": kind})
        except httpx.HTTPError:
            statuses[0] += 1
            continue
        statuses[answer.status_code] += 1
        if answer.status_code == 503:
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))


async def _single(port: int, end: float, latencies: list[float]) -> int:
    """Single rows over one connection, one after the other; how many were not answered as they must be."""
    failed = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /predict HTTP/1.1\r\nHost: t\r\nContent-Type: {JSON}\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode()
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            writer.write(head + GOOD)
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.decode().lower().split("\r\n")
            length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
            body = json.loads(await reader.readexactly(length))
            failed += body.get("prediction") != EXPECTED
        except (OSError, EOFError, ValueError):
            failed += 1
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    writer.close()
    return failed


# ---- validate ------------------------------------------------------------------------------------------------------


def validate(_seconds: float, _seed: int) -> Findings:
    """Nine endless graphs and nine bombs at once, and what a good candidate and a marker notice."""
    found = Findings("validate", room_mib=VALIDATE_MIB)
    with running_storage() as storage, tempfile.TemporaryDirectory() as folder, memory_room(VALIDATE_MIB) as room:
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local")
        created = {"name": "torture", "versioning": {"enabled": True}}
        requests.post(f"{storage.http_url}/storage/v1/b", json=created, timeout=30).raise_for_status()
        settings = {"BUCKET": "torture", "STORAGE_EMULATOR_HOST": storage.http_url, "MEMORY_MIB": str(VALIDATE_MIB)}
        with running_function(Path(folder), by=room.command, THREADS="4", **settings) as function:
            room.begin()
            _, acted, decided, last = flooded(function, Bucket("torture", CloudStore("torture")))
            found.most_mib = room.peak()
        found.ended = room.ended()
    found.inputs, found.worst_seconds = 18, last
    found.neighbour = f"marker {acted:.1f} s, good candidate {decided:.1f} s"
    found.bound("processes ended", found.ended, 0)
    found.bound("seconds to act on a marker", acted, 2.0, timing=True)
    found.bound("seconds to decide on a good candidate", decided, 5.0, timing=True)
    return found


# ---- the whole -----------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[float, int], Findings]] = {
    "predict": predict,
    "validate": validate,
    "train": train,
    "documents": documents,
    "batch": batch,
    "watch": watch,
    "soak": soak,
}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(findings: list[Findings], *, timing: bool) -> int:
    """Print the table; the number of bounds that do not hold, those of time only where `timing` counts."""
    broken = 0
    _say(f"\n{'function':10} {'inputs':>7} {'worst MiB':>10} {'worst s':>8} {'of':>9}  ended  neighbour")
    for found in findings:
        most = f"{found.most_mib:.0f}/{found.room_mib}"
        _say(
            f"{found.name:10} {found.inputs:7} {found.worst_mib:10.0f} {found.worst_seconds:8.2f} {most:>9}"
            f"  {found.ended:5}  {found.neighbour}"
        )
        _say(f"{'':10} statuses {dict(sorted(found.statuses.items()))}")
        for name, value, bound, of_time in found.bounds:
            holds = value <= bound
            broken += not holds and (timing or not of_time)
            _say(f"{'':10} {'holds' if holds else 'BROKEN':6} {name}: {value:.4g}, at most {bound:g}")
    return broken


def main() -> int:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bomb", metavar="URL", help="only send bodies to a running service")
    parser.add_argument("--shared", action="store_true", help="other programs run here: do not judge times")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    given = parser.parse_args()
    if given.bomb:
        asyncio.run(bomb(given.bomb, given.seconds, given.seed))
        return 0
    findings = [PARTS[name](given.seconds, given.seed) for name in given.parts or PARTS]
    return 1 if report(findings, timing=not given.shared) else 0


if __name__ == "__main__":
    sys.exit(main())
