"""The deployed file under the real functions-framework, as a process, against the local storage server."""

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import layout
from shared.codec import decode, digest
from shared.decisions import Decision, Pointer
from shared.store import CloudStore
from tests.bad_graphs import REFUSED, changed
from tests.candidates import Candidate, build, publish, run_id
from tests.local_storage import peak_memory, running_storage
from tests.tools import free_port, queued_seconds

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
FINALIZED = "google.cloud.storage.object.v1.finalized"


@dataclass
class Function:
    """The running function, and what it wrote to stderr."""

    client: httpx.Client
    stderr: Path

    def binary(self, content: bytes, bucket: str, **changes: str) -> int:
        """Status of a binary CloudEvent with this body."""
        headers = {f"ce-{name}": value for name, value in {**attributes(bucket), **changes}.items()}
        return self.client.post(
            "/", content=content, headers={**headers, "Content-Type": "application/json"}
        ).status_code

    def structured(self, data: object, bucket: str) -> int:
        """Status of a structured CloudEvent with this data."""
        body = {**attributes(bucket), "datacontenttype": "application/json", "data": data}
        return self.client.post(
            "/", content=json.dumps(body).encode(), headers={"Content-Type": "application/cloudevents+json"}
        ).status_code

    def lines(self, event_id: str | None = None) -> list[dict[str, Any]]:
        """The lines of the function's structured log, or those about one event."""
        texts = self.stderr.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(text) for text in texts if text.startswith('{"severity"')]
        return [entry for entry in entries if event_id is None or entry.get("event_id") == event_id]


@dataclass
class Bucket:
    """A new bucket of the local storage server."""

    name: str
    store: CloudStore

    def resource(self, name: str) -> dict[str, Any]:
        """The object as the event describes it, with the fields that Eventarc sends."""
        info = self.store.stat(name)
        assert info is not None
        return {
            "kind": "storage#object",
            "id": f"{self.name}/{name}/{info.generation}",
            "name": name,
            "bucket": self.name,
            "generation": str(info.generation),
            "metageneration": "1",
            "contentType": "application/json",
            "timeCreated": "2026-01-05T07:00:00.000Z",
            "size": str(info.size),
        }

    def upload(self, name: str, data: bytes, encoding: str) -> None:
        """Store `data` as it is, with the header that tells readers how to decode it."""
        httpx.post(
            f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{self.name}/o",
            params={"uploadType": "media", "name": name, "contentEncoding": encoding},
            content=data,
        ).raise_for_status()

    def pointer(self, stage: layout.Stage) -> Pointer:
        key = layout.pointer(stage)
        return decode(self.store.read(key).data, Pointer, key)


def attributes(bucket: str) -> dict[str, str]:
    return {
        "id": "4711",
        "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "specversion": "1.0",
        "type": FINALIZED,
        "subject": "objects/x",
        "time": "2026-01-05T07:00:00.000Z",
    }


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_storage(tmp_path_factory.mktemp("storage")) as storage:
        yield storage.http_url


@pytest.fixture(scope="module")
def bucket(endpoint: str) -> Iterator[Bucket]:
    name = f"b-{uuid.uuid4().hex[:12]}"
    httpx.post(
        f"{endpoint}/storage/v1/b", params={"project": "p"}, json={"name": name, "versioning": {"enabled": True}}
    ).raise_for_status()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        yield Bucket(name, CloudStore(name))


