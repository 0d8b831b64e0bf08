"""Every document has a size beyond which it is not read, and every read of the bucket names one."""

import ast
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.train.lease import Force, Lease
from shared.decisions import GivenUp, Pointer, Rejection
from shared.documents import Document
from shared.errors import InvalidDocument, ObjectTooLarge, PreconditionFailed
from shared.monitoring import Alarm, Retraining
from shared.store import CREATE_ONLY, CloudStore, write_once
from shared.stored import LIMITS, OTHERS, most_bytes, read_bytes, read_document, read_to_replace
from tests.http_receiver import listening
from tests.memory_store import MemoryStore

ROOT = Path(__file__).resolve().parents[3]
KINDS: tuple[type[Document], ...] = (*LIMITS, Pointer, Lease, Force, Retraining, Alarm, GivenUp)
HUGE = 600 * 2**20


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_larger_object_is_no_document_of_its_kind(kind: type[Document]) -> None:
    store, key = MemoryStore(), "the/key.json"
    whole = store.write(key, b" " * most_bytes(kind), if_generation=None, content_type="application/json")
    assert len(read_bytes(store, key, kind).data) == whole.size
    larger = store.write(key, b" " * (whole.size + 1), if_generation=None, content_type="application/json")
    with pytest.raises(InvalidDocument, match=f"more than {whole.size} bytes: not a {kind.__name__}"):
        read_document(store, key, kind)
    assert read_to_replace(store, key, kind) == (larger.generation, None), "its writer replaces it"


def test_what_is_not_there_is_made_anew() -> None:
    assert read_to_replace(MemoryStore(), "the/key.json", Rejection) == (CREATE_ONLY, None)


def test_no_limit_takes_the_memory_of_the_smallest_function() -> None:
    assert max(LIMITS.values()) <= 32 * 2**20
    assert OTHERS <= 2**20


def test_what_stands_in_the_place_of_a_write_is_read_no_further_than_the_write_is_long() -> None:
    store = MemoryStore()
    store.write("x", b"another, and longer", if_generation=None, content_type="text/plain")
    with pytest.raises(PreconditionFailed):
        write_once(store, "x", b"mine", "text/plain")
    write_once(store, "y", b"mine", "text/plain")
    assert write_once(store, "y", b"mine", "text/plain").size == 4


def unbounded(path: Path) -> list[str]:
    """Reads of a store in a module that say nothing of a size."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read":
            owner = ast.unparse(node.func.value)
            bounded = any(keyword.arg == "max_bytes" for keyword in node.keywords)
            if owner.lower().removesuffix("()").endswith(("store", "bucket", "in_time")) and not bounded:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_every_read_of_the_bucket_by_a_function_names_its_size(tmp_path: Path) -> None:
    modules = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "shared").rglob("*.py")]
    assert [line for path in modules for line in unbounded(path)] == []
    example = ROOT / "shared" / "stored.py"
    text = example.read_text(encoding="utf-8")
    assert ", max_bytes=most_bytes(kind)" in text
    without = tmp_path / "without.py"
    without.write_text(text.replace(", max_bytes=most_bytes(kind)", ""), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ROOT", tmp_path)
        assert len(unbounded(without)) == 1, "the rule sees what it is for"


@contextmanager
def endless() -> Iterator[tuple[str, list[int]]]:
    """A storage that answers every download with 600 MB; its address, and how many bytes it got rid of."""
    sent = [0]

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\nx-goog-generation: 7\r\nContent-Type: text/plain\r\n"
            try:
                self.request.sendall(head.encode() + b"\r\n")
                while sent[0] < HUGE:
                    sent[0] += self.request.send(b" " * 65536)
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with listening(Server(("127.0.0.1", 0), Answer)) as url:
        yield url, sent


def test_of_an_object_of_600_mb_no_more_than_the_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with endless() as (url, sent):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(ObjectTooLarge, match="staging/current"):
            CloudStore("b").read("staging/current.json", max_bytes=most_bytes(Pointer))
    assert sent[0] < 16 * 2**20, "the limit, and what the two sockets hold"
