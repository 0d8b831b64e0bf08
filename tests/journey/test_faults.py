"""Two hundred seeded runs of the whole promotion, with every fault that storage and delivery can have.

Each run: several candidates, good and bad; promotions, rollbacks and spoiled markers; up to three deliveries in flight
at once; duplicates, any order; storage that fails before or after it acted; a process killed at any storage call. The
seed alone decides everything, so any run can be replayed: `pytest "tests/journey/test_faults.py::test_a_run[17]"`.
"""

import logging
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from typing import TypeVar

import pytest

from functions.validate.main import Validator
from functions.validate.settings import ValidateSettings
from shared import layout, logs
from shared.errors import PipelineError, TransientError
from shared.errors import StorageUnavailable as Unavailable
from shared.layout import Stage
from tests.candidates import Candidate, build, run_id
from tests.journey.invariants import (
    CHANGING,
    Script,
    faults_of_pointer,
    faults_of_replaced,
    faults_when_drained,
    unmarked,
)
from tests.memory_store import MemoryStore
from tests.unit.validate.world import BUCKET, NOW, attributes, resource
from tests.watched_store import WatchedStore

T = TypeVar("T")
RUNS = 200
SEEDS = (*range(RUNS), 331)
"""331: a marker's swap arrives when its event was acknowledged, since a newer marker had replaced it."""
IN_FLIGHT = 3
FAULT_RATE = 0.06
DUPLICATE_RATE = 0.4
MAX_FAULTS = 30
WAIT_SECONDS = 120.0

BEFORE = ("503", "429", "connection reset", "time-out")
UNDER_WAY = ("time-out, and it arrives later", "killed, and the call arrives later")
"""The sender gives up, or is gone, before its request arrives."""
AFTER = (
    "lost response",
    "lost response, retried by the client",
    "time-out after the write",
    "arrives once more, long after",
)
KINDS = (*BEFORE, *UNDER_WAY, *AFTER, "truncated download", "killed before the call", "killed after the call")
COUNTS: Counter[str] = Counter()


class Killed(BaseException):
    """The process is gone in the middle of a delivery; nothing was acknowledged."""


@cache
def candidate(minute: int, kind: str) -> Candidate:
    """Candidates of every kind; only the good ones may ever serve."""
    if kind == "useless":
        return build(run_id(minute), slope=0.0, rows=60)
    if kind == "boasting":
        return build(run_id(minute), claimed_r2=0.99, rows=60)
    whole = build(run_id(minute), rows=60)
    if kind == "damaged":
        return whole.with_file(layout.MODEL, b"not what the manifest promises", promised=False)
    if kind == "malformed":
        return Candidate(whole.manifest, whole.files, whole.manifest_bytes[:-9])
    return whole


class Delivery:
    """One delivery in flight, in a thread that stops before each of its storage calls."""

    def __init__(self, run: "Run", name: str, generation: int) -> None:
        self.name, self.generation = name, generation
        self.acknowledged = self.done = False
        self.failure: BaseException | None = None
        self._run = run
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._thread.start()
        self._await_stop()

    def step(self) -> None:
        self._go.release()
        self._await_stop()

    def turn(self) -> None:
        """Wait for the next step; called in the delivery's own thread."""
        self._stopped.release()
        self._go.acquire()

    def _await_stop(self) -> None:
        assert self._stopped.acquire(timeout=WAIT_SECONDS), "the delivery neither called nor ended"

    def _deliver(self) -> None:
        settings = ValidateSettings(bucket=BUCKET, deadline_seconds=500.0, log_level="INFO")
        validator = Validator(settings, FaultyStore(self._run, self), self._run.clock)
        try:
            validator.receive(attributes(), resource(self.name, self.generation))
            self.acknowledged = True
        except (TransientError, Killed):
            pass
        except BaseException as error:  # noqa: BLE001 - the run fails with it
            self.failure = error
        finally:
            self.done = True
            self._stopped.release()


