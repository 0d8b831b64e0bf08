"""The service's application asked as over HTTP, in memory, one call at a time."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from functions.predict.live.counters import Counters
from functions.predict.predictor import Predictor
from functions.predict.routes import application
from functions.predict.settings import Limits
from functions.predict.wire.watch_page import WatchPage
from shared import logs
from shared.layout import Stage
from shared.store import Store

JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}


class Client:
    """Requests to an application over `store`; a fault inside it is raised here unless it was answered."""

    def __init__(
        self,
        store: Store,
        stage: Stage = "staging",
        limits: Limits | None = None,
        refresh_seconds: float = 3600,
        counters: Counters | None = None,
    ) -> None:
        self.store = store
        self.counters = counters or Counters(store, stage)
        self.predictor = Predictor(store, stage, refresh_seconds)
        self.app = application(
            self.predictor, limits or Limits(), counters=self.counters, watch=WatchPage(store, stage)
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, content: bytes | str, headers: Mapping[str, str] = JSON) -> httpx.Response:
        return self.request("POST", path, content=content, headers=headers)

    async def _request(self, method: str, path: str, options: Mapping[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    """(pointer, code) of every problem of an answer."""
    return [(entry["pointer"], entry["code"]) for entry in answer.json()["errors"]]


@contextmanager
def log_records() -> Iterator[list[logging.LogRecord]]:
    """The lines that this system logs within the block, from INFO on."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[assignment, method-assign]
    level = logs.LOGGER.level
    logs.LOGGER.addHandler(handler)
    logs.LOGGER.setLevel("INFO")
    try:
        yield found
    finally:
        logs.LOGGER.removeHandler(handler)
        logs.LOGGER.setLevel(level)
