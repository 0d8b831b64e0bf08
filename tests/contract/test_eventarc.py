"""The local Eventarc against real processes: a real outbox, a real relay, real HTTP servers, a real function."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from infra.local.eventarc import cloud_event
from infra.local.eventarc.outbox import Outbox, OutboxEvent
from infra.local.eventarc.relay import Faults, RetryPolicy
from infra.local.tokens import SigningKey
from shared import events
from shared.events import FINALIZED
from tests.http_receiver import WAIT, Receiver, Request, wait_until
from tests.tools import free_port

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "pipeline-bucket"
DELETED = "google.cloud.storage.object.v1.deleted"
UNICODE_NAME = 'candidates/ünï 100% "日本" 🚀+a\n.json'

FUNCTION = """
import json, os
import functions_framework

@functions_framework.cloud_event
def record(event):
    line = json.dumps({"attributes": dict(event.get_attributes()), "data": event.get_data()})
    with open(os.environ["RECEIVED"], "a", encoding="utf-8") as file:
        file.write(line + "\\n")
"""


def name(request: Request) -> str:
    return str(json.loads(request.body)["name"])


def received_names(receiver: Receiver) -> list[str]:
    return [name(request) for request in receiver.requests]


class StorageOutbox:
    """The storage server's side: appends events."""

    def __init__(self, state: Path) -> None:
        self.path = state / "gcs.sqlite"
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
                " type TEXT NOT NULL, bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,"
                " time TEXT NOT NULL, data TEXT NOT NULL)"
            )

    def append(self, *names: str, type: str = FINALIZED, bucket: str = BUCKET) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            for name in names:
                generation = time.time_ns() // 1000
                data = {"kind": "storage#object", "bucket": bucket, "name": name, "generation": str(generation)}
                database.execute(
                    "INSERT INTO outbox (id, type, bucket, name, generation, time, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        f"{time.time_ns()}",
                        type,
                        bucket,
                        name,
                        generation,
                        "2026-01-05T07:00:00.123456Z",
                        json.dumps(data, ensure_ascii=False),
                    ),
                )


