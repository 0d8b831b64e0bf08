"""The judge, people and validation at one challenge while production's pointer is swapped: every order of their calls.

As in test_challenge_orders, with what really swaps the pointer and really judges.
"""

import itertools
from collections.abc import Callable
from functools import cache
from typing import Literal

import msgspec
import numpy as np
import pytest

from functions.validate.challenge import begin
from functions.validate.promotion import Release, promote
from functions.watch.challenger import carry_out, tried
from functions.watch.quality import Judgement, Look
from shared import challenges, layout, pointers
from shared.codec import digest
from shared.decisions import Decision, Then
from shared.media_types import JSON
from shared.store import Store
from tests.candidates import Candidate, build, digests, publish, run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.test_challenge_orders import (
    Act,
    Run,
    challenge_of,
    faults,
    orders,
    stops,
    tolerated,
)
from tests.unit.validate.world import NOW

CHAMPION, TRIED, OTHER = 1, 2, 3
Scene = tuple[Callable[[], MemoryStore], list[Act]]


@cache
def run(minute: int) -> Candidate:
    """A run of its manifest alone: every further file is copied likewise."""
    whole = build(run_id(minute), rows=40)
    return Candidate(whole.manifest, {}, b"").with_manifest(files=digests({}))


@cache
def published() -> MemoryStore:
    """The candidates, which every bucket here begins with."""
    store = MemoryStore()
    for minute in (CHAMPION, TRIED, OTHER):
        publish(store, run(minute))
    return store


def release(minute: int, marker: int) -> Release:
    """The release that the gate would hand to the promoter."""
    candidate = run(minute)
    folder = layout.candidate(candidate.manifest.run_id)
    sources = {info.name.removeprefix(folder): info for info in published().list(folder)}
    decision = Decision(passed=True, checks=())
    return Release(candidate.manifest, digest(candidate.manifest_bytes), sources, decision, marker)


def asks(store: Store, minute: int, *, by: str) -> int:
    """Copy a pointer to the marker, whatever stands there, as `gsutil cp` does."""
    words = {"by": by}
    info = store.write(layout.MARKER, b"%d" % minute, if_generation=None, content_type=JSON, metadata=words)
    return info.generation


def person(store: Store) -> object:
    """Somebody promotes another run, and validation acts on it."""
    marker = asks(store, OTHER, by="Ada")
    return promote(store, "production", release(OTHER, marker), lambda: NOW)


def judge(verdict: Literal["worse", "not_worse"], *, and_validation: bool = False) -> Act:
    """The judge's look, and validation's act on the marker that it may leave."""
    look = Look(700, 0.03, 0.01, 0.05) if verdict == "worse" else Look(700, 0.0, -0.01, 0.01)
    judgement = Judgement(verdict, look, np.empty((0, 3)))

    def looks(store: Store) -> object:
        found = tried(store, NOW)
        if found is not None:
            carry_out(store, found, judgement, NOW)
        return validates(store) if and_validation else None

    return looks


def validates(store: Store) -> object:
    """Validation acts on the judge's marker, where that is the one of now."""
    marker = store.stat(layout.MARKER)
    if marker is None or marker.metadata.get("by") != "watch":
        return None
    return promote(store, "production", release(TRIED, marker.generation), lambda: NOW)


def begins(store: Store) -> object:
    """Validation begins a challenge of the champion that it has read."""
    champion = pointers.read_current(store, "production").pointer
    assert champion is not None
    challenge = msgspec.structs.replace(challenge_of(TRIED, 10), champion_run_id=champion.run_id)
    return tolerated(lambda: begin(store, challenge, lambda: NOW))


@cache
def served() -> MemoryStore:
    """Production serves the champion by a marker that was acted on; nothing is tried."""
    store = published().fork()
    marker = asks(store, CHAMPION, by="Grace")
    assert promote(store, "production", release(CHAMPION, marker), lambda: NOW) == "promoted"
    staged = pointers.read_current(store, "production").data
    store.write(challenge_of(TRIED, 10).source, staged, if_generation=None, content_type=JSON)
    return store


def running(then: Then = "report") -> MemoryStore:
    store = served().fork()
    challenge = msgspec.structs.replace(challenge_of(TRIED, 10), then=then)
    assert challenges.write(store, challenge, replacing=challenges.read_current(store))
    return store


def promoting() -> MemoryStore:
    return running("promote")


