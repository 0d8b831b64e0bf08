"""Two promoters of one stage: every order of their storage calls, with and without one being killed, explored.

A promoter's next call depends only on what its calls have answered so far. So two orders that left the same bucket and
gave both promoters the same answers go on alike: such a state is explored once, and the number of orders through it is
added up. Nothing is sampled, and the counts are those of whole runs. Being killed after a call that changed nothing is
being killed before it, so kills come after calls that change something.

Late writes: any request may arrive once more at any later moment, also after its sender died, and also one whose sender
died before it arrived at all. One that storage would refuse changes nothing, so only those are sent that take effect.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any, TypeVar

import msgspec
import pytest

from functions.validate import gate
from functions.validate.evidence import served_files
from functions.validate.promotion import Clock, Release, promote
from shared import layout
from shared.codec import decode, digest
from shared.decisions import Decision, Pointer
from shared.errors import PipelineError
from shared.layout import Stage
from shared.store import CREATE_ONLY, Download, ObjectInfo
from tests.candidates import Candidate, build, digests, publish, run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.world import NOW
from tests.watched_store import WatchedStore

T = TypeVar("T")
STEP, KILL = "goes on", "is killed after its next call, and its event comes again"
LEAVE = "is killed while its next call is still on its way, and its event comes again"
LATE_WRITE = "a request arrives that was made long ago"
DECISION = Decision(passed=True, checks=(gate.check("integrity", True, 1.0, 1.0, "it is sound"),))
WAIT_SECONDS = 60.0

Action = tuple[int, str]
"""Which promoter, and what it does; for a late write, which request of the race."""


class Killed(BaseException):
    """The process is gone. The code under test must not mistake this for a fault of storage."""


@dataclass(frozen=True)
class Delivery:
    """One event: the run that it promotes, the marker that asked for it, and the clock of the instance."""

    run: int
    marker: int | None = None
    clock: timedelta = timedelta()


@dataclass(frozen=True)
class Scenario:
    """A stage that served `before`, one after the other, then two deliveries at once; `last` serves in the end."""

    stage: Stage
    before: tuple[Delivery, ...]
    racing: tuple[Delivery, Delivery]
    last: int
    kills: int = 0
    late_writes: int = 0


LATE = timedelta(hours=1)
SCENARIOS = {
    "the first two runs ever": Scenario("staging", (), (Delivery(1), Delivery(2)), 2),
    "the first two runs ever, one killed": Scenario("staging", (), (Delivery(1), Delivery(2)), 2, kills=1),
    "two runs over an older one": Scenario("staging", (Delivery(1),), (Delivery(2), Delivery(3)), 3),
    "two runs, the older one's clock ahead": Scenario(
        "staging", (Delivery(1),), (Delivery(2, clock=LATE), Delivery(3)), 3
    ),
    "one event delivered twice": Scenario("staging", (Delivery(1),), (Delivery(2), Delivery(2)), 2),
    "two markers": Scenario("production", (Delivery(1, 10),), (Delivery(2, 11), Delivery(3, 12)), 3),
    "one marker delivered twice": Scenario("production", (Delivery(1, 10),), (Delivery(2, 11), Delivery(2, 11)), 2),
    "a promotion and the rollback that follows": Scenario(
        "production", (Delivery(1, 10), Delivery(2, 11)), (Delivery(3, 12), Delivery(1, 13)), 1
    ),
    "a promotion, then the run that serves confirmed": Scenario(
        "production", (Delivery(1, 10),), (Delivery(2, 11), Delivery(1, 12)), 1
    ),
    "two markers for one run": Scenario("production", (Delivery(1, 10),), (Delivery(2, 11), Delivery(2, 12)), 2),
    "two runs, one killed": Scenario("staging", (Delivery(1),), (Delivery(2), Delivery(3)), 3, kills=1),
    "one event twice, one killed": Scenario("staging", (Delivery(1),), (Delivery(2), Delivery(2)), 2, kills=1),
    "a rollback, one killed": Scenario(
        "production", (Delivery(1, 10), Delivery(2, 11)), (Delivery(3, 12), Delivery(1, 13)), 1, kills=1
    ),
    "two runs, a late write": Scenario("staging", (Delivery(1),), (Delivery(2), Delivery(3)), 3, late_writes=1),
    "the first two runs ever, a late write": Scenario("staging", (), (Delivery(1), Delivery(2)), 2, late_writes=1),
    "two markers, a late write": Scenario(
        "production", (Delivery(1, 10),), (Delivery(2, 11), Delivery(3, 12)), 3, late_writes=1
    ),
    "a rollback, a late write": Scenario(
        "production", (Delivery(1, 10), Delivery(2, 11)), (Delivery(3, 12), Delivery(1, 13)), 1, late_writes=1
    ),
    "the first two runs ever, one killed, a late write": Scenario(
        "staging", (), (Delivery(1), Delivery(2)), 2, kills=1, late_writes=1
    ),
    "one event twice, one killed, a late write": Scenario(
        "staging", (Delivery(1),), (Delivery(2), Delivery(2)), 2, kills=1, late_writes=1
    ),
    "two runs, one killed, a late write": Scenario(
        "staging", (Delivery(1),), (Delivery(2), Delivery(3)), 3, kills=1, late_writes=1
    ),
    "a rollback, one killed, a late write": Scenario(
        "production", (Delivery(1, 10), Delivery(2, 11)), (Delivery(3, 12), Delivery(1, 13)), 1, kills=1, late_writes=1
    ),
}


@cache
def run(minute: int) -> Candidate:
    """A run of one file beside its manifest: every further one is copied and verified likewise."""
    whole = build(run_id(minute), rows=40)
    files = {layout.MODEL: whole.files[layout.MODEL]}
    return Candidate(whole.manifest, files, b"").with_manifest(files=digests(files))


def released(store: MemoryStore, delivery: Delivery) -> Release:
    """The release that the gate would hand to the promoter."""
    candidate = run(delivery.run)
    folder = layout.candidate(candidate.manifest.run_id)
    sources = {info.name.removeprefix(folder): info for info in store.list(folder)}
    return Release(candidate.manifest, digest(candidate.manifest_bytes), sources, DECISION, delivery.marker)


def clock_of(delivery: Delivery, place: int) -> Clock:
    """A clock that is a second later at every look. No two deliveries share a moment."""
    ticks = count()
    return lambda: NOW + delivery.clock + timedelta(seconds=next(ticks), milliseconds=place)


@cache
def opened(scenario: Scenario) -> MemoryStore:
    """The bucket as it is before the race."""
    store = MemoryStore()
    for minute in sorted({delivery.run for delivery in (*scenario.before, *scenario.racing)}):
        publish(store, run(minute))
    for place, delivery in enumerate(scenario.before):
        early = Delivery(delivery.run, delivery.marker, timedelta(hours=place - 10))
        assert promote(store, scenario.stage, released(store, early), clock_of(early, 0)) == "promoted"
    return store


@dataclass(frozen=True)
class Request:
    """A call that changed something, or tried to; `send` makes it once more.

    `expected`: the generation at which its object must be. `plain`: what it is in every order that is otherwise alike.
    """

    kind: str
    name: str
    expected: int | None
    plain: object
    send: Callable[[], object]


class Promoter(WatchedStore):
    """One instance at work in a thread of its own, stopped before each of its calls until it is told to go on."""

    def __init__(self, race: "Race", place: int) -> None:
        super().__init__(race.store)
        self._race, self._place, self._delivery = race, place, race.scenario.racing[place]
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._how = STEP
        self.changes = False
        self.deliveries, self.answers, self.done = 1, list[object](), False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._await_stop()

    def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
        self._written = (data, self._race.version(if_generation))
        self._expected = if_generation
        return super().write(name, data, if_generation=if_generation, **described)

    def act(self, how: str) -> None:
        """Let the promoter make its next call and stop before the one after it."""
        self._how = how
        self._go.release()
        self._await_stop()

    def abandon(self) -> None:
        """End the promoter's thread, wherever it is."""
        if not self.done:
            self._race.over = True
            self.act(KILL)
        self._thread.join(WAIT_SECONDS)

    def _await_stop(self) -> None:
        assert self._stopped.acquire(timeout=WAIT_SECONDS), "the promoter neither called nor ended"

    def _work(self) -> None:
        try:
            while not self._race.over:
                try:
                    clock = clock_of(self._delivery, 10 * self._place + self.deliveries)
                    promote(self, self._race.scenario.stage, self._race.releases[self._place], clock)
                    return
                except Killed:
                    self.deliveries, self.answers = self.deliveries + 1, []
        except Exception as error:  # noqa: BLE001 - the explorer reports it with the order that led there
            self._race.failures.append(repr(error))
        finally:
            self.done = True
            self._stopped.release()

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        self.changes = kind in ("write", "copy")
        self._stopped.release()
        self._go.acquire()
        if self._race.over:
            raise Killed
        if kind == "write":
            self._race.requests.append(Request(kind, name, self._expected, (kind, name, self._written), do))
        elif kind == "copy":
            self._race.requests.append(Request(kind, name, CREATE_ONLY, (kind, name), do))
        if self._how == LEAVE:
            raise Killed
        try:
            answer = do()
        except PipelineError as error:
            self.answers.append(type(error).__name__)
            self._end()
            raise
        self._race.saw(kind, name, answer)
        self.answers.append(self._race.plain(answer))
        self._end()
        return answer

    def _end(self) -> None:
        if self._how == KILL:
            raise Killed


