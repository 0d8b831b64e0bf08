"""`make bench`: the usual service, ours and the floor, one worker each, in interleaved rounds of wrk on loopback.

Ratios come first: on a shared machine only they mean something. Beside the rate stands the worker's own CPU time for a
request, which other load on the machine changes less. The single rows are all the different ones of the sample in turn.
Ours remembers what it answered, so most of them are answered without a run of the graph; a second instance of ours that
remembers nothing (REMEMBERED_ROWS=0) shows what a row costs that was never asked before.
"""

import compileall
import importlib.metadata
import json
import operator
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import requests

from shared.store import CloudStore
from tests.bench.model import publish_both
from tests.functions.test_predict_function import ROOT
from tests.local_storage import running_storage
from tests.tools import free_port

ROUNDS = 5
SECONDS = 3
BATCH = 1000
MANY = 32
LARGE_BATCH = 10_000
TICKS = os.sysconf("SC_CLK_TCK")
FRAMEWORK = [sys.executable, "-m", "functions_framework", "--asgi", "--host", "127.0.0.1"]
OURS = [*FRAMEWORK, "--target", "predict", "--source", str(ROOT / "functions/predict/main.py")]
FLOOR = [*FRAMEWORK, "--target", "hello", "--source", str(ROOT / "tests/bench/hello.py")]
USUAL = [
    *(sys.executable, "-m", "uvicorn", "tests.bench.usual:app", "--host", "127.0.0.1"),
    *("--workers", "1", "--no-access-log", "--log-level", "error"),
]
COMMANDS = {"usual": USUAL, "ours": OURS, "floor": FLOOR, "forgetful": OURS}
LOCKED = ROOT / "functions" / "predict" / "requirements.txt"
_SET = re.compile(r"^(?:ENV| {3}) (MALLOC_\w+|OPENBLAS_\w+)=(\w+)", re.MULTILINE)
IMAGE = dict(_SET.findall(LOCKED.with_name("Dockerfile").read_text(encoding="utf-8")))
"""What the image sets for ours; the floor has it too."""
VARIABLES = {
    "ours": IMAGE,
    "floor": IMAGE,
    "forgetful": {**IMAGE, "REMEMBERED_ROWS": "0"},
    "uncounted": {**IMAGE, "LIVE_COUNTERS": "off"},
}
COMPARE: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


@dataclass
class Server:
    """One running service and what was measured of it, a list per figure."""

    name: str
    port: int
    pid: int
    start: float
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        return statistics.median(self.figures[figure])

    def processes(self) -> list[int]:
        """The service's own process and its children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def memory(self) -> float:
        """MB, shared pages divided among those who share them."""
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.processes()]
        return sum(int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0]) for text in texts) / 1024


@contextmanager
def serving(name: str, body: str, folder: Path) -> Iterator[Server]:
    """The service `name`, started and answering; the time from start to its first 200 is taken."""
    port = free_port()
    with (folder / f"{name}.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*COMMANDS[name], "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **VARIABLES.get(name, {})},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not answers(port, body):
                if process.poll() is not None or time.perf_counter() - started > 120:
                    raise SystemExit(f"{name} did not start:\n{(folder / f'{name}.log').read_text()[-2000:]}")
                time.sleep(0.005)
            yield Server(name, port, process.pid, time.perf_counter() - started)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def answers(port: int, body: str) -> bool:
    try:
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{port}/predict"
        return httpx.post(url, content=body, headers=headers, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def wrk(server: Server, path: str, script: Path, connections: int, seconds: int) -> tuple[float, float, float]:
    """Requests/s, p50 and p99 in ms. Ends the bench where an answer is not 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    url = f"http://127.0.0.1:{server.port}{path}"
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"{server.name} refused requests of the bench:\n{text}")
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    return rate, percentile(text, 50), percentile(text, 99)


def percentile(text: str, which: int) -> float:
    number, unit = re.findall(rf"^\s+{which}%\s+([\d.]+)(us|ms|s)", text, re.MULTILINE)[0]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def lua(folder: Path, name: str, bodies: list[str]) -> Path:
    """A script for wrk that sends `bodies` in turn."""
    script = folder / f"{name}.lua"
    quoted = ",".join("'" + body.replace("\\", "\\\\").replace("'", "\\'") + "'" for body in bodies)
    lines = ["wrk.method='POST'", "wrk.headers['Content-Type']='application/json'", f"local bodies={{{quoted}}}"]
    if len(bodies) == 1:
        lines.append("wrk.body=bodies[1]")
    else:
        lines += [
            "local ready, next = {}, 0",
            "init = function() for i, body in ipairs(bodies) do ready[i] = wrk.format(nil, nil, nil, body) end end",
            "request = function() next = next % #ready + 1 return ready[next] end",
        ]
    script.write_text("\n".join(lines), encoding="utf-8")
    return script


