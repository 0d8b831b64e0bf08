"""The processes of the local cloud: started in order, restarted when they die, stopped together, none left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import PipelineError

INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("TRAIN_JOBS", "TRAIN_BUDGET_SECONDS", "TRAIN_BACKEND", "DASK_ADDRESS", "TRAIN_FULL"),
        *("REMEMBERED_ROWS", "MAX_BODY_BYTES", "MAX_BATCH_ROWS", "BODY_SECONDS", "LOG_LEVEL"),
    }
)
"""What a process of the local cloud takes from the shell that started it, beside the families below: what programs need
to run at all, and the settings that a person may choose for a run. Nothing else gets through: make exports its own
variables, and `make run DATASET=houses.toml` must not become the train function's setting of the same name."""
INHERITED_FAMILIES = ("LC_", "PYTHON", "OPENBLAS_", "OMP_", "MKL_", "MPL", "XDG_")
RESTART_SECONDS = 0.5
STOP_SECONDS = 10.0
READY_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


class ProcessFailed(PipelineError):
    """A process of the local cloud did not come up, or does not stay up. `log` is where it says why."""

    def __init__(self, service: str, message: str, log: Path) -> None:
        super().__init__(message)
        self.service = service
        self.log = log


@dataclass(frozen=True)
class ManagedProcess:
    """One process. `ready` is asked until it says True."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], bool]


@dataclass
class Running:
    """A started service and how often it had to be restarted."""

    service: ManagedProcess
    process: subprocess.Popen[bytes]
    restarts: list[float] = field(default_factory=list)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that the processes of the local cloud inherit."""
    return {name: value for name, value in environ.items() if name in INHERITED or name.startswith(INHERITED_FAMILIES)}


class Supervisor:
    """Keeps services running. Every process is the head of its own group, so that nothing of it survives `stop`."""

    def __init__(self, logs: Path, base_environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._base = dict(base_environment)
        self._running: dict[str, Running] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def start(self, service: ManagedProcess) -> None:
        self._running[service.name] = Running(service, self._spawn(service))
        self._record()

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> float:
        """Seconds until the service was ready. Raises ProcessFailed."""
        began = time.monotonic()
        running = self._running[name]
        while not running.service.ready():
            if running.process.poll() is not None:
                code = running.process.returncode
                raise ProcessFailed(name, f"{name} stopped with exit code {code} while starting", self.log(name))
            if time.monotonic() - began > seconds:
                raise ProcessFailed(name, f"{name} was not ready within {seconds:.0f} s", self.log(name))
            time.sleep(0.05)
        return time.monotonic() - began

    def restart_dead(self) -> list[str]:
        """Start again what has died, and name it. Raises ProcessFailed for what dies again and again."""
        dead = [running for running in self._running.values() if running.process.poll() is not None]
        for running in dead:
            name = running.service.name
            now = time.monotonic()
            running.restarts = [moment for moment in running.restarts if now - moment < 60.0] + [now]
            if len(running.restarts) > 5:
                raise ProcessFailed(name, f"{name} died {len(running.restarts)} times within a minute", self.log(name))
            _signal_group(running.process, signal.SIGKILL)  # a killed head leaves its workers holding the port
            time.sleep(RESTART_SECONDS)
            running.process = self._spawn(running.service)
            self._record()
        return [running.service.name for running in dead]

    def stop(self) -> None:
        """Ask every process group to end, then end what remains."""
        for running in self._running.values():
            _signal_group(running.process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for running in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(running.process, signal.SIGKILL)
            running.process.wait()
        self._running.clear()

    def _record(self) -> None:
        """Keep `name pid` lines next to the logs, for a person who wants to look at one of the processes."""
        lines = [f"{name} {running.process.pid}\n" for name, running in self._running.items()]
        (self._logs.parent / "pids").write_text("".join(lines), encoding="utf-8")

    def _spawn(self, service: ManagedProcess) -> subprocess.Popen[bytes]:
        with self.log(service.name).open("ab") as log:
            return subprocess.Popen(
                service.command,
                env={**self._base, **service.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_with_parent() -> None:
    """Linux ends the child when its parent dies, however it dies; elsewhere only `stop` does."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
