"""The local Cloud Storage server: JSON API over HTTP and HTTPS, everything in one SQLite file under `--state`.

Its rows of `outbox` are the events that Eventarc would deliver; `eventarc.py` reads them from another process.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from infra.local.storage.app import application
from infra.local.storage.certificate import certificate
from infra.local.storage.database import FILE_NAME
from infra.local.storage.request import Storage
from infra.options import OneLineParser, whole
from shared import terminal
from shared.errors import PipelineError

KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 5


class CannotStart(PipelineError):
    """A port is taken, or another server uses the same state; the message is one line that says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="python -m infra.local.storage", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder of the database and the certificate")
    parser.add_argument("--http-port", type=whole(0, 65535), required=True, help="0 takes any free port")
    parser.add_argument("--https-port", type=whole(0, 65535), required=True, help="0 takes any free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    options = parser.parse_args(arguments)
    try:
        with _exclusive(options.state), contextlib.ExitStack() as stack:
            http = stack.enter_context(_listening(options.host, options.http_port, "--http-port"))
            https = stack.enter_context(_listening(options.host, options.https_port, "--https-port"))
            storage = stack.enter_context(contextlib.closing(_opened(options.state)))
            asyncio.run(_serve(storage, options.state, http, https))
    except CannotStart as error:
        print(f"{parser.prog}: cannot start: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{parser.prog}: stopped: {error.strerror} ({error.filename or options.state})", file=sys.stderr)
        return 2
    return 0


def _opened(state: Path) -> Storage:
    """The engine over a state. Raises CannotStart for a file that is no database, or cannot be written."""
    file = state / FILE_NAME
    try:
        return Storage(state)
    except sqlite3.OperationalError as error:
        raise CannotStart(f"{file} cannot be opened: {error}; can the folder be written, has its disk room?") from error
    except sqlite3.DatabaseError as error:
        raise CannotStart(
            f"{file} is damaged: {error}; move it away, or forget everything with make clean-local"
        ) from error


async def _serve(storage: Storage, state: Path, http: socket.socket, https: socket.socket) -> None:
    app = application(storage)
    certificate_file, key_file = certificate(state)
    common = {
        "lifespan": "off",
        "log_level": "warning",
        "access_log": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": STOP_SECONDS,
    }
    plain = _Server(uvicorn.Config(app, **common))  # type: ignore[arg-type]
    secure = _Server(uvicorn.Config(app, ssl_certfile=certificate_file, ssl_keyfile=key_file, **common))  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, plain, secure)
    serving = asyncio.gather(plain.serve([http]), secure.serve([https]))
    while not (plain.started and secure.started) and not serving.done():
        await asyncio.sleep(0.01)
    print(json.dumps({"ready": True, "http": _address("http", http), "https": _address("https", https)}), flush=True)
    await serving


class _Server(uvicorn.Server):
    """Leaves the signals alone: one handler stops both servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(*servers: uvicorn.Server) -> None:
    for server in servers:
        server.should_exit = True


def _address(scheme: str, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{host}:{port}"


@contextlib.contextmanager
def _listening(host: str, port: int, option: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's delay off: 40 ms a request otherwise.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(2048)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is in use" if taken else f"cannot be had ({os.strerror(error.errno or 0)})"
            raise CannotStart(
                f"port {port} on {host} {reason}; stop what listens there or choose another with {option}"
            ) from error
        yield listening


@contextlib.contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """One server per state: a second one would clean up what the first is still receiving."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"folder {state} cannot be made: {error.strerror}; choose another --state") from error
    with (state / "gcs.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another server uses {state}; stop it or choose another folder with --state") from error
        yield


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
