"""Storage that drips under a worker: stale is told, the model in hand goes on, and what is well again is followed.

The parts are those of production, with smaller settings: a second for what takes twenty there.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from functions.predict import predictor as module
from functions.predict.contract.description import describe_refresh
from functions.predict.predictor import Predictor
from shared.store import CloudStore
from tests.local_storage import running_storage
from tests.unit.predict.promoted import FIRST, SECOND, promote

DEADLINE = 1.0
REFRESH = 0.2


class Line:
    """A line to the storage. While it is ill, answers come a byte at a time, also those that are under way."""

    def __init__(self, upstream: str) -> None:
        self.ill = False
        self._upstream = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._listening.close()

    def accept(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            storage = socket.create_connection(self._upstream)
            for source, target, drips in ((caller, storage, False), (storage, caller, True)):
                target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(source, target, drips), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, drips: bool) -> None:
        try:
            while data := source.recv(65536):
                while data:
                    piece = 1 if drips and self.ill else len(data)
                    target.sendall(data[:piece])
                    data = data[piece:]
                    time.sleep(0.05 if drips and self.ill else 0)
        except OSError:
            pass
        for end in (source, target):
            end.close()


@contextmanager
def line_to_storage(folder: Path) -> Iterator[tuple[Line, str]]:
    with running_storage(folder) as storage, closing(Line(storage.http_url)) as line:
        threading.Thread(target=line.accept, daemon=True).start()
        yield line, storage.http_url


def eventually(holds: Callable[[], bool], what: str) -> None:
    """A condition that comes true by itself; the time is for a computer that has much else to do."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_a_dripping_storage_is_told_and_followed_again_when_it_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line_to_storage(tmp_path) as (line, storage):
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage)
        monkeypatch.setattr(module, "LONGEST_BACK_OFF", 0.5)
        monkeypatch.setattr(module, "LEAST_PAUSE", 0.1)
        requests.post(f"{storage}/storage/v1/b", json={"name": "drips"}, timeout=30).raise_for_status()
        well = CloudStore("drips")
        promote(well)  # over a line of its own
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", line.url)
        predictor = Predictor(CloudStore("drips", timeout=DEADLINE, deadline=DEADLINE), "staging", REFRESH)

        def serving() -> str | None:
            loaded = asyncio.run(predictor.model())
            return loaded.manifest.run_id if loaded else None

        def stale() -> bool:
            assert serving() == FIRST, "whatever the storage does, the model in hand answers"
            return bool(describe_refresh(predictor.refresh)["stale"])

        eventually(lambda: serving() == FIRST, "the first model")
        eventually(lambda: not stale(), "a look that succeeds")
        line.ill = True
        eventually(stale, "a storage that drips is told")
        assert describe_refresh(predictor.refresh)["problem"]["reason"] == "storage_unavailable"
        promote(well, run_id=SECOND)
        assert stale()
        line.ill = False
        eventually(lambda: serving() == SECOND, "what was promoted meanwhile is followed")
        eventually(lambda: not describe_refresh(predictor.refresh)["stale"], "and is told")
