"""Objects that are deleted, replaced or swollen just before they are read, and clocks that jump: no function breaks.

Every function runs once with each of its reads disturbed. It ends in an orderly way, or raises what makes the platform
deliver again; and once the object is as it was, the next delivery does what is left: none stays broken.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.predict.live.counters import Counters
from functions.predict.predictor import Predictor
from functions.train.inputs import keep, read_inputs
from functions.train.lease import Force, Held, Lease, claim, forced_at
from shared import layout
from shared.clock import utc_now
from shared.codec import decode, encode
from shared.errors import InvalidDataset, ObjectTooLarge, TransientError
from shared.monitoring import LiveBlock
from shared.serving.loaded_model import load
from shared.store import MAX_BYTES, Download, Store
from tests.candidates import build, run_id
from tests.memory_store import MemoryStore
from tests.unit.batch.world import BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.promoted import FIRST, promote
from tests.unit.validate.world import World
from tests.unit.watch.world import World as WatchWorld
from tests.unit.watch.world import labelled, noise
from tests.unit.watch.world import rows as watched_rows
from tests.watched_store import WatchedStore

READS = ("read", "range", "copy")
LABELS = "labels/march.csv"
SPEC = f"gs://b/{layout.SPEC}"
CSV, PARQUET = as_csv(rows(60)), as_parquet(rows(60))


@dataclass(frozen=True)
class Trial:
    """A bucket, and what a function does over it: `act` is given the store that the function sees."""

    bucket: MemoryStore
    act: Callable[[Store], object]


def candidate() -> Trial:
    world = World()
    world.stage(1)
    name = world.publish(build(run_id(2)))
    generation = world.info(name).generation
    return Trial(world.bucket, lambda store: world.deliver(name, generation, store=store))


def marker() -> Trial:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    world.stage(2)
    generation = world.mark_copy(layout.pointer("staging"))
    return Trial(world.bucket, lambda store: world.deliver(layout.MARKER, generation, store=store))


def batch(name: str, data: bytes) -> Callable[[], Trial]:
    def made() -> Trial:
        world = BatchWorld()
        info = world.drop(name, data)
        return Trial(world.bucket, lambda store: world.deliver(info, store))

    return made


def watched(act: Callable[[WatchWorld], object]) -> Callable[[], Trial]:
    def made() -> Trial:
        world = WatchWorld()
        world.serve()
        world.ask(watched_rows(40))
        world.label(labelled(watched_rows(20, seed=5), noise(20)), "labels/earlier.csv")
        world.look()
        world.pass_days()
        data = labelled(watched_rows(30), noise(30))
        world.bucket.write(LABELS, data, if_generation=None, content_type="text/csv")

        def acted(store: Store) -> object:
            world.store = store
            return act(world)

        return Trial(world.bucket, acted)

    return made


def look() -> Trial:
    bucket = MemoryStore()
    promote(bucket, "production", FIRST)
    predictors: list[Predictor] = []

    def looked(store: Store) -> None:
        predictor = Predictor(store, "production", 15)
        predictors.append(predictor)
        predictor.look().result(timeout=30)
        assert predictor.current is not None or predictor.refresh.failure, "no model, and nobody is told why"

    return Trial(bucket, looked)


def training() -> Trial:
    bucket = MemoryStore()
    spec = b'name = "n"\nsource = "t.csv"\ntarget = "y"\n'
    bucket.write(layout.SPEC, spec, if_generation=None, content_type="application/toml")
    bucket.write("data/t.csv", b"x,y\n1,2\n", if_generation=None, content_type="text/csv")

    def read(store: Store) -> None:
        with suppress(InvalidDataset):  # what the service answers with 422
            keep(store, "b", SPEC, read_inputs(store, "b", SPEC))

    return Trial(bucket, read)


TRIALS: Mapping[str, Callable[[], Trial]] = {
    "validate: a candidate": candidate,
    "validate: a marker": marker,
    "batch: a CSV": batch("a.csv", CSV),
    "batch: a Parquet": batch("a.parquet", PARQUET),
    "watch: a day": watched(lambda world: world.look()),
    "watch: labels": watched(lambda world: world.deliver(LABELS)),
    "predict: a look": look,
    "train: its inputs": training,
}


class Swollen(WatchedStore):
    """One object is larger than anybody reads, as `Store.read` tells it."""

    name = ""

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        found = super().read(name, generation, max_bytes=max_bytes)
        if name == self.name:
            raise ObjectTooLarge(f"{name!r} has more than {max_bytes} bytes")
        return found


def deleted(bucket: MemoryStore, name: str) -> None:
    present = bucket.stat(name)
    if present is not None:
        bucket.delete(name, if_generation=present.generation)


def replaced(bucket: MemoryStore, name: str) -> None:
    data = bucket.read(name, max_bytes=MAX_BYTES).data
    bucket.write(name, data[::-1], if_generation=None, content_type="text/plain")


def swollen(_: MemoryStore, __: str) -> None:
    """`Swollen` does it."""


DISTURBANCES: Mapping[str, Callable[[MemoryStore, str], None]] = {
    "deleted": deleted,
    "replaced": replaced,
    "swollen": swollen,
}


def reads_of(make: Callable[[], Trial]) -> list[tuple[int, str]]:
    """The number and the object of each read of an undisturbed run."""
    trial = make()
    store = WatchedStore(trial.bucket)
    trial.act(store)
    there = {info.name for info in make().bucket.list("")}
    return [(n, name) for n, (kind, name) in enumerate(store.calls, 1) if kind in READS and name in there]


def disturbed(make: Callable[[], Trial], number: int, name: str, disturb: Callable[[MemoryStore, str], None]) -> None:
    """Run it with its `number`-th call disturbed, then twice more with everything as it was."""
    trial = make()
    before = trial.bucket.read(name, max_bytes=MAX_BYTES).data

    def before_call(found: int, _: str, __: str) -> None:
        if found == number:
            disturb(trial.bucket, name)
            store.name = name if disturb is swollen else ""

    store = Swollen(trial.bucket, before=before_call)
    with suppress(TransientError):
        trial.act(store)
    assert len(store.calls) >= number
    present = trial.bucket.stat(name)
    if present is None or trial.bucket.read(name, max_bytes=MAX_BYTES).data != before:
        trial.bucket.write(name, before, if_generation=None, content_type="text/plain")
    trial.act(trial.bucket)
    trial.act(trial.bucket)


@pytest.mark.parametrize("kind", DISTURBANCES)
@pytest.mark.parametrize("name", TRIALS)
def test_a_function_survives_an_object_that_is_not_what_it_was(name: str, kind: str) -> None:
    make = TRIALS[name]
    reads = reads_of(make)
    assert reads, "a function that reads nothing shows nothing"
    failed: dict[str, Any] = {}
    for number, key in reads:
        try:
            disturbed(make, number, key, DISTURBANCES[kind])
        except Exception as error:  # noqa: BLE001 - all of them are told together
            failed[f"call {number}, {key}"] = repr(error)
    assert failed == {}


def test_labels_that_cannot_be_scored_are_refused_with_the_reason_and_never_taken_for_gone() -> None:
    world = WatchWorld()
    world.serve()
    deleted(world.bucket, layout.staged("production", FIRST, layout.MANIFEST))
    lines = world.label(labelled(watched_rows(20), noise(20)))
    assert [line["reason"] for line in lines] == ["labels_refused"]
    assert "a file of the run that serves is gone" in world.files("labels/")["labels/march.rejected.json"].decode()


def test_a_damaged_stage_keeps_nobody_from_looking_at_the_other() -> None:
    world = WatchWorld()
    world.serve(stage="staging")
    world.serve()
    world.ask(watched_rows(40))
    deleted(world.bucket, layout.staged("staging", FIRST, layout.MANIFEST))
    world.pass_days()
    lines = world.look()
    assert [line["reason"] for line in lines] == ["looked", "integrity"]
    assert "a file of what staging serves is gone" in lines[-1]["message"]


@pytest.mark.parametrize("data", [b"", b"PAR1", as_parquet(rows(3))], ids=["empty", "cut", "another's"])
def test_what_is_no_ledger_is_told_and_the_labels_of_others_count(data: bytes) -> None:
    world = WatchWorld()
    world.serve()
    world.bucket.write(layout.ledger(7), data, if_generation=None, content_type="text/plain")
    lines = world.label(labelled(watched_rows(30), noise(30)))
    assert [line["reason"] for line in lines if line["severity"] == "ERROR"] == ["integrity"], "told once"
    assert "30 labelled rows taken in" in next(line["message"] for line in lines if line["reason"] == "labels")


# ---- clocks that jump ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jumps", [(0, -20, 0), (0, 365, -20), (-10, -20, 365)], ids=str)
def test_whatever_the_clock_says_the_history_tells_in_which_order_runs_served(jumps: tuple[int, int, int]) -> None:
    world = World()
    for minute, days in enumerate(jumps, 1):
        world.seconds = days * 86_400
        world.stage(minute)
        world.promote(layout.pointer("staging"))
    for stage in layout.STAGES:
        assert world.history(stage) == [run_id(1), run_id(2), run_id(3)]
        assert world.serving(stage) == run_id(3)


def test_a_lease_and_a_wish_of_a_clock_that_is_a_year_ahead_bind_nobody() -> None:
    bucket, later = MemoryStore(), utc_now() + timedelta(days=365)
    ahead = Lease(owner=layout.new_run_id(utc_now()), started_at=later, expires_at=later)
    bucket.write(layout.lease("f"), encode(ahead), if_generation=None, content_type="application/json")
    bucket.write(layout.FORCE, encode(Force(asked_at=later)), if_generation=None, content_type="application/json")
    assert isinstance(claim(bucket, "f", layout.new_run_id(utc_now()), 60.0), Held)
    assert forced_at(bucket) is None


def test_days_that_a_clock_made_are_looked_at_and_labelled_like_others() -> None:
    world = WatchWorld()
    world.serve()
    for day, jump in enumerate((1, 30, -29, -1)):
        world.ask(watched_rows(40, seed=day + 1))
        world.pass_days(jump)
        world.look()
        world.label(labelled(watched_rows(20, seed=day + 20), noise(20)), f"labels/{day}.csv")
    performance = world.files(layout.PERFORMANCE)
    assert len(performance) >= 2
    assert max(json.loads(data)["rows"] for data in performance.values()) == 80, "every label counts"


def test_answers_go_on_and_are_counted_whatever_the_clock_says() -> None:
    bucket = MemoryStore()
    promote(bucket, "production", FIRST)
    loaded = load(bucket, "production")
    moments = itertools.cycle([datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=days) for days in (0, 400, -400)])
    counters = Counters(bucket, "production", lambda: next(moments))
    for _ in range(4):
        read = loaded.schema.read_rows(watched_rows(10))
        counters.answered(0.0, 0.002, loaded, read, loaded.answers(read))
        counters.drain()
    blocks = [decode(bucket.read(info.name).data, LiveBlock, info.name) for info in bucket.list(layout.LIVE)]
    assert sum(block.rows for block in blocks) == 40
