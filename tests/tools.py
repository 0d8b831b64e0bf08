"""What tests of several suites ask the computer for: programs that no Python package brings, and its spare time."""

import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

LOWEST_PORT = 12_000
CHANCE = SystemRandom()
"""Not the generator that tests seed: two processes of the suite would draw the same ports."""
DEAD_PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""The environment of a computer behind a proxy, which nobody on its loopback can be reached through."""


def require(*names: str, source: str) -> str:
    """Path of the first of the programs that is installed; `source` says what brings it.

    A laptop without any of them skips the test, CI must have one.
    """
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = f"{names[0]} is not installed: {source}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def free_port() -> int:
    """A port of this computer that nobody listens at, for a process that is about to.

    It lies below those that the system itself gives to whoever names none: every connection takes one of these, and
    may be given the port between this look and the process's own.
    Source: https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    highest = max(int(given.read_text().split()[0]) if given.exists() else 32_768, 2 * LOWEST_PORT)
    while True:
        port = CHANCE.randrange(LOWEST_PORT, highest)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def queued_seconds(pid: int) -> float:
    """Seconds that the main thread of a process was ready to run and waited for a processor; 0 where nobody counts.

    A bound on how long something takes holds for what is left without them: other tests and programs run here too.
    Source: the second field of /proc/PID/schedstat, https://docs.kernel.org/scheduler/sched-stats.html
    """
    counted = Path(f"/proc/{pid}/schedstat")
    return int(counted.read_text().split()[1]) / 1e9 if counted.exists() else 0.0


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """Processes that are started here inherit the signal as ignored, as a shell's background jobs do Ctrl-C's."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def processor_seconds(act: Callable[[], Any]) -> tuple[float, Any]:
    """What an act takes of processors, here and in processes that ended under it, and what it gives."""

    def used() -> float:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in both)

    before = used()
    found = act()
    return used() - before, found
