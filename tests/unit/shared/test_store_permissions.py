"""An identity that may create but not overwrite: what the adapter makes of the refusals of Cloud Storage."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import NotPermitted, PreconditionFailed
from shared.store import CREATE_ONLY, CloudStore, ObjectInfo

PRESENT = "candidates/run/present.json"


class Refusing(BaseHTTPRequestHandler):
    """Refuses every write; one object is there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(403, {"error": {"code": 403, "message": "no storage.objects.delete access"}})

    def do_GET(self) -> None:
        if "present.json" in self.path:
            self._answer(200, {"name": PRESENT, "generation": "7", "size": "3"})
        else:
            self._answer(404, {"error": {"code": 404, "message": "No such object"}})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudStore]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    yield CloudStore("b", timeout=30, deadline=30)
    server.shutdown()
    thread.join()
    server.server_close()


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
