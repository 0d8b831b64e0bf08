"""A predict service that passes the smoke check, and one that does not."""

import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from shared.store import CloudStore
from tests.functions.test_predict_function import running
from tests.http_receiver import Scripted, listening
from tests.local_storage import LocalStorage
from tests.unit.predict.promoted import promote


@contextmanager
def healthy_service(folder: Path, storage: LocalStorage) -> Iterator[str]:
    """Its address; it serves a small model from the bucket `delivery` of `storage`."""
    with pytest.MonkeyPatch.context() as environment:
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "delivery"}, timeout=60).raise_for_status()
        environment.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        environment.setenv("GOOGLE_CLOUD_PROJECT", "local")
        promote(CloudStore("delivery"))
        with running(folder, {"BUCKET": "delivery"}) as function:
            yield function.url


@contextmanager
def broken() -> Iterator[tuple[str, list[str]]]:
    """A service that lives and does nothing right; the Authorization headers that it got."""
    tokens: list[str] = []

    class Handler(Scripted):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            self.answer(500)

    with listening(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url, tokens
