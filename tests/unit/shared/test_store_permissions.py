"""An identity that may create but not overwrite: what the adapter makes of the refusals of Cloud Storage."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from shared.errors import NotPermitted, PreconditionFailed
from shared.store import CREATE_ONLY, CloudStore, ObjectInfo
from tests.http_receiver import Scripted, listening

PRESENT = "candidates/run/present.json"


class Refusing(Scripted):
    """Refuses every write; one object is there."""

    def do_POST(self) -> None:
        self.sent()
        self._json(403, {"error": {"code": 403, "message": "no storage.objects.delete access"}})

    def do_GET(self) -> None:
        if "present.json" in self.path:
            self._json(200, {"name": PRESENT, "generation": "7", "size": "3"})
        else:
            self._json(404, {"error": {"code": 404, "message": "No such object"}})

    def _json(self, status: int, body: object) -> None:
        self.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudStore]:
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Refusing)) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield CloudStore("b", timeout=30, deadline=30)


def test_a_create_only_write_that_is_refused_over_an_object_met_it(store: CloudStore) -> None:
    with pytest.raises(PreconditionFailed):
        store.write(PRESENT, b"abc", if_generation=CREATE_ONLY, content_type="text/plain")


def test_a_copy_that_is_refused_over_an_object_met_it(store: CloudStore) -> None:
    with pytest.raises(PreconditionFailed):
        store.copy(ObjectInfo("candidates/run/source.json", 3, 3), PRESENT)


def test_a_write_that_is_refused_where_nothing_is_has_no_permission(store: CloudStore) -> None:
    with pytest.raises(NotPermitted):
        store.write("candidates/run/absent.json", b"abc", if_generation=CREATE_ONLY, content_type="text/plain")


def test_an_overwrite_that_is_refused_has_no_permission(store: CloudStore) -> None:
    with pytest.raises(NotPermitted):
        store.write(PRESENT, b"abc", if_generation=6, content_type="text/plain")