@pytest.fixture(scope="module")
def function(endpoint: str, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with running_function(
        tmp_path_factory.mktemp("function"),
        BUCKET=bucket.name,
        STORAGE_EMULATOR_HOST=endpoint,
        GOOGLE_CLOUD_PROJECT="test-project",
        THREADS="8",
    ) as it:
        yield it


@contextmanager
def running_function(folder: Path, *, by: Sequence[str] = (), **environment: str) -> Iterator[Function]:
    """The function as it is deployed, on a free port, started `by` that; nothing of it is left behind."""
    port = free_port()
    stderr = folder / "stderr"
    with stderr.open("wb") as log:
        process = subprocess.Popen(
            [
                *by,
                *(sys.executable, "-m", "functions_framework", "--host", "127.0.0.1", "--port", str(port)),
                *("--target", "validate", "--source", str(ROOT / "functions" / "validate" / "main.py")),
                *("--signature-type", "cloudevent"),
            ],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(port, process, stderr)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield Function(client, stderr)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int, process: "subprocess.Popen[bytes]", stderr: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, stderr.read_text()
        assert time.monotonic() < deadline, "the function did not start"
        time.sleep(0.05)


def test_a_binary_event_of_a_manifest_puts_the_run_into_staging(function: Function, bucket: Bucket) -> None:
    key = publish(bucket.store, build(run_id(1))).name
    assert function.binary(json.dumps(bucket.resource(key)).encode(), bucket.name, id="e1") == 200
    assert bucket.pointer("staging").run_id == run_id(1)
    [line] = function.lines("e1")
    assert (line["severity"], line["reason"], line["run_id"]) == ("INFO", "promoted", run_id(1))


def test_a_structured_event_of_a_manifest_puts_the_run_into_staging(function: Function, bucket: Bucket) -> None:
    key = publish(bucket.store, build(run_id(2))).name
    assert function.structured(bucket.resource(key), bucket.name) == 200
    assert bucket.pointer("staging").run_id == run_id(2)
    manifest = bucket.store.read(layout.staged("staging", run_id(2), layout.MANIFEST)).data
    assert bucket.pointer("staging").manifest_sha256 == digest(manifest).sha256


def test_the_marker_puts_stagings_run_into_production(function: Function, bucket: Bucket) -> None:
    data = bucket.store.read(layout.pointer("staging")).data
    bucket.store.write(layout.MARKER, data, if_generation=None, content_type="application/json")
    event = json.dumps(bucket.resource(layout.MARKER)).encode()
    assert [function.binary(event, bucket.name) for _ in range(2)] == [200, 200]
    assert bucket.pointer("production").run_id == bucket.pointer("staging").run_id
    assert len(bucket.store.list(layout.history_folder("production"))) == 1


def test_deliveries_of_one_event_at_once_promote_once(function: Function, bucket: Bucket) -> None:
    from concurrent.futures import ThreadPoolExecutor

    key = publish(bucket.store, build(run_id(3))).name
    event = json.dumps(bucket.resource(key)).encode()
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: function.binary(event, bucket.name), range(4)))
    assert codes == [200] * 4
    assert bucket.pointer("staging").run_id == run_id(3)
    entries = [info.name for info in bucket.store.list(layout.history_folder("staging")) if run_id(3) in info.name]
    assert len(entries) == 1
    assert bucket.store.read(entries[0]).data == bucket.store.read(layout.pointer("staging")).data


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"7", b'"x"', b'{"message": {"data": "e30="}, "subscription": "s"}', b"\xff\xfe"],
)
def test_a_body_that_is_no_object_is_acknowledged(function: Function, bucket: Bucket, body: bytes) -> None:
    before = len(function.lines())
    assert function.binary(body, bucket.name) == 200
    assert [line["reason"] for line in function.lines()[before:]] == ["invalid_event"]


@pytest.mark.parametrize("data", [None, [], "x", {"message": {}}])
def test_a_structured_event_without_an_object_is_acknowledged(function: Function, bucket: Bucket, data: object) -> None:
    assert function.structured(data, bucket.name) == 200


