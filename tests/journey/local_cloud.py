"""`make run` as a person starts it, for the journey tests: a real process with its own state folder and free ports."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from infra.settings import LocalSettings, Ports, variable
from tests.tools import free_port, ignored

ROOT = Path(__file__).resolve().parents[2]
UP_SECONDS = 600.0


@dataclass(frozen=True)
class Finished:
    """How one run ended, and what it printed."""

    code: int
    output: str


def free_ports() -> Ports:
    """As many free ports as the local cloud needs, all different."""
    found: set[int] = set()
    while len(found) < len(fields(Ports)):
        found.add(free_port())
    return Ports(**{field.name: port for field, port in zip(fields(Ports), found, strict=True)})


def settings_for(state: Path) -> LocalSettings:
    """A local cloud of its own in `state`."""
    return LocalSettings(root=ROOT, state=state, bucket="journey", ports=free_ports())


def environment(settings: LocalSettings) -> dict[str, str]:
    """The caller's environment, with this local cloud's folder and ports."""
    ports = {variable(field.name): str(getattr(settings.ports, field.name)) for field in fields(Ports)}
    return {**os.environ, **ports, "LOCAL_STATE": str(settings.state), "LOCAL_BUCKET": settings.bucket}


def command(*options: str) -> Sequence[str]:
    return (sys.executable, "-m", "infra.local.up", *options)


def run_once(settings: LocalSettings, *options: str, timeout: float = UP_SECONDS) -> Finished:
    """Run `make run ONCE=1` to its end."""
    done = subprocess.run(
        command("--once", *options),
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode())


class Session:
    """A `make run` that stays up."""

    def __init__(self, settings: LocalSettings, process: subprocess.Popen[bytes], output: Path) -> None:
        self.settings = settings
        self.process = process
        self._output = output

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_for(self, pattern: str, timeout: float = UP_SECONDS) -> str:
        """Wait until the output matches `pattern`, and return the output."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.output()):
            assert self.process.poll() is None, f"make run ended early:\n{self.output()}"
            assert time.monotonic() < deadline, f"{pattern!r} was not printed within {timeout} s:\n{self.output()}"
            time.sleep(0.1)
        return self.output()

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def running(settings: LocalSettings, *options: str) -> Iterator[Session]:
    """Start `make run`, and stop it when the block ends."""
    settings.state.mkdir(parents=True, exist_ok=True)
    output = settings.state / "printed"
    with output.open("wb") as printed, ignored(signal.SIGINT):
        process = subprocess.Popen(
            command(*options), cwd=ROOT, env=environment(settings), stdout=printed, stderr=subprocess.STDOUT
        )
    session = Session(settings, process, output)
    try:
        yield session
    finally:
        if process.poll() is None:
            session.interrupt()


def processes_of(settings: LocalSettings) -> dict[int, str]:
    """Processes that still belong to this local cloud: their command line or environment names its state or a port."""
    found = {}
    ports = {str(getattr(settings.ports, field.name)) for field in fields(Ports)}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and (str(settings.state) in arguments or ports & set(arguments)):
            found[int(entry.name)] = " ".join(arguments)
    return found
