"""Real functions under the real relay, with a faulty network between them and the storage server.

Two instances get every event, some of it twice and in any order; one of them is killed and started again. A run that
fails is replayed by its seed, which decides the faults, though not how processes are scheduled.
"""

import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared import layout, pointers
from shared.codec import decode
from shared.decisions import Pointer
from shared.layout import Stage
from tests.candidates import Candidate, publish, run_id
from tests.journey.deployment import BUCKET, Deployment, deployed
from tests.journey.faulty_proxy import KINDS, FaultyProxy, faulty_proxy
from tests.journey.invariants import CHANGING, Script, faults_of_pointer, faults_when_drained, unmarked
from tests.journey.test_faults import candidate

SEEDS = (1, 2, 3)
RATE = 0.05


class Story:
    """What people and training do while everything fails."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.script = Script()
        self._deployment = deployment
        self._chance = random.Random(seed)  # noqa: S311

    def play(self) -> None:
        kinds = ["good", "useless", "good", "damaged", "good"]
        self._chance.shuffle(kinds)
        acts: list[Callable[[], None]] = []
        for minute, kind in enumerate(kinds, start=1):
            acts.append(lambda minute=minute, kind=kind: self._publish(minute, candidate(minute, kind)))  # type: ignore[misc]
        for act in (self._promote, self._spoil, self._promote, self._roll_back):
            acts.insert(self._chance.randint(2, len(acts)), act)
        fatal = self._chance.randrange(2, len(acts))
        for place, act in enumerate(acts):
            act()
            if place == fatal:
                self._deployment.instances[0].kill()
            time.sleep(self._chance.uniform(0.0, 1.0))
        self._deployment.instances[0].start()
        self._deployment.drain()
        self._promote()
        self._deployment.drain()

    def _publish(self, minute: int, made: Candidate) -> None:
        info = publish(self._deployment.store, made)
        self.script.published[info.name] = made.manifest_bytes
        good = (
            made.manifest_bytes == candidate(minute, "good").manifest_bytes
            and made.files == candidate(minute, "good").files
        )
        self.script.good[run_id(minute)] = good

    def _promote(self) -> None:
        store = self._deployment.store
        if store.stat(layout.pointer("staging")):
            self._mark(store.read(layout.pointer("staging")).data)

    def _roll_back(self) -> None:
        """Roll back to the oldest pointer that served. Where nothing was replaced yet, there is no history."""
        served = pointers.history(self._deployment.store, "production")
        if served:
            self._mark(served[0].data)

    def _spoil(self) -> None:
        self._mark(b"{}", spoiled=True)

    def _mark(self, data: bytes, spoiled: bool = False) -> None:
        store = self._deployment.store
        info = store.write(layout.MARKER, data, if_generation=None, content_type="application/json")
        self.script.markers[info.generation] = None if spoiled else decode(data, Pointer, "marker").run_id


def violations(deployment: Deployment, script: Script) -> list[str]:
    """What the bucket, all its generations and the order of its events say."""
    store, found = deployment.store, []
    visible: dict[Stage, list[bytes]] = {
        stage: generations(deployment, layout.pointer(stage)) for stage in layout.STAGES
    }
    for stage, contents in visible.items():
        for data in contents:
            found += faults_of_pointer(store, stage, data)
    written: set[str] = set()
    served: dict[Stage, bytes] = {}
    for event in deployment.storage.outbox(BUCKET):
        name = str(event["name"])
        if not str(event["type"]).endswith(".finalized"):
            continue
        if name in written and name not in CHANGING:
            found.append(f"{name} was changed in place")
        written.add(name)
        for stage in layout.STAGES:
            if name == layout.pointer(stage):
                data = store.read(name, int(event["generation"])).data
                found += unready(data, stage, written)
                found += lost(served.get(stage), data, stage, written)
                served[stage] = data
    return found + faults_when_drained(store, script, visible)


def lost(before: bytes | None, data: bytes, stage: Stage, written: set[str]) -> list[str]:
    """The pointer that was replaced before the history held it. A confirmation replaces nothing."""
    if before is None or unmarked(before) == unmarked(data):
        return []
    pointer = unmarked(before)
    entry = layout.history(stage, pointer.promoted_at, pointer.run_id)
    return [] if entry in written else [f"{stage} lost {pointer.run_id} before the history held it"]


def unready(data: bytes, stage: Stage, written: set[str]) -> list[str]:
    """The files that a pointer needs and that were written after it."""
    pointer = decode(data, Pointer, layout.pointer(stage))
    needed = [layout.staged(stage, pointer.run_id, name) for name in (layout.MODEL, layout.GOLDEN, layout.MANIFEST)]
    return [f"{name} came after the pointer that needs it" for name in needed if name not in written]


def generations(deployment: Deployment, name: str) -> list[bytes]:
    """Every content that the object ever had, oldest first."""
    events = deployment.storage.outbox(BUCKET)
    finalized = [e for e in events if e["name"] == name and str(e["type"]).endswith(".finalized")]
    return [deployment.store.read(name, int(event["generation"])).data for event in finalized]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_faulty_network_changes_nothing_but_the_time_it_takes(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxies: list[FaultyProxy] = []

    def front(stack: ExitStack, url: str) -> str:
        proxies.append(stack.enter_context(faulty_proxy(url, seed, rate=RATE)))
        return proxies[0].url

    relay = ("--duplicates", "0.4", "--reorder", "1.5", "--min-backoff", "0.1", "--max-backoff", "1", f"--seed={seed}")
    with deployed(tmp_path, instances=2, relay=relay, front=front) as deployment:
        story = Story(deployment, seed)
        story.play()
        found = violations(deployment, story.script)
        counts = proxies[0].counts
    with capsys.disabled():
        faults = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS)
        sys.stdout.write(f"\n  seed {seed}: {counts['requests']:,} requests, violations: {len(found)}; {faults}\n")
    assert found == []
    assert sum(counts[kind] for kind in KINDS) > 10
