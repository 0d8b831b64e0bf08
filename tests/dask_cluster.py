"""A Dask cluster of processes of their own on this computer: a scheduler and workers of one thread each."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from functions.train.search.processes import ONE_THREAD
from tests.infra.container import ROOT
from tests.tools import free_port


@dataclass(frozen=True)
class Cluster:
    """`address` of the scheduler, and the processes."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A scheduler and so many workers, which end with the block; `settings`: of their environment."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            _process(settings, "dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        )
        started = [stack.enter_context(_process(settings, "dask_worker", address, *options)) for _ in range(workers)]
        yield Cluster(address, scheduler, started)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End it at once, as a machine that is taken away."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@contextmanager
def _process(settings: Mapping[str, str] | None, name: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), **(settings or {})}
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", f"distributed.cli.{name}", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        kill(started)