def measure(servers: list[Server], single: Path, batch: Path) -> None:
    """Fill the figures, round by round, so that a slow moment of the machine meets all of them."""
    for server in servers:
        wrk(server, "/predict", single, 8, 1)
    for _ in range(ROUNDS):
        for server in servers:
            before = server.cpu()
            rate, _, p99 = wrk(server, "/predict", single, 8, SECONDS)
            server.note("rate", rate)
            server.note("p99", p99)
            server.note("cpu", (server.cpu() - before) / (rate * SECONDS) * 1e6)
        for server in servers[1:]:
            rate, _, p99 = wrk(server, "/predict", single, MANY, SECONDS)
            server.note("rate_many", rate)
            server.note("p99_many", p99)
        for server in servers:
            server.note("p50", wrk(server, "/predict", single, 1, SECONDS)[1])
        for server in servers[:2]:
            server.note("rows", wrk(server, "/predict_batch", batch, 1, SECONDS)[0] * BATCH)


def measure_hold_up(server: Server, single: Path, large: Path) -> None:
    """How much later the slowest single rows are answered while large batches follow one another."""
    for _ in range(ROUNDS):
        alone = wrk(server, "/predict", single, 1, SECONDS)[2]
        url = f"http://127.0.0.1:{server.port}/predict_batch"
        command = ["wrk", "-t1", "-c1", f"-d{SECONDS + 2}s", "-s", str(large), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            time.sleep(1)
            beside = wrk(server, "/predict", single, 1, SECONDS)[2]
            text = other.communicate()[0]
        if "Non-2xx" in text or float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0]) * SECONDS < 1:
            raise SystemExit(f"the large batches were not answered:\n{text}")
        server.note("hold_up", max(0.0, beside - alone))
        server.note("beside", beside)