class FaultyStore(WatchedStore):
    """The bucket as one delivery sees it, with faults."""

    def __init__(self, run: "Run", delivery: Delivery) -> None:
        super().__init__(run.observed)
        self._run, self._delivery = run, delivery

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        self._delivery.turn()
        fault = self._run.fault(kind)
        if fault in BEFORE or (fault == "truncated download"):
            raise Unavailable(f"{fault} on {kind} {name}")
        if fault in UNDER_WAY:
            self._run.keep_for_later(do)
        if fault in ("killed before the call", "killed, and the call arrives later"):
            raise Killed
        if fault == "time-out, and it arrives later":
            raise Unavailable(f"{fault} on {kind} {name}")
        answer = do()
        if fault == "killed after the call":
            raise Killed
        if fault == "lost response, retried by the client":
            return do()
        if fault == "arrives once more, long after":
            self._run.keep_for_later(do)
            return answer
        if fault in AFTER:
            raise Unavailable(f"{fault} on {kind} {name}")
        return answer


class Run:
    """One seed, from an empty bucket until all is drained."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311
        self.bucket = MemoryStore()
        self.observed = WatchedStore(self.bucket, before=self._before, after=self._after)
        self.script = Script()
        self.visible: dict[Stage, list[bytes]] = {"staging": [], "production": []}
        self.violations: list[str] = []
        self._ticks = 0
        self._faults = 0
        self._before_change: bytes | None = None
        self._waiting: list[tuple[str, int]] = []
        self._flying: list[Delivery] = []
        self._late: list[Callable[[], object]] = []
        self._arrived_late: set[bytes] = set()

    def clock(self) -> datetime:
        """Instances disagree by up to ten seconds."""
        self._ticks += 1
        return NOW + timedelta(seconds=self._ticks + self._chance.uniform(-5, 5))

    def fault(self, kind: str) -> str | None:
        """The fault that this call meets, if any."""
        if self._faults >= MAX_FAULTS or self._chance.random() >= FAULT_RATE:
            return None
        changing = kind in ("write", "copy")
        fitting = [
            f
            for f in KINDS
            if (changing or f not in (*AFTER, *UNDER_WAY)) and (kind == "read" or f != "truncated download")
        ]
        self._faults += 1
        fault = self._chance.choice(fitting)
        COUNTS[fault] += 1
        return fault

    def keep_for_later(self, send: Callable[[], object]) -> None:
        """A request that will reach storage once more, at a moment that the seed decides."""
        self._late.append(send)

    def play(self) -> None:
        """Let people, training, delivery and faults take turns in the order that the seed says."""
        acts = self._acts()
        while acts or self._waiting or self._flying or self._late:
            if self._late and (self._chance.random() < 0.02 or not (acts or self._waiting or self._flying)):
                self._arrive(self._late.pop(0))
            elif acts and (self._chance.random() < 0.03 or not (self._waiting or self._flying)):
                acts.pop(0)()
            elif self._waiting and len(self._flying) < IN_FLIGHT and self._chance.random() < 0.3:
                self._start(self._waiting.pop(self._chance.randrange(len(self._waiting))))
            elif self._flying:
                self._step(self._chance.choice(self._flying))
        self.violations += faults_when_drained(self.bucket, self.script, self.visible, self._arrived_late)

    def _arrive(self, send: Callable[[], object]) -> None:
        """A request that was made long ago reaches storage."""
        before = {stage: len(contents) for stage, contents in self.visible.items()}
        with suppress(PipelineError):
            send()
        for stage, contents in self.visible.items():
            self._arrived_late.update(contents[before[stage] :])

    def _acts(self) -> list[Callable[[], None]]:
        minutes = list(range(1, self._chance.randint(4, 6)))
        if self._chance.random() < 0.3:
            self._chance.shuffle(minutes)
        acts: list[Callable[[], None]] = []
        for minute in minutes:
            kind = self._chance.choice(("good", "good", "good", "useless", "boasting", "damaged", "malformed"))
            acts.append(lambda minute=minute, kind=kind: self._publish(minute, kind))  # type: ignore[misc]
        for act in (self._promote, self._promote, self._promote, self._roll_back, self._roll_back, self._spoil):
            acts.insert(self._chance.randint(1, len(acts)), act)
        return acts

    def _publish(self, minute: int, kind: str) -> None:
        made = candidate(minute, kind)
        folder = layout.candidate(run_id(minute))
        for name, data in {**made.files, layout.MANIFEST: made.manifest_bytes}.items():
            info = self.bucket.write(folder + name, data, if_generation=0, content_type="application/json")
            self.script.published[info.name] = data
        self.script.good[run_id(minute)] = kind == "good"
        self._announce(info.name, info.generation)

    def _promote(self) -> None:
        if self.bucket.stat(layout.pointer("staging")):
            self._mark(self.bucket.read(layout.pointer("staging")).data, spoiled=False)

    def _roll_back(self) -> None:
        if self.visible["production"]:
            served = self._chance.choice(self.visible["production"])
            entries = [info.name for info in self.bucket.list(layout.history_folder("production"))]
            kept = [key for key in entries if _holds(self, key, served)]
            key = kept[0] if kept else layout.pointer("production")  # the one of now may not be recorded yet
            self._mark(self.bucket.read(key).data, spoiled=False)

    def _spoil(self) -> None:
        if self.bucket.stat(layout.pointer("staging")):
            data = self.bucket.read(layout.pointer("staging")).data
            self._mark(self._chance.choice((b"", b"{}", data + b" ", data[:-3], data.decode().encode("utf-16"))), True)

    def _mark(self, data: bytes, spoiled: bool) -> None:
        info = self.bucket.write(layout.MARKER, data, if_generation=None, content_type="application/json")
        self.script.markers[info.generation] = None if spoiled else unmarked(data).run_id
        self._announce(info.name, info.generation)

    def _announce(self, name: str, generation: int) -> None:
        copies = 2 if self._chance.random() < DUPLICATE_RATE else 1
        COUNTS["duplicate delivery"] += copies - 1
        self._waiting += [(name, generation)] * copies

    def _start(self, event: tuple[str, int]) -> None:
        COUNTS["deliveries"] += 1
        self._land(Delivery(self, *event))

    def _step(self, delivery: Delivery) -> None:
        self._flying.remove(delivery)
        delivery.step()
        self._land(delivery)

    def _land(self, delivery: Delivery) -> None:
        if not delivery.done:
            self._flying.append(delivery)
        elif delivery.failure is not None:
            raise AssertionError(f"{delivery.name} raised {delivery.failure!r}") from delivery.failure
        elif not delivery.acknowledged:
            self._waiting.append((delivery.name, delivery.generation))

    def _before(self, _: int, kind: str, name: str) -> None:
        live = self.bucket.stat(name) if kind in ("write", "copy") else None
        self._before_change = self.bucket.read(name).data if live else None

    def _after(self, _: int, kind: str, name: str) -> None:
        if kind not in ("write", "copy") or self.bucket.stat(name) is None:
            return
        data, before = self.bucket.read(name).data, self._before_change
        if before is not None and before != data and name not in CHANGING:
            self.violations.append(f"{name} was changed in place")
        for stage in layout.STAGES:
            if name == layout.pointer(stage) and before != data:
                self.violations += faults_of_pointer(self.bucket, stage, data)
                self.violations += faults_of_replaced(self.bucket, stage, before) if before else []
                self.visible[stage].append(data)


def _holds(run: Run, key: str, served: bytes) -> bool:
    return unmarked(run.bucket.read(key).data) == unmarked(served)


@contextmanager
def quiet() -> Iterator[None]:
    """The log lines of thousands of faults are not read by anybody."""
    handlers = logs.LOGGER.handlers
    logs.LOGGER.handlers, logs.LOGGER.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logs.LOGGER.handlers = handlers


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run(seed: int) -> None:
    run = Run(seed)
    with quiet():
        run.play()
    COUNTS["runs"] += 1
    COUNTS["violations"] += len(run.violations)
    assert run.violations == [], f"seed {seed}"


def test_every_kind_of_fault_was_injected(capsys: pytest.CaptureFixture[str]) -> None:
    """Last: it prints the summary of the runs above, and needs all of them."""
    if COUNTS["runs"] < RUNS:
        pytest.skip(f"only {COUNTS['runs']} of {RUNS} runs were made")
    with capsys.disabled():
        faults = ", ".join(f"{kind} {COUNTS[kind]:,}" for kind in (*KINDS, "duplicate delivery"))
        runs = f"{COUNTS['runs']} runs, {COUNTS['deliveries']:,} deliveries, violations: {COUNTS['violations']}"
        sys.stdout.write(f"\n  {runs}; {faults}\n")
    assert all(COUNTS[kind] for kind in KINDS)