class Race:
    """One order of the calls, as far as it has been followed."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.store = opened(scenario).fork()
        self.over = False
        self.failures: list[str] = []
        self.releases = [released(self.store, delivery) for delivery in scenario.racing]
        self.served = [pointer for pointer in [self._pointer()] if pointer is not None]
        self.requests: list[Request] = []
        self._late_writes = 0
        self._versions: dict[int, tuple[str, int]] = {}
        self._promoters = [Promoter(self, place) for place in range(2)]

    def act(self, action: Action) -> None:
        place, how = action
        if how == LATE_WRITE:
            self._send_again(place)
        else:
            self._promoters[place].act(how)

    def _send_again(self, number: int) -> None:
        self._late_writes += 1
        request = self.requests[number]
        self.saw(request.kind, request.name, request.send())

    def _late_ones(self) -> list[int]:
        """The requests that would take effect now, each of several alike once."""
        if self._late_writes >= self.scenario.late_writes:
            return []
        alike = {r.plain: number for number, r in enumerate(self.requests) if self._takes_effect(r)}
        return sorted(alike.values())

    def _takes_effect(self, request: Request) -> bool:
        live = self.store.stat(request.name)
        return (live.generation if live else CREATE_ONLY) == request.expected

    def ended(self) -> bool:
        """Whether both events were acknowledged; a late write may still come."""
        return all(promoter.done for promoter in self._promoters)

    def version(self, generation: int | None) -> object:
        """A generation by object and age, which orders that are otherwise alike share."""
        return self._versions.get(generation, generation) if generation is not None else None

    def choices(self) -> list[Action]:
        """Every step that may happen next."""
        kills = sum(promoter.deliveries - 1 for promoter in self._promoters)
        may_kill = kills < self.scenario.kills
        going_on = [(place, promoter) for place, promoter in enumerate(self._promoters) if not promoter.done]
        steps = [(place, STEP) for place, _ in going_on]
        ways = (KILL, LEAVE) if self._late_writes < self.scenario.late_writes else (KILL,)
        kills_now = [(place, how) for place, p in going_on if may_kill and p.changes for how in ways]
        return steps + kills_now + [(number, LATE_WRITE) for number in self._late_ones()]

    def state(self) -> object:
        """All that the future depends on: the bucket, what each promoter knows, and what is checked in the end."""
        objects = tuple((info.name, self._plain_object(info)) for info in self.store.list(f"{self.scenario.stage}/"))
        known = tuple((p.done, p.deliveries, tuple(p.answers)) for p in self._promoters)
        late = None
        if self._late_writes < self.scenario.late_writes:
            late = frozenset(request.plain for request in self.requests)
        return objects, known, tuple(self.served), tuple(self.failures), late

    def close(self) -> None:
        for promoter in self._promoters:
            promoter.abandon()

    def saw(self, kind: str, name: str, answer: object) -> None:
        """After a call took effect: a pointer that became visible is complete and verified, the one before is kept."""
        if isinstance(answer, ObjectInfo) and kind in ("write", "copy"):
            past = sum(known == name for known, _ in self._versions.values())
            self._versions[answer.generation] = (name, past)
        if (kind, name) == ("write", layout.pointer(self.scenario.stage)):
            self.failures.extend(self._faults_of_pointer())

    def plain(self, answer: object) -> object:
        """An answer without the bucket-wide numbers, which differ between orders that are otherwise alike."""
        if isinstance(answer, ObjectInfo):
            return answer.name, answer.size, self._versions.get(answer.generation, answer.generation)
        if isinstance(answer, Download):
            return answer.data, self._versions.get(answer.generation, answer.generation)
        return tuple(map(self.plain, answer)) if isinstance(answer, list) else answer

    def faults_at_the_end(self) -> list[str]:
        """What is wrong after both have ended."""
        pointer, faults = self._pointer(), list(self.failures)
        if pointer is None or pointer.run_id != run_id(self.scenario.last):
            faults.append(f"{pointer and pointer.run_id} serves, expected {run_id(self.scenario.last)}")
        markers = [delivery.marker for delivery in (*self.scenario.before, *self.scenario.racing) if delivery.marker]
        if pointer and pointer.marker_generation != max(markers, default=None):
            faults.append(f"the newest marker is not noted: {pointer.marker_generation}")
        if (kept := self._history()) != (expected := self._expected_history()):
            faults.append(f"history {[p.run_id for p in kept]}, served {[p.run_id for p in expected]}")
        return faults

    def _plain_object(self, info: ObjectInfo) -> object:
        return self.plain(self.store.read(info.name))

    def _pointer(self) -> Pointer | None:
        key = layout.pointer(self.scenario.stage)
        return decode(self.store.read(key).data, Pointer, key) if self.store.stat(key) else None

    def _faults_of_pointer(self) -> list[str]:
        pointer, faults = self._pointer(), []
        assert pointer is not None
        if not self.served or self.served[-1].promoted_at != pointer.promoted_at:
            self.served.append(pointer)
        manifest_key = layout.staged(pointer.stage, pointer.run_id, layout.MANIFEST)
        found = {info.name: digest(self.store.read(info.name).data) for info in self.store.list(f"{pointer.stage}/")}
        if manifest_key not in found or found[manifest_key].sha256 != pointer.manifest_sha256:
            return [f"{pointer.run_id} became visible without its manifest"]
        candidate = next(run(minute) for minute in (1, 2, 3) if run_id(minute) == pointer.run_id)
        for name, expected in served_files(candidate.manifest, digest(candidate.manifest_bytes)).items():
            if found.get(layout.staged(pointer.stage, pointer.run_id, name)) != expected:
                faults.append(f"{pointer.run_id} became visible without a sound {name}")
        kept = [unmarked(entry) for entry in self._history()]
        return faults + [
            f"{old.run_id} was replaced before the history held it"
            for old in self.served[:-1]
            if unmarked(old) not in kept
        ]

    def _history(self) -> list[Pointer]:
        keys = [info.name for info in self.store.list(layout.history_folder(self.scenario.stage))]
        return [decode(self.store.read(key).data, Pointer, key) for key in keys]

    def _expected_history(self) -> list[Pointer]:
        """What served, once each, in order; the first two lists of runs come from before the race."""
        store, folder = opened(self.scenario), layout.history_folder(self.scenario.stage)
        before = [decode(store.read(info.name).data, Pointer, info.name) for info in store.list(folder)]
        return [*before, *self.served[1 if before else 0 :]]


def unmarked(pointer: Pointer) -> Pointer:
    """Without the marker that was noted last: a confirmation changes nothing else."""
    return msgspec.structs.replace(pointer, marker_generation=None)


@contextmanager
def followed(scenario: Scenario, order: tuple[Action, ...]) -> Iterator[Race]:
    race = Race(scenario)
    try:
        for action in order:
            race.act(action)
        yield race
    finally:
        race.close()


@dataclass
class Explorer:
    """Counts the orders below every state, each state once."""

    scenario: Scenario
    replays: int = 0

    def __post_init__(self) -> None:
        self.orders: dict[object, int] = {}

    def explore(self, order: tuple[Action, ...] = ()) -> int:
        """Complete orders that begin with `order`. Fails with the order that breaks an invariant."""
        self.replays += 1
        path: list[tuple[object, tuple[Action, ...], list[Action], bool]] = []
        with followed(self.scenario, order) as race:
            while (state := race.state()) not in self.orders:
                choices = race.choices()
                if race.ended():
                    assert race.faults_at_the_end() == [], order
                if not choices:
                    self.orders[state] = 1
                    break
                path.append((state, order, choices, race.ended()))
                race.act(choices[0])
                order = (*order, choices[0])
        total = self.orders[state]
        for state, order, choices, ended in reversed(path):
            total += ended + sum(self.explore((*order, choice)) for choice in choices[1:])
            self.orders[state] = total
        return total


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_order_of_two_promoters_calls_breaks_an_invariant(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    explorer = Explorer(SCENARIOS[name])
    orders = explorer.explore()
    with capsys.disabled():
        sys.stdout.write(f"\n  {name}: {orders:,} orders, {len(explorer.orders):,} states, violations: 0")
    assert orders > 1000