def installed() -> float:
    """MB of the distributions that the function's lock names, without compiled caches."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", LOCKED.read_text(encoding="utf-8"), re.MULTILINE)
    size = 0
    for name in names:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform
            continue
        paths = [Path(str(entry.locate())) for entry in files if entry.suffix != ".pyc"]
        size += sum(path.stat().st_size for path in paths if path.is_file())
    return size / 1e6


def ratio(servers: list[Server], figure: str, one: int, other: int) -> float:
    """The median of the ratios within a round."""
    pairs = zip(servers[one].figures[figure], servers[other].figures[figure], strict=True)
    return statistics.median(a / b for a, b in pairs)


Row = tuple[str, float, str, float | None]
"""What, the figure, how it is compared, with what."""


def targets(servers: list[Server], starts: dict[str, float]) -> list[Row]:
    """Everything that has a target, and what helps to understand it."""
    usual, ours, _, forgetful = servers
    return [
        ("requests/s at 8 connections, nothing remembered / floor", ratio(servers, "rate", 3, 2), "≥", 0.58),
        (f"the same at {MANY} connections", ratio(servers, "rate_many", 3, 2), "≥", 0.65),
        ("p99 there, ms", forgetful.median("p99_many"), "≤", 10),
        ("requests/s at 8 connections, ours / usual", ratio(servers, "rate", 1, 0), "≥", 30),
        ("requests/s at 8 connections, ours / floor", ratio(servers, "rate", 1, 2), "≥", 0.55),
        ("requests/s at 8 connections, nothing remembered / usual", ratio(servers, "rate", 3, 0), "", None),
        ("CPU of a request, usual / ours", ratio(servers, "cpu", 0, 1), "", None),
        ("CPU of a request, floor / ours", ratio(servers, "cpu", 2, 1), "", None),
        ("p50 at 1 connection, usual / ours", ratio(servers, "p50", 0, 1), "≥", 20),
        (f"rows/s in batches of {BATCH}, ours / usual", ratio(servers, "rows", 1, 0), "≥", 4),
        (f"p99 of single rows beside batches of {LARGE_BATCH}, ms later", ours.median("hold_up"), "≤", 20),
        ("start to first 200, usual / ours", starts["usual"] / starts["ours"], "≥", 4),
        ("memory of ours (PSS), MB", ours.memory(), "≤", 130),
        ("memory, ours / usual", ours.memory() / usual.memory(), "<", 1),
        ("installed for serving, MB", installed(), "≤", 250),
    ]


def readme_table(servers: list[Server], starts: dict[str, float]) -> list[str]:
    """The table of functions/predict/README.md, line by line."""
    usual, ours, floor, forgetful = servers
    columns = [usual, forgetful, ours, floor]
    medians: list[tuple[str, str, str, bool]] = [
        ("requests/s, 8 connections", "rate", ",.0f", True),
        ("CPU of a request, µs", "cpu", ",.0f", False),
        ("p50 at 1 connection, ms", "p50", ".2f", False),
    ]
    rows = [
        [title, *(figured(servers, server, figure, form, rated=rated) for server in columns)]
        for title, figure, form, rated in medians
    ]
    shares = [f"{ratio(servers, 'rate', servers.index(server), 2):.2f}" for server in columns[:-1]]
    rows.insert(1, ["of the floor", *shares, "1"])
    rows.insert(2, [f"of the floor at {MANY} connections", "", f"{ratio(servers, 'rate_many', 3, 2):.2f}", "", ""])
    began = [f"{starts[server.name] * 1000:,.0f}" for server in columns]
    began[2] += f" ({starts['usual'] / starts['ours']:.1f} ×)"
    held = [f"{server.memory():.0f}" for server in columns]
    many = f"{ours.median('rows'):,.0f} ({ratio(servers, 'rows', 1, 0):.1f} ×)"
    rows += [
        [f"rows/s, batches of {BATCH:,}", f"{usual.median('rows'):,.0f}", "", many, ""],
        [f"single rows' p99 beside batches of {LARGE_BATCH:,}, ms", "", "", f"{ours.median('beside'):.1f}", ""],
        ["start to first prediction, ms", *began],
        ["memory (PSS), MB", *held],
    ]
    lines = ["| | usual | this one, rows never asked before | rows asked before | floor |", "|---|---|---|---|---|"]
    return lines + ["|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|" for cells in rows]


def figured(servers: list[Server], server: Server, figure: str, form: str, *, rated: bool) -> str:
    """The median of a figure; of ours also as a multiple of the usual way's, where it is `rated`."""
    found = f"{server.median(figure):{form}}"
    if rated and server.name in ("ours", "forgetful"):
        found += f" ({ratio(servers, figure, servers.index(server), 0):.0f} ×)"
    return found


def report(servers: list[Server], starts: dict[str, float]) -> str:
    """The table of the README, then everything that has a target."""
    lines = [*readme_table(servers, starts), "", "| | measured | target | |", "|---|---|---|---|"]
    for title, value, how, wanted in targets(servers, starts):
        verdict = "" if wanted is None else "met" if COMPARE[how](value, wanted) else "missed"
        target = "" if wanted is None else f"{how} {wanted:g}"
        lines.append(f"| {title} | {value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} | {target} | {verdict} |")
    return "\n".join(lines)


def main() -> int:
    """Print the tables; 0 whatever the figures are: they are for people to judge."""
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed: on Debian and Ubuntu, apt-get install wrk\n")
        return 2
    with running_storage() as storage, tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="bench")
        os.environ["PYTHONPATH"] = str(ROOT)
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "bench"}, timeout=30).raise_for_status()
        rows = publish_both(CloudStore("bench"))
        body = json.dumps(rows[0])
        single = lua(folder, "single", sorted({json.dumps(row) for row in rows}))
        batch, large = (
            lua(folder, f"batch{size}", [json.dumps({"instances": (rows * (size // len(rows) + 1))[:size]})])
            for size in (BATCH, LARGE_BATCH)
        )
        for source in ("functions", "shared", "tests"):  # as the image does, and Python by itself where it may
            compileall.compile_dir(ROOT / source, quiet=2)
        starts: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(3):
            for service, times in starts.items():
                with serving(service, body, folder) as server:
                    times.append(server.start)
        servers = [stack.enter_context(serving(service, body, folder)) for service in COMMANDS]
        measure(servers, single, batch)
        measure_hold_up(servers[1], single, large)
        medians = {service: statistics.median(times) for service, times in starts.items()}
        sys.stdout.write(report(servers, medians) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