SCENES: dict[str, Scene] = {
    "a swap and a judge who withdraws": (running, [person, judge("worse")]),
    "a swap, a judge who withdraws and a stop": (running, [person, judge("worse"), stops(11)]),
    "a swap and a judge who promotes": (promoting, [person, judge("not_worse")]),
    "a swap, and a judge and validation": (promoting, [person, judge("not_worse", and_validation=True)]),
    "a judge who promotes and a stop": (promoting, [judge("not_worse"), stops(11)]),
    "a swap and the next challenge": (served, [person, begins]),
    "a swap, the next challenge and the judge": (served, [person, begins, judge("worse")]),
}


class Watched(Run):
    """An order whose every step is looked at. `wrong`: what must not have happened."""

    def __init__(self, bucket: MemoryStore, acts: list[Act], kill: int | None) -> None:
        self.wrong: list[str] = []
        self._marker = 0
        super().__init__(bucket, acts, kill)

    def step(self, place: int) -> None:
        before = pointers.read_current(self.bucket, "production").pointer
        known = len(self.ended)
        super().step(place)
        assert before is not None
        marker = self.bucket.stat(layout.MARKER)
        if marker is not None and marker.generation != self._marker:
            if marker.metadata["by"] == "watch" and (before.run_id, before.marker_generation) != (
                run_id(CHAMPION),
                self._marker or before.marker_generation,
            ):
                self.wrong.append("the judge's marker took the place of one that nobody had acted on")
            self._marker = marker.generation
        for over in self.ended[known:]:
            assert over.ended is not None
            if over.ended.verdict == "superseded" and before.run_id == over.champion_run_id:
                self.wrong.append("a challenge was superseded although its champion serves")

    def state(self) -> int:
        """The state of the order, together with the faults found so far."""
        return hash((super().state(), tuple(self.wrong)))


def all_faults(found: Watched) -> list[str]:
    """What is wrong in the end: after the delivery of the judge's marker, and one more look of the judge."""
    validates(found.bucket)
    tried(found.bucket, NOW)
    wrong = [*faults(found), *found.wrong]
    pointer = pointers.read_current(found.bucket, "production").pointer
    marker = found.bucket.stat(layout.MARKER)
    assert pointer is not None
    assert marker is not None
    newest = {"Ada": OTHER, "watch": TRIED, "Grace": CHAMPION}[marker.metadata["by"]]
    if pointer.run_id != run_id(newest) or pointer.marker_generation != marker.generation:
        wrong.append("the newest marker is not what serves")
    challenge = challenges.read_current(found.bucket).challenge
    if challenge is not None and challenge.ended is None and challenge.champion_run_id != pointer.run_id:
        wrong.append("a challenge of a run that serves no more goes on")
    if pointer.run_id == run_id(TRIED) and (challenge is None or challenge.ended is None):
        wrong.append("the challenger serves, and is still tried")
    return wrong


@pytest.mark.parametrize("scene", SCENES)
def test_in_every_order_the_newest_wish_serves_and_a_challenge_ends_once(scene: str) -> None:
    make, acts = SCENES[scene]
    found = [all_faults(order) for order in orders(Watched, make(), acts, None)]
    assert len(found) >= 3
    assert [wrong for wrong in found if wrong] == []


LONG = ("a swap, a judge who withdraws and a stop", "a swap, and a judge and validation")
"""These take half a minute with one killed; they were followed once, and nothing was found."""


@pytest.mark.parametrize(
    ("scene", "killed"),
    [(scene, place) for scene, (_, acts) in SCENES.items() if scene not in LONG for place in range(len(acts))],
)
def test_with_any_of_them_killed_anywhere_too(scene: str, killed: int) -> None:
    make, acts = SCENES[scene]
    first = [acts[killed], *acts[:killed], *acts[killed + 1 :]]
    for kill in itertools.count(1):
        found = [(all_faults(order), order.calls) for order in orders(Watched, make(), first, kill)]
        assert [wrong for wrong, _ in found if wrong] == []
        if max(calls for _, calls in found) < kill:
            return


def test_the_orders_meet_both_ends_of_the_race() -> None:
    """The judge is before the swap in some of them and after it in others: both verdicts occur, and both runs serve."""
    make, acts = SCENES["a swap and a judge who promotes"]
    ends = set()
    for order in orders(Watched, make(), acts, None):
        tried(order.bucket, NOW)
        challenge = challenges.read_current(order.bucket).challenge
        assert challenge is not None
        assert challenge.ended is not None
        ends.add(challenge.ended.verdict)
    assert ends == {"not_worse", "superseded"}
