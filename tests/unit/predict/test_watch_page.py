"""The page of the watch, as the service hands it on."""

import asyncio

import httpx
import pytest

from functions.predict.predictor import Predictor
from functions.predict.routes import application
from functions.predict.settings import Limits
from functions.predict.wire.watch_page import WatchPage
from shared import layout
from shared.errors import StorageUnavailable
from shared.store import Download
from tests.memory_store import MemoryStore


def answer(store: MemoryStore) -> httpx.Response:
    app = application(Predictor(store, "staging", 3600), Limits(), watch=WatchPage(store, "staging"))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get("/watch")

    return asyncio.run(ask())


def test_it_is_the_stage_s_page_and_no_script_of_it_may_run() -> None:
    store = MemoryStore()
    for stage in layout.STAGES:
        store.write(layout.watch_page(stage), stage.encode(), if_generation=0, content_type="text/html")
    found = answer(store)
    assert (found.status_code, found.text) == (200, "staging")
    assert found.headers["content-type"].startswith("text/html")
    assert "script-src" not in found.headers["content-security-policy"]
    assert found.headers["content-security-policy"].startswith("default-src 'none'")


def test_before_the_first_look_it_says_so() -> None:
    found = answer(MemoryStore())
    assert found.status_code == 200
    assert "not looked at this stage yet" in found.text


def test_an_outage_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object, **__: object) -> Download:
        raise StorageUnavailable("503")

    store = MemoryStore()
    monkeypatch.setattr(store, "read", down)
    assert answer(store).status_code == 503
