"""How a stand-in of the local cloud lives: its state folder made, running until a signal, a fault as one log line."""

import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from shared import logs
from shared.errors import PipelineError


def until_stopped(name: str, state: Path, serve: Callable[[threading.Event], None]) -> int:
    """Call `serve`, which returns once its event is set by SIGTERM or SIGINT; the exit status."""
    logs.configure(name)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        state.mkdir(parents=True, exist_ok=True)
        serve(stopping)
    except (OSError, sqlite3.Error, PipelineError) as error:
        logs.error(f"{name} stopped: {error}", reason=f"{name}_stopped")
        return 1
    return 0
