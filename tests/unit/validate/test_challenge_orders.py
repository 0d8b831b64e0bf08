"""Validation, the judge and a person at one challenge: every order of their storage calls, with one killed anywhere.

Each actor is a greenlet that stops before each of its calls; an order is a list of who goes on. A killed actor's event
comes again, as the platform delivers it. Every order is run from the beginning, on a bucket of its own.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import pytest
from greenlet import GreenletExit, getcurrent, greenlet

from functions.validate.asked import MarkerRefused, Request
from functions.validate.challenge import begin, stop
from shared import challenges
from shared.decisions import Challenge, Decision, Ended, Pointer
from shared.documents import SCHEMA_VERSION
from shared.errors import PipelineError
from shared.store import Store
from tests.candidates import run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.world import NOW
from tests.watched_store import PassingStore

T = TypeVar("T")
Act = Callable[[Store], object]
WORSE = Ended(at=NOW, verdict="worse", reason="R² is 0.03 lower", figures={"labels": 700.0})


class Stopping(PassingStore):
    """A store that hands over to the scheduler before each call. `told`: what came of the calls until now."""

    def __init__(self, bucket: MemoryStore, told: list[str]) -> None:
        super().__init__(bucket)
        self.told = told

    def _call(self, kind: str, name: str, do: Callable[[], T]) -> T:
        parent = getcurrent().parent
        assert parent is not None
        parent.switch()
        try:
            found = do()
        except PipelineError as error:
            self.told.append(repr(error))
            raise
        self.told.append(repr(found))
        return found


def judge(store: Store) -> object:
    """Look as the watch does, and end a challenger that is worse."""
    return challenges.end(store, challenges.read_current(store), WORSE)


def challenge_of(minute: int, marker: int) -> Challenge:
    return Challenge(
        schema_version=SCHEMA_VERSION,
        run_id=run_id(minute),
        manifest_sha256="0" * 64,
        champion_run_id=run_id(1),
        mode="shadow",
        percent=0.0,
        then="report",
        salt="salt",
        started_at=NOW + timedelta(seconds=marker),
        until=NOW + timedelta(days=14),
        source="staging/history/x.json",
        max_r2_drop=0.02,
        marker_generation=marker,
    )


def begins(minute: int, marker: int) -> Act:
    return lambda store: tolerated(lambda: begin(store, challenge_of(minute, marker), lambda: NOW))


def stops(marker: int) -> Act:
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage="staging",
        run_id=run_id(2),
        manifest_sha256="0" * 64,
        promoted_at=NOW,
        previous_run_id=None,
        decision=Decision(passed=True, checks=()),
    )
    return lambda store: tolerated(lambda: stop(store, Request(pointer, b"", {"by": "Ada"}), marker, lambda: NOW))


def tolerated(act: Callable[[], object]) -> object:
    """The reasons for which some orders rightly refuse the marker."""
    try:
        return act()
    except MarkerRefused as refused:
        return refused.reason


def running() -> MemoryStore:
    """Run 2 is being tried as a challenger."""
    store = MemoryStore()
    begins(2, 10)(store)
    return store


def over() -> MemoryStore:
    """Run 2 was tried, and somebody died before its end was kept."""
    store = running()
    ended = msgspec.structs.replace(challenge_of(2, 10), ended=WORSE)
    assert challenges.write(store, ended, replacing=challenges.read_current(store))
    return store


SCENES: dict[str, tuple[Callable[[], MemoryStore], list[Act]]] = {
    "a stop and the judge": (running, [stops(11), judge]),
    "the judge, twice": (running, [judge, judge]),
    "a stop, delivered twice": (running, [stops(11), stops(11)]),
    "the next challenge and the judge": (running, [begins(3, 11), judge]),
    "the next challenge after an end": (over, [begins(3, 11), begins(3, 11)]),
    "two next challenges after an end": (over, [begins(3, 11), begins(4, 12)]),
    "a stop, the judge and the next challenge": (running, [stops(11), judge, begins(3, 12)]),
}


class Run:
    """One order, followed call by call. `kill`: the number of the call before which the first actor dies."""

    def __init__(self, bucket: MemoryStore, acts: list[Act], kill: int | None) -> None:
        self.bucket = bucket
        self._acts, self._kill = acts, kill
        self.ended: list[Challenge] = []
        self.results: list[object] = [None] * len(acts)
        self.told: list[list[str]] = [[] for _ in acts]
        self._actors: list[greenlet | None] = [self._start(place) for place in range(len(acts))]
        self.calls = 0

    def _start(self, place: int) -> greenlet:
        def work() -> None:
            self.results[place] = self._acts[place](Stopping(self.bucket, self.told[place]))

        actor = greenlet(work)
        actor.switch()
        return actor

    def going_on(self) -> list[int]:
        return [place for place, actor in enumerate(self._actors) if actor is not None and not actor.dead]

    def step(self, place: int) -> None:
        actor = self._actors[place]
        assert actor is not None
        if place == 0:
            self.calls += 1
            if self.calls == self._kill:
                actor.throw(GreenletExit)
                self.told[0].append("killed")
                self._actors[0] = self._start(0)
                return
        actor.switch()
        found = challenges.read_current(self.bucket).challenge
        if found is not None and found.ended is not None and found not in self.ended:
            self.ended.append(found)

    def state(self) -> int:
        """The bucket, what each actor has been told, and what was seen on the way."""
        told = tuple(tuple(actor) for actor in self.told)
        ended = tuple(str(over) for over in self.ended)
        return hash((self.bucket.state(), told, self.calls, ended))


R = TypeVar("R", bound=Run)


def orders(
    make: type[R], opened: MemoryStore, acts: list[Act], kill: int | None, *, merged: bool = True
) -> Iterator[R]:
    """Every order of the actors' calls; all actors have ended. `merged`: those that have led to the same state go on
    alike, and one of them stands for all."""
    waiting: list[tuple[int, ...]] = [()]
    known: set[int] = set()
    while waiting:
        order = waiting.pop()
        run = make(opened.fork(), acts, kill)
        for place in order:
            run.step(place)
        while going_on := run.going_on():
            if merged:
                state = run.state()
                if state in known:
                    break
                known.add(state)
            waiting.extend((*order, other) for other in going_on[1:])
            run.step(going_on[0])
            order = (*order, going_on[0])
        else:
            yield run


def faults(run: Run) -> list[str]:
    kept = challenges.ended(run.bucket)
    found = [f"{over.run_id}, {over.ended} was forgotten" for over in run.ended if over not in kept]
    verdicts: dict[datetime, set[str]] = {}
    for over in run.ended:
        assert over.ended is not None
        verdicts.setdefault(over.started_at, set()).add(over.ended.verdict)
    found += [f"one challenge ended as {several}" for several in verdicts.values() if len(several) > 1]
    now = challenges.read_current(run.bucket).challenge
    if now is not None and now.ended is None and now.started_at in verdicts:
        found.append(f"{now.run_id} had ended, and is tried again")
    return found


@pytest.mark.parametrize("scene", SCENES)
def test_in_every_order_a_challenge_ends_once_and_is_kept(scene: str) -> None:
    make, acts = SCENES[scene]
    found = [faults(run) for run in orders(Run, make(), acts, None, merged=False)]
    assert len(found) >= 6
    assert [fault for fault in found if fault] == []


@pytest.mark.parametrize("scene", SCENES)
def test_with_one_killed_anywhere_too(scene: str) -> None:
    make, acts = SCENES[scene]
    for kill in itertools.count(1):
        runs = [(faults(run), run.calls) for run in orders(Run, make(), acts, kill)]
        assert [found for found, _ in runs if found] == []
        if max(calls for _, calls in runs) < kill:
            return