class RunningRelay:
    """`python -m infra.local.eventarc` and its log."""

    def __init__(self, state: Path, triggers: list[str], options: tuple[str, ...]) -> None:
        self.state = state
        self.log = state / "relay.log"
        named = [argument for trigger in triggers for argument in ("--trigger", trigger)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.eventarc", "--state", str(state), *named, *options],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)

    def states(self) -> list[str]:
        try:
            with closing(sqlite3.connect(f"{(self.state / 'eventarc.sqlite').as_uri()}?mode=ro", uri=True)) as database:
                return [row[0] for row in database.execute("SELECT state FROM deliveries ORDER BY seq, copy")]
        except sqlite3.OperationalError:  # the relay has not made it yet
            return []

    def wait_until_all_delivered(self, count: int) -> None:
        wait_until(lambda: self.states() == ["delivered"] * count, f"{count} deliveries recorded")


@contextmanager
def relay(state: Path, url: str, *options: str) -> Iterator[RunningRelay]:
    with relay_of(state, [f"validate={FINALIZED},{BUCKET},{url}"], *options) as running:
        yield running


@contextmanager
def relay_of(state: Path, triggers: list[str], *options: str) -> Iterator[RunningRelay]:
    running = RunningRelay(state, triggers, options)
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def outbox(tmp_path: Path) -> StorageOutbox:
    return StorageOutbox(tmp_path)


@pytest.fixture
def receive() -> Iterator[Callable[[Callable[[Request], int]], Receiver]]:
    """Makes receivers, and closes them."""
    with ExitStack() as stack:

        def make(answer: Callable[[Request], int] = lambda _: 204) -> Receiver:
            receiver = Receiver(answer)
            stack.callback(receiver.close)
            return receiver

        yield make


@contextmanager
def function(tmp_path: Path, port: int) -> Iterator[Path]:
    """A real CloudEvent function under functions-framework; yields the file in which it writes down its events."""
    source, received = tmp_path / "function.py", tmp_path / "received"
    source.write_text(FUNCTION, encoding="utf-8")
    received.touch()
    framework = Path(sys.executable).with_name("functions-framework")
    with (tmp_path / "function.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(str(framework), "--host", "127.0.0.1", "--port", str(port), "--source", str(source)),
                *("--target", "record", "--signature-type", "cloudevent"),
            ],
            env={**os.environ, "RECEIVED": str(received)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield received
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(WAIT)


def received_events(received: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in received.read_text(encoding="utf-8").splitlines()]


Receive = Callable[..., Receiver]


def test_a_delivery_carries_what_eventarc_sends(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    receiver = receive()
    outbox.append("candidates/a/manifest.json")
    with relay(tmp_path, receiver.url):
        request = receiver.wait_for(1)[0]
    assert request.path == "/?__GCP_CloudEventsMode=GCS_NOTIFICATION"
    attributes = {name: value for name, value in request.headers.items() if name.startswith("ce-")}
    event_id = attributes.pop("ce-id")
    assert event_id.isdigit()
    assert attributes == {
        "ce-specversion": "1.0",
        "ce-type": FINALIZED,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{BUCKET}",
        "ce-subject": "objects/candidates/a/manifest.json",
        "ce-time": "2026-01-05T07:00:00.123456Z",
        "ce-bucket": BUCKET,
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("APIs-Google")
    assert request.headers["authorization"].startswith("Bearer ")
    trace = request.headers["traceparent"].split("-")[1]
    assert request.headers["x-cloud-trace-context"].startswith(f"{trace}/")
    assert json.loads(request.body)["name"] == "candidates/a/manifest.json"


def test_the_token_of_a_delivery_is_for_its_target(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    from google.auth import jwt

    receiver = receive()
    outbox.append("a")
    with relay(tmp_path, receiver.url):
        bearer = receiver.wait_for(1)[0].headers["authorization"].removeprefix("Bearer ")
    certificates = SigningKey.of(tmp_path).certificates()
    assert jwt.decode(bearer, certs=certificates, audience=receiver.url)["email_verified"] is True
    with pytest.raises(ValueError, match="audience"):
        jwt.decode(bearer, certs=certificates, audience="http://elsewhere")


def test_a_real_function_receives_the_event_as_the_system_parses_it(tmp_path: Path, outbox: StorageOutbox) -> None:
    port = free_port()
    outbox.append("promote/production.json", UNICODE_NAME)
    with function(tmp_path, port) as received, relay(tmp_path, f"http://127.0.0.1:{port}"):
        wait_until(lambda: len(received_events(received)) >= 2, "two events")
    plain, unicode = sorted(received_events(received), key=lambda event: event["data"]["name"], reverse=True)
    parsed = events.parse(plain["attributes"], plain["data"])
    assert parsed.type == FINALIZED
    assert (parsed.bucket, parsed.name) == (BUCKET, "promote/production.json")
    assert str(parsed.generation) == plain["data"]["generation"]
    assert plain["attributes"]["subject"] == "objects/promote/production.json"
    assert plain["attributes"]["bucket"] == BUCKET
    assert events.parse(unicode["attributes"], unicode["data"]).name == UNICODE_NAME
    assert unicode["attributes"]["subject"].isascii()
    assert unquote(unicode["attributes"]["subject"]) == f"objects/{UNICODE_NAME}"


def test_events_that_came_while_the_function_was_down_arrive_once_it_is_up(
    tmp_path: Path, outbox: StorageOutbox
) -> None:
    port = free_port()
    outbox.append("early")
    with relay(tmp_path, f"http://127.0.0.1:{port}", "--min-backoff", "0.1", "--max-backoff", "0.5") as running:
        wait_until(lambda: any(entry.get("status") == "unreachable" for entry in running.entries()), "refused attempt")
        with function(tmp_path, port) as received:
            running.wait_until_all_delivered(1)
    assert [event["data"]["name"] for event in received_events(received)] == ["early"]


def test_what_is_not_acknowledged_is_tried_again_with_growing_pauses(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    answers = iter([500, 500, 200])
    receiver = receive(lambda _: next(answers))
    outbox.append("a")
    with relay(tmp_path, receiver.url, "--min-backoff", "0.3") as running:
        running.wait_until_all_delivered(1)
        first, second, third = receiver.requests
        entries = [entry for entry in running.entries() if "attempt" in entry]
    assert first.headers["ce-id"] == second.headers["ce-id"] == third.headers["ce-id"]
    assert second.at - first.at >= 0.3
    assert third.at - second.at >= 0.6
    assert [(entry["attempt"], entry["status"], entry["severity"]) for entry in entries] == [
        (1, 500, "WARNING"),
        (2, 500, "WARNING"),
        (3, 200, "INFO"),
    ]
    assert {entry["object"] for entry in entries} == {"a"}
    assert not any("storage#object" in line for line in running.log.read_text().splitlines())


@pytest.mark.parametrize("status", [301, 404, 503])
def test_only_a_2xx_acknowledges(tmp_path: Path, outbox: StorageOutbox, receive: Receive, status: int) -> None:
    answers = iter([status, 202])
    receiver = receive(lambda _: next(answers))
    outbox.append("a")
    with relay(tmp_path, receiver.url, "--min-backoff", "0.05") as running:
        running.wait_until_all_delivered(1)
    assert len(receiver.requests) == 2


def test_a_silent_function_is_tried_again_after_the_ack_deadline(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    release = threading.Event()

    def answer(_: Request) -> int:
        if len(receiver.requests) == 1:
            release.wait(WAIT)
        return 200

    receiver = receive(answer)
    outbox.append("a")
    with relay(tmp_path, receiver.url, "--ack-deadline", "0.3", "--min-backoff", "0.05") as running:
        running.wait_until_all_delivered(1)
        assert [entry["status"] for entry in running.entries() if "attempt" in entry] == ["timeout", 200]
    release.set()


def test_the_retention_ends_the_attempts_with_an_error(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    receiver = receive(lambda _: 500)
    outbox.append("a")
    with relay(tmp_path, receiver.url, "--retention", "2", "--min-backoff", "0.1") as running:
        wait_until(lambda: running.states() == ["given up"], "end of the attempts")
        count = len(receiver.requests)
        time.sleep(0.5)
        assert len(receiver.requests) == count >= 2
        last = running.entries()[-1]
    assert (last["severity"], last["reason"]) == ("ERROR", "retention_ended")


def test_one_slow_event_does_not_hold_the_others(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    release = threading.Event()

    def answer(request: Request) -> int:
        if name(request) == "slow":
            release.wait(WAIT)
        return 200

    receiver = receive(answer)
    outbox.append("slow", *(f"quick-{number}" for number in range(50)))
    with relay(tmp_path, receiver.url) as running:
        wait_until(lambda: running.states().count("delivered") == 50, "quick deliveries")
        assert running.states().count("pending") == 1
        release.set()
        running.wait_until_all_delivered(51)
    assert received_names(receiver).count("slow") == 1


class Holding:
    """Acknowledges the first requests, and holds the others until it is told to refuse them."""

    def __init__(self, limit: int) -> None:
        self.acknowledged: list[str] = []
        self.held = 0
        self.refuse = threading.Event()
        self._limit = limit

    def __call__(self, request: Request) -> int:
        if len(self.acknowledged) >= self._limit:
            self.held += 1
            self.refuse.wait(WAIT)
            return 500
        self.acknowledged.append(name(request))
        return 200

    def holds_four(self) -> bool:
        return self.held >= 4


def test_a_kill_in_the_middle_of_100_events_loses_none(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    """What is under way at the moment of a kill is never acknowledged, so each of it must come again."""
    names = [f"event-{number:03}" for number in range(100)]
    outbox.append(*names)
    acknowledged: list[str] = []
    for holding in (Holding(10), Holding(30), Holding(30)):
        with relay(tmp_path, receive(holding).url, "--concurrency", "4") as running:
            wait_until(holding.holds_four, "4 deliveries under way")
            running.process.kill()
            assert running.process.wait(WAIT) == -signal.SIGKILL
        holding.refuse.set()
        acknowledged += holding.acknowledged
    assert 60 <= len(set(acknowledged)) < 100
    last = receive()
    with relay(tmp_path, last.url, "--concurrency", "4") as running:
        running.wait_until_all_delivered(100)
    acknowledged += received_names(last)
    assert sorted(set(acknowledged)) == names
    assert len(acknowledged) <= 100 + 3 * 4, "more than what was under way was delivered again"


def test_events_that_came_while_the_relay_was_down_arrive_and_none_twice(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    receiver = receive()
    outbox.append("before")
    with relay(tmp_path, receiver.url) as running:
        running.wait_until_all_delivered(1)
        assert running.stop() == 0
    outbox.append("meanwhile")
    with relay(tmp_path, receiver.url) as running:
        running.wait_until_all_delivered(2)
        outbox.append("after")
        running.wait_until_all_delivered(3)
    assert received_names(receiver) == ["before", "meanwhile", "after"]


def test_the_relay_waits_for_a_storage_server_that_starts_later(tmp_path: Path, receive: Receive) -> None:
    receiver = receive()
    with relay(tmp_path, receiver.url) as running:
        wait_until((tmp_path / "eventarc.sqlite").exists, "start")
        time.sleep(0.3)
        with closing(sqlite3.connect(tmp_path / "gcs.sqlite")) as database, database:
            database.execute("CREATE TABLE something_else (x)")
        time.sleep(0.3)
        StorageOutbox(tmp_path).append("a")
        running.wait_until_all_delivered(1)
        assert running.process.poll() is None
    assert received_names(receiver) == ["a"]


def test_a_storage_that_was_made_anew_is_delivered_from_its_beginning(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    receiver = receive()
    outbox.append("old-1", "old-2")
    with relay(tmp_path, receiver.url) as running:
        running.wait_until_all_delivered(2)
        for path in tmp_path.glob("gcs.sqlite*"):
            path.unlink()
        StorageOutbox(tmp_path).append("new-1", "new-2", "new-3")
        receiver.wait_for(5)
    assert sorted(received_names(receiver)) == ["new-1", "new-2", "new-3", "old-1", "old-2"]


def test_events_of_another_bucket_or_type_are_never_delivered(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    receiver, deletions = receive(), receive()
    outbox.append("x", bucket="another-bucket")
    outbox.append("x", type=DELETED)
    outbox.append("x", bucket=f"{BUCKET}-2")
    outbox.append("wanted")
    triggers = [f"validate={FINALIZED},{BUCKET},{receiver.url}", f"deletions={DELETED},{BUCKET},{deletions.url}"]
    with relay_of(tmp_path, triggers) as running:
        running.wait_until_all_delivered(2)
        time.sleep(0.3)
    assert received_names(receiver) == ["wanted"]
    assert received_names(deletions) == ["x"]
    assert deletions.requests[0].headers["ce-type"] == DELETED


def test_duplicates_repeat_the_same_event_id(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    receiver = receive()
    outbox.append("a", "b", "c")
    with relay(tmp_path, receiver.url, "--duplicates", "1") as running:
        running.wait_until_all_delivered(6)
    assert sorted(received_names(receiver)) == ["a", "a", "b", "b", "c", "c"]
    assert len({request.headers["ce-id"] for request in receiver.requests}) == 3


def test_a_rate_of_duplicates_is_about_that_rate_and_repeats_with_the_seed() -> None:
    half = Faults(duplicates=0.5, reorder=2.0, seed=7)
    waits = [half.waits("validate", seq) for seq in range(1, 1001)]
    assert 430 <= sum(len(copies) == 2 for copies in waits) <= 570
    assert waits == [half.waits("validate", seq) for seq in range(1, 1001)]
    assert waits != [Faults(duplicates=0.5, reorder=2.0, seed=8).waits("validate", seq) for seq in range(1, 1001)]


def test_reorder_changes_the_order_within_its_window(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    receiver = receive()
    names = [f"event-{number:02}" for number in range(20)]
    outbox.append(*names)
    with relay(tmp_path, receiver.url, "--reorder", "1.5", "--seed", "3") as running:
        running.wait_until_all_delivered(20)
    assert received_names(receiver) != names
    assert sorted(received_names(receiver)) == names
    faults = Faults(reorder=1.5, seed=3)
    waits = [wait for seq in range(1, 21) for wait in faults.waits("validate", seq)]
    assert 0.0 <= min(waits) < max(waits) <= 1.5


def test_delay_holds_the_first_attempt(tmp_path: Path, outbox: StorageOutbox, receive: Receive) -> None:
    receiver = receive()
    with relay(tmp_path, receiver.url, "--delay", "1") as running:
        wait_until((tmp_path / "eventarc.sqlite").exists, "start")
        began = time.monotonic()
        outbox.append("a")
        running.wait_until_all_delivered(1)
    assert receiver.requests[0].at - began >= 1.0


def test_sigterm_ends_the_relay_at_once_and_a_delivery_under_way_is_repeated_later(
    tmp_path: Path, outbox: StorageOutbox, receive: Receive
) -> None:
    release = threading.Event()
    receiver = receive(lambda _: 200 if release.wait(WAIT) else 500)
    outbox.append("slow")
    with relay(tmp_path, receiver.url) as running:
        receiver.wait_for(1)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < WAIT / 2
        assert running.states() == ["pending"]
    release.set()
    with relay(tmp_path, receiver.url) as running:
        running.wait_until_all_delivered(1)
    assert received_names(receiver) == ["slow", "slow"]


def test_pauses_double_up_to_the_longest_and_differ_a_little() -> None:
    from random import Random

    policy = RetryPolicy(min_backoff=10.0, max_backoff=600.0)
    chance = Random(1)  # noqa: S311
    for attempts, expected in enumerate([10, 20, 40, 80, 160, 320], start=1):
        pauses = {policy.pause(attempts, chance) for _ in range(50)}
        assert all(expected <= pause <= expected * 1.25 for pause in pauses)
        assert len(pauses) > 10
    assert policy.pause(7, chance) == policy.pause(5000, chance) == 600.0


def test_header_values_are_percent_encoded_as_the_http_binding_says() -> None:
    assert cloud_event.header_value("plain/~!x") == "plain/~!x"
    assert cloud_event.header_value('a b"c%d') == "a%20b%22c%25d"
    assert cloud_event.header_value("é€😀\r\n\x7f") == "%C3%A9%E2%82%AC%F0%9F%98%80%0D%0A%7F"


def test_an_outbox_that_lost_its_old_rows_still_continues(tmp_path: Path, outbox: StorageOutbox) -> None:
    outbox.append("a", "b")
    reader = Outbox(tmp_path / "gcs.sqlite")
    assert reader.ready()
    first, second = reader.after(0, 10)
    assert isinstance(first, OutboxEvent)
    assert reader.continues(second.seq, second.id)
    assert not reader.continues(second.seq, "another id")
    assert not reader.continues(3, "an id")
    with closing(sqlite3.connect(outbox.path)) as database, database:
        database.execute("DELETE FROM outbox")
    assert reader.continues(second.seq, second.id)
    reader.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--trigger", "nonsense"], "expected NAME=TYPE,BUCKET,URL, found 'nonsense'"),
        (["--trigger", f"a=finalized,{BUCKET},http://x"], "expected a type out of google.cloud.storage"),
        (["--trigger", f"a={FINALIZED},{BUCKET},localhost:80"], "expected a URL that begins with http://"),
        (["--trigger", f"a={FINALIZED},{BUCKET},http://x"] * 2, "every trigger needs a name of its own"),
        (["--trigger", f"a={FINALIZED},{BUCKET},http://x", "--duplicates", "2"], "expected a number from 0 to 1"),
        (["--trigger", f"a={FINALIZED},{BUCKET},http://x", "--max-backoff", "nan"], "expected a number from 0.001"),
        ([], "required: --trigger"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(tmp_path: Path, options: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.local.eventarc", "--state", str(tmp_path), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