DEEP = b'{"a":' * 100_000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[]"),
        ("application/json", b"[{}]"),
        ("application/json", b"{}"),
        ("application/json", b""),
        ("application/json", b"[" * 100_000),
        ("application/cloudevents+json", b"[]"),
        ("application/cloudevents+json", b"{"),
        ("application/cloudevents+json", DEEP + b"1" + b"}" * 100_000),
        ("application/cloudevents-batch+json", b"[]"),
        ("application/cloudevents-batch+json", b'[{"specversion": "1.0", "id": "1", "type": "t", "source": "s"}]'),
        ("text/plain", b"hello"),
    ],
)
def test_what_is_no_event_is_the_senders_fault(function: Function, kind: str, body: bytes) -> None:
    answer = function.client.post("/", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert answer.text.startswith("expected ")


def test_a_deeply_nested_body_of_an_event_is_refused(function: Function, bucket: Bucket) -> None:
    assert function.binary(DEEP + b"1" + b"}" * 100_000, bucket.name) == 400


def test_a_malformed_manifest_is_acknowledged_and_decided(function: Function, bucket: Bucket) -> None:
    key = layout.candidate(run_id(9), layout.MANIFEST)
    bucket.store.write(key, b"{", if_generation=0, content_type="application/json")
    assert function.binary(json.dumps(bucket.resource(key)).encode(), bucket.name, id="e9") == 200
    assert [line["reason"] for line in function.lines("e9")] == ["malformed_manifest"]
    assert bucket.store.stat(layout.candidate(run_id(9), layout.DECISION)) is not None


def test_a_refused_marker_is_acknowledged_and_says_why_in_the_bucket(function: Function, bucket: Bucket) -> None:
    bucket.store.write(layout.MARKER, b"{}", if_generation=None, content_type="application/json")
    assert function.binary(json.dumps(bucket.resource(layout.MARKER)).encode(), bucket.name) == 200
    assert json.loads(bucket.store.read(layout.REJECTED).data)["reason"] == "marker_malformed"


def test_generations_that_were_replaced_are_not_acted_on_though_the_bucket_keeps_them(
    function: Function, bucket: Bucket
) -> None:
    key = publish(bucket.store, build(run_id(4))).name
    pointers = [bucket.store.read(layout.pointer(stage)) for stage in layout.STAGES]
    for name, data, reason in (
        (key, bucket.store.read(key).data, "manifest_gone"),
        (layout.MARKER, pointers[0].data, "marker_replaced"),
    ):
        bucket.store.write(name, data, if_generation=None, content_type="application/json")
        older = bucket.resource(name)
        bucket.store.write(name, b"{}", if_generation=None, content_type="application/json")
        assert bucket.store.read(name, int(older["generation"])).data == data
        assert function.binary(json.dumps(older).encode(), bucket.name, id=reason) == 200
        assert [line["reason"] for line in function.lines(reason)] == [reason]
    assert [bucket.store.read(layout.pointer(stage)) for stage in layout.STAGES] == pointers


def test_the_line_carries_the_trace_of_its_request(function: Function, bucket: Bucket) -> None:
    key = layout.candidate(run_id(8), layout.MANIFEST)
    bucket.store.write(key, b"{", if_generation=0, content_type="application/json")
    headers = {f"ce-{name}": value for name, value in {**attributes(bucket.name), "id": "traced"}.items()}
    trace = "0af7651916cd43dd8448eb211c80319c"
    function.client.post(
        "/",
        content=json.dumps(bucket.resource(key)).encode(),
        headers={**headers, "Content-Type": "application/json", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    ).raise_for_status()
    [line] = function.lines("traced")
    assert line["logging.googleapis.com/trace"] == f"projects/test-project/traces/{trace}"
    expected = {"severity", "time", "service", "message", "reason", "run_id", "stage", "event_id", "bucket", "name"}
    assert set(line) == {*expected, "generation", "failed_checks", "logging.googleapis.com/trace"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_it_starts_quickly_and_stays_small(bucket: Bucket, endpoint: str, tmp_path: Path) -> None:
    """The fastest start counts, without what its processes waited for a processor: others work here too."""
    seconds, peaks = [], []
    for attempt in range(6):
        key = publish(bucket.store, build(run_id(20 + attempt))).name
        event, folder = json.dumps(bucket.resource(key)).encode(), tmp_path / str(attempt)
        folder.mkdir()
        begun = time.monotonic()
        with running_function(folder, BUCKET=bucket.name, STORAGE_EMULATOR_HOST=endpoint) as started:
            waited = sum(map(queued_seconds, workers_on(started)))
            seconds.append(time.monotonic() - begun - waited)
            assert started.binary(event, bucket.name, id="cold") == 200
            assert [line["reason"] for line in started.lines("cold")] == ["promoted"]
            peaks.append(max(peak_memory(pid) for pid in workers_on(started)))
        if seconds[-1] < 1.0:
            break
    sys.stdout.write(f"start {min(seconds):.2f} s, peak {max(peaks) / 2**20:.0f} MB\n")
    assert min(seconds) < 1.0, seconds
    assert max(peaks) < 200 * 2**20


def workers_on(function: Function) -> list[int]:
    """The processes of this function: those that run in its folder."""
    folder, found = function.stderr.parent, []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_storage_that_is_down_answers_500_so_that_the_event_comes_again(tmp_path: Path) -> None:
    with running_function(tmp_path, BUCKET="b", STORAGE_EMULATOR_HOST="http://127.0.0.1:1") as function:
        data = {"bucket": "b", "name": layout.candidate(run_id(1), layout.MANIFEST), "generation": "1"}
        assert function.binary(json.dumps(data).encode(), "b", id="down") == 500
        assert [line["reason"] for line in function.lines("down")] == ["transient"]


def test_a_missing_setting_answers_500_and_is_named_in_the_log(tmp_path: Path) -> None:
    with running_function(tmp_path) as function:
        assert function.binary(b"{}", "b") == 500
        assert any("BUCKET is not set" in line["message"] for line in function.lines())


def test_nine_endless_graphs_and_nine_bombs_delay_neither_a_good_candidate_nor_a_marker(
    function: Function, bucket: Bucket
) -> None:
    """As the platform does it, an event that finds no place comes again a little later.

    `make torture` measures: 2 s for the marker and 5 s for the candidate are promised on a computer of its own. Here
    a candidate that is decided alone, in less than a second on an idle computer, says how busy this one is.
    """
    alone, acted, decided, last = flooded(function, bucket)
    busy = max(1.0, alone)
    assert acted <= 4 * 2.0 * busy
    assert decided <= 4 * 5.0 * busy
    assert last < 60.0 * busy
    sys.stdout.write(f"alone {alone:.2f} s, marker {acted:.2f} s, good candidate {decided:.2f} s\n")
    assert bucket.pointer("staging").run_id == run_id(56)
    assert bucket.pointer("production").run_id == run_id(53)
    reasons = [decision_of(bucket, run).checks for run in (run_id(57, "00000000"), run_id(58, "00000000"))]
    assert [[check.name for check in checks if check.standing == "failed"] for checks in reasons] == [
        ["graph"],
        ["holdout_size"],
    ]


def flooded(function: Function, bucket: Bucket) -> tuple[float, float, float, float]:
    """Seconds until a good candidate is decided alone; then, all at once, until a marker is acted on, a good candidate
    decided, and the last of eighteen bad ones decided."""
    bomb = gzip.compress(b'{"target":[' + b"1," * 30_000_000 + b"1]}")
    bombs = [bombed(number, bomb) for number in range(9)]
    endless = [
        build(run_id(57, f"0000000{n}")).with_file(layout.MODEL, changed(REFUSED["endless loop"][0])) for n in range(9)
    ]
    good = build(run_id(56))
    served = publish(bucket.store, build(run_id(53))).name
    alone = delivered(function, bucket, served)
    bad_keys = [publish(bucket.store, candidate).name for candidate in (*endless, *bombs)]
    good_key = publish(bucket.store, good).name
    marker = bucket.store.read(layout.pointer("staging")).data
    bucket.store.write(layout.MARKER, marker, if_generation=None, content_type="application/json")
    with ThreadPoolExecutor(20) as pool:
        flood = [pool.submit(delivered, function, bucket, key) for key in bad_keys]
        time.sleep(0.2)
        decided = pool.submit(delivered, function, bucket, good_key)
        acted = pool.submit(delivered, function, bucket, layout.MARKER)
        return alone, acted.result(), decided.result(), max(one.result() for one in flood)


def bombed(number: int, bomb: bytes) -> Candidate:
    """A candidate whose rows held out unfold to thirty million values, from 60 kB."""
    return build(run_id(58, f"0000000{number}")).with_file(layout.HOLDOUT, bomb)


def delivered(function: Function, bucket: Bucket, key: str) -> float:
    """Deliver the event of an object until it is acknowledged. Returns the seconds that this took."""
    begun = time.monotonic()
    body = json.dumps(bucket.resource(key)).encode()
    for attempt in range(40):
        with contextlib.suppress(httpx.TransportError):  # a connection that was kept ends when the worker is full
            if function.binary(body, bucket.name, id=f"flood-{key}") == 200:
                return time.monotonic() - begun
        time.sleep(min(0.1 * 2**attempt, 1.0))
    raise AssertionError(f"the event of {key} was never acknowledged")


def decision_of(bucket: Bucket, run: str) -> Decision:
    return decode(bucket.store.read(layout.candidate(run, layout.DECISION)).data, Decision, run)


def test_a_marker_that_says_gzip_is_read_as_it_is_served_and_one_that_lies_is_refused_with_its_reason(
    function: Function, bucket: Bucket
) -> None:
    key = layout.candidate(publish(bucket.store, build(run_id(59))).name.split("/")[1], layout.MANIFEST)
    assert function.binary(json.dumps(bucket.resource(key)).encode(), bucket.name, id="staged") == 200
    pointer = bucket.store.read(layout.pointer("staging")).data
    bucket.upload(layout.MARKER, gzip.compress(pointer), "gzip")
    assert function.binary(json.dumps(bucket.resource(layout.MARKER)).encode(), bucket.name, id="gz") == 200
    assert next(line["reason"] for line in function.lines("gz")) == "promoted"
    bucket.upload(layout.MARKER, pointer, "gzip")
    assert function.binary(json.dumps(bucket.resource(layout.MARKER)).encode(), bucket.name, id="lie") == 200
    assert [line["reason"] for line in function.lines("lie")] == ["content_encoding"]
    assert json.loads(bucket.store.read(layout.REJECTED).data)["reason"] == "content_encoding"
