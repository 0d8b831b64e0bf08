"""The checks themselves: they pass on a sound service of any dataset and find each fault of an unsound one."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.documents import TargetRange
from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, ROOT, running, storage, store
from tests.http_receiver import Scripted, listening
from tests.smoke.checks import Failed, Smoke
from tests.smoke.service import Service
from tests.tools import free_port
from tests.unit.predict.promoted import promote

__all__ = ["storage", "store"]
Change = Callable[[str, bytes, int, bytes], tuple[int, bytes]]


def smoke(url: str, token: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TOKEN": token}
    return subprocess.run(
        [sys.executable, "-m", "tests.smoke", url],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


@contextmanager
def between(url: str, change: Change, token: str | None = None) -> Iterator[str]:
    """A service that passes everything on to `url` and lets `change` alter the answers; asks for `token` if given."""

    class Door(Scripted):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            body = self.sent()
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                self.answer(403, b"<html>forbidden</html>", {"Content-Type": "text/html"})
                return
            headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if self.headers[name]}
            answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=PATIENCE)
            status, content = change(self.path, body, answer.status_code, answer.content)
            self.answer(status, content, {"Content-Type": answer.headers["content-type"]})

    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Door)) as passed:
        yield passed


@pytest.mark.parametrize("assessed", [True, False])
def test_a_sound_service_passes_whatever_its_dataset(store: CloudStore, tmp_path: Path, assessed: bool) -> None:
    if assessed:
        promote(store)
    else:
        promote(store, assessment=None, target_range=TargetRange())
    with running(tmp_path) as function:
        done = smoke(function.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "p99" in done.stdout and "does what it must" in done.stdout
    assert done.stdout.count("  ok   ") == 10


def edited(answer: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(answer), **changes}).encode()


FAULTS: dict[str, tuple[Change, str]] = {
    "wrong range": (
        lambda path, _, status, answer: (
            status,
            edited(answer, prediction=101.0) if path == "/predict" and status == 200 else answer,
        ),
        "leaves the target's range",
    ),
    "wrong tier": (
        lambda path, _, status, answer: (
            status,
            answer.replace(b'"tier":"low"', b'"tier":"high"') if path == "/predict" else answer,
        ),
        "tier or band",
    ),
    "no risk": (
        lambda path, _, status, answer: (
            status,
            answer.replace(b'"risk":', b'"hazard":') if path == "/predict" else answer,
        ),
        "risk or band",
    ),
    "batch differs": (
        lambda path, _, status, answer: (
            status,
            edited(answer, predictions=json.loads(answer)["predictions"][::-1])
            if path == "/predict_batch" and answer[:1] == b"{" and status == 200
            else answer,
        ),
        "differs from the same row alone",
    ),
    "effects miss the prediction": (
        lambda path, _, status, answer: (
            status,
            edited(answer, base=json.loads(answer)["base"] + 1.0) if path == "/explain" and status == 200 else answer,
        ),
        "base and effects miss the prediction",
    ),
    "bad input accepted": (
        lambda _path, _, status, answer: (200 if status == 415 else status, answer),
        "text/plain was answered with 200, expected 415",
    ),
    "value echoed": (
        lambda _path, body, status, answer: (
            status,
            edited(answer, echo=body.decode()) if status == 422 and body[:1] == b"{" else answer,
        ),
        "repeats the value",
    ),
    "no page": (lambda path, _, status, answer: (500 if path == "/docs" else status, answer), "/docs was answered"),
}


@pytest.fixture(scope="module")
def sound(
    storage: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:  # one service for all the faults put before it
    with pytest.MonkeyPatch.context() as patch:
        httpx.post(f"{storage.http_url}/storage/v1/b", json={"name": "smoke"}, timeout=PATIENCE).raise_for_status()
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        patch.setenv("BUCKET", "smoke")
        promote(CloudStore("smoke"))
        with running(tmp_path_factory.mktemp("sound")) as function:
            yield function.url


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_said_in_a_sentence(sound: str, name: str) -> None:
    change, sentence = FAULTS[name]
    with between(sound, change) as url, pytest.raises(Failed, match=sentence):
        service = Service(url)
        try:
            for _, check in Smoke(service, patience=1).checks():
                check()
        finally:
            service.close()


def test_a_private_service_is_asked_with_the_token_and_without_it_says_so(sound: str) -> None:
    with between(sound, lambda _path, _body, status, answer: (status, answer), token="let-me-in") as url:
        assert smoke(url, "let-me-in").returncode == 0
        done = smoke(url)
    assert (done.returncode, "private, or TOKEN" in done.stderr) == (1, True)


def test_a_service_that_is_not_there_or_no_address_is_a_sentence_not_a_trace() -> None:
    absent = smoke(f"http://127.0.0.1:{free_port()}")
    assert (absent.returncode, "does not answer" in absent.stderr, "Traceback" in absent.stderr) == (1, True, False)
    for url in ("", "localhost:8080"):
        wrong = smoke(url)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)


def test_a_stage_without_a_model_is_waited_for_and_then_named(store: CloudStore, tmp_path: Path) -> None:
    with running(tmp_path) as function:
        service = Service(function.url)
        with pytest.raises(Failed, match="is a run promoted"):
            Smoke(service, patience=1).ready()
        promote(store)
        assert "staging serves run" in Smoke(service, patience=30).ready()
        service.close()
