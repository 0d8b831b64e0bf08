"""From pointer to verified model: swapping, keeping, being stale, and never remembering a failure."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from functions.predict import predictor as module
from functions.predict.main import STORAGE_DEADLINE
from functions.predict.predictor import Predictor
from functions.predict.settings import PredictSettings
from shared import layout
from shared.codec import encode
from shared.decisions import Pointer
from shared.documents import SCHEMA_VERSION
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, StorageUnavailable
from shared.profiles import Golden
from shared.serving.loaded_model import LoadedModel, NothingPromoted, load
from shared.store import MAX_BYTES, Download
from shared.stored import most_bytes
from tests.memory_store import MemoryStore
from tests.unit.predict.client import log_records
from tests.unit.predict.promoted import (
    EXPECTED,
    FIRST,
    ROW,
    SECOND,
    by_hand,
    golden_rows,
    graph,
    promote,
    write_pointer,
)

HELD_BACK = 30.0
"""Seconds that a read which is held back takes at most: far longer than anything else here."""


class FlakyStore(MemoryStore):
    """A memory store whose reads can fail or be held back, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        self.reads.append(name)
        assert self.gate.wait(HELD_BACK)
        if self.fault is not None:
            raise self.fault
        return super().read(name, generation, max_bytes=max_bytes)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def predictor(store: FlakyStore, clock: Clock) -> Predictor:
    return Predictor(store, "staging", 15, clock=clock)


@pytest.fixture
def serving(store: FlakyStore, predictor: Predictor) -> Predictor:
    """A predictor that has loaded a model and answered with it."""
    promote(store)
    ask(predictor)
    return predictor


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as found:
        yield found


def ask(predictor: Predictor) -> LoadedModel | None:
    return asyncio.run(predictor.model())


def settle(predictor: Predictor) -> None:
    """Wait for the look that is under way, or start one and wait for it."""
    predictor.look().result(timeout=30)


def predicted(loaded: LoadedModel | None) -> float:
    assert loaded is not None
    (answer,) = loaded.answers(loaded.schema.read_row(ROW))
    return answer.prediction


def run_id(loaded: LoadedModel | None) -> str | None:
    return loaded.manifest.run_id if loaded else None


def test_the_first_request_loads_the_model_and_predicts_with_it(store: FlakyStore, predictor: Predictor) -> None:
    promote(store)
    assert predicted(ask(predictor)) == EXPECTED == by_hand({**ROW})


def test_only_the_files_that_serving_needs_are_fetched(store: FlakyStore, serving: Predictor) -> None:
    folder = layout.staged("staging", FIRST)
    names = [layout.MANIFEST, layout.MODEL, layout.GOLDEN, layout.PROFILE, layout.BACKGROUND, layout.CARD]
    assert store.reads == [layout.pointer("staging"), *(folder + name for name in names)]


def test_no_look_is_made_while_the_last_one_is_fresh(store: FlakyStore, serving: Predictor, clock: Clock) -> None:
    seen = len(store.reads)
    clock.now += 14.9
    ask(serving)
    assert len(store.reads) == seen


def test_a_due_look_happens_in_the_background_and_the_model_in_hand_answers(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    promote(store, run_id=SECOND, base=70.0)
    clock.now += 15
    store.gate.clear()
    assert [run_id(ask(serving)) for _ in range(3)] == [FIRST] * 3  # three requests, one look, none waits
    assert store.reads.count(layout.pointer("staging")) == 2
    store.gate.set()
    settle_current(serving)
    assert (run_id(serving.current), predicted(serving.current)) == (SECOND, EXPECTED + 10)


def settle_current(predictor: Predictor) -> None:
    """Wait for the look that is under way, without starting another."""
    assert predictor._look is not None
    predictor._look.result(timeout=30)


def test_a_pointer_that_has_not_moved_costs_one_read(store: FlakyStore, predictor: Predictor) -> None:
    promote(store)
    first = ask(predictor)
    seen = len(store.reads)
    settle(predictor)
    assert (len(store.reads) - seen, predictor.current) == (1, first)


def test_a_pointer_rewritten_for_the_same_run_does_not_fetch_the_model_again(
    store: FlakyStore, predictor: Predictor
) -> None:
    pointer = promote(store)
    first = ask(predictor)
    write_pointer(store, "staging", msgspec.structs.replace(pointer, marker_generation=7))
    seen = len(store.reads)
    settle(predictor)
    assert first is not None
    assert predictor.current is not None
    assert len(store.reads) - seen == 1
    assert predictor.current.model is first.model
    assert predictor.current.pointer.marker_generation == 7


def test_an_older_run_is_served_again_after_a_rollback(store: FlakyStore, predictor: Predictor) -> None:
    old = promote(store)
    promote(store, run_id=SECOND, base=70.0)
    assert run_id(ask(predictor)) == SECOND
    write_pointer(store, "staging", old)
    settle(predictor)
    assert (run_id(predictor.current), predicted(predictor.current)) == (FIRST, EXPECTED)


def test_production_reads_production_only(store: FlakyStore) -> None:
    promote(store, "staging")
    promote(store, "production", SECOND, base=70.0)
    assert run_id(ask(Predictor(store, "production", 15))) == SECOND
    assert all(name.startswith("production/") for name in store.reads)


NEWER_VERSION = {layout.MANIFEST: b'{"schema_version": %d}' % (SCHEMA_VERSION + 1)}
WRONG_GOLDEN = encode(Golden(rows=golden_rows(), predictions=tuple(by_hand(row) + 1 for row in golden_rows())))
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("a manifest that is not the pointer's", {"corrupt": NEWER_VERSION}, "integrity"),
    ("a graph that differs", {"corrupt": {layout.MODEL: graph(61.0)}}, "integrity"),
    ("golden rows that differ", {"corrupt": {layout.GOLDEN: WRONG_GOLDEN}}, "integrity"),
    ("a profile that differs", {"corrupt": {layout.PROFILE: b"{}"}}, "integrity"),
    ("a manifest that promises no files", {"promised": {}}, "integrity"),
    ("a manifest of a newer version", {"schema_version": SCHEMA_VERSION + 1}, "invalid_document"),
    ("a manifest of another run", {"run_id_in_manifest": FIRST}, "integrity"),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_does_not_verify_never_serves_and_the_model_in_hand_stays(
    store: FlakyStore, serving: Predictor, changes: dict[str, Any], reason: str
) -> None:
    promote(store, run_id=SECOND, base=70.0, **changes)
    settle(serving)
    assert (run_id(serving.current), predicted(serving.current)) == (FIRST, EXPECTED)
    assert serving.refresh.failure == reason


def test_a_model_that_does_not_reproduce_its_golden_rows_is_refused_though_its_digests_agree(
    store: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.predict.promoted.by_hand", lambda row, base: by_hand(row, base) + 0.01)
    promote(store)
    with pytest.raises(IntegrityError, match="golden predictions differ"):
        load(store, "staging")


def test_a_pointer_that_names_another_run_for_the_manifest_in_hand_is_refused(
    store: FlakyStore, predictor: Predictor
) -> None:
    pointer = promote(store)
    ask(predictor)
    manifest = store.read(layout.staged("staging", FIRST, layout.MANIFEST)).data
    key = layout.staged("staging", SECOND, layout.MANIFEST)
    store.write(key, manifest, if_generation=None, content_type="application/json")
    write_pointer(store, "staging", msgspec.structs.replace(pointer, run_id=SECOND))
    settle(predictor)
    assert (predictor.refresh.failure, predictor.current and predictor.current.pointer) == ("integrity", pointer)


def test_a_look_whose_thread_cannot_start_is_made_up_for(
    store: FlakyStore, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse_to_start)
        with pytest.raises(RuntimeError):
            predictor.look()
    assert run_id(ask(predictor)) == FIRST


def refuse_to_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_pointer_of_the_other_stage_is_refused(store: FlakyStore) -> None:
    write_pointer(store, "staging", promote(store, "production"))
    with pytest.raises(IntegrityError, match="'production', expected one of 'staging'"):
        load(store, "staging")


def test_a_pointer_that_is_no_json_is_refused(store: FlakyStore) -> None:
    store.write(layout.pointer("staging"), b"{", if_generation=None, content_type="application/json")
    with pytest.raises(InvalidDocument, match=layout.pointer("staging")):
        load(store, "staging")


def test_a_missing_file_is_told_apart_from_a_stage_without_a_pointer(store: FlakyStore) -> None:
    with pytest.raises(NothingPromoted):
        load(store, "staging")
    pointer = promote(store)
    present = store.stat(layout.staged("staging", pointer.run_id, layout.MODEL))
    assert present is not None
    store.delete(present.name, if_generation=present.generation)
    with pytest.raises(ObjectMissing, match=present.name) as caught:
        load(store, "staging")
    assert not isinstance(caught.value, NothingPromoted)


@pytest.mark.parametrize("fault", [StorageUnavailable("503"), ObjectMissing("gone"), RuntimeError("a bug of ours")])
def test_whatever_fails_keeps_the_model_and_the_next_success_ends_the_staleness(
    store: FlakyStore, serving: Predictor, fault: Exception
) -> None:
    store.fault = fault
    settle(serving)
    assert (run_id(serving.current), bool(serving.refresh.failure)) == (FIRST, True)
    succeeded = serving.refresh.succeeded_at
    assert succeeded is not None
    store.fault = None
    settle(serving)
    assert serving.refresh.failure is None
    assert serving.refresh.succeeded_at is not None
    assert serving.refresh.succeeded_at > succeeded


def test_a_pointer_of_any_size_takes_no_memory_and_says_so_once(
    store: FlakyStore, records: list[logging.LogRecord], serving: Predictor
) -> None:
    data, said = b" " * (most_bytes(Pointer) + 1), len(records)
    store.write(layout.pointer("staging"), data, if_generation=None, content_type="application/json")
    for _ in range(3):
        settle(serving)
        assert run_id(serving.current) == FIRST
    assert [record.getMessage() for record in records[said:]] == [
        "the pointer cannot be followed: 'staging/current.json' has more than 262144 bytes: not a Pointer"
    ]
    write_pointer(store, "staging", promote(store, run_id=SECOND))
    settle(serving)
    assert run_id(serving.current) == SECOND


def test_a_failure_before_the_first_model_is_never_remembered(store: FlakyStore, predictor: Predictor) -> None:
    assert ask(predictor) is None
    store.fault = StorageUnavailable("503")
    assert ask(predictor) is None
    store.fault = None
    promote(store)
    assert run_id(ask(predictor)) == FIRST  # at once: no time has passed on the clock


def test_looks_that_fail_back_off_up_to_half_a_minute_and_success_ends_that(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    store.fault = StorageUnavailable("503")
    waits = []
    for _ in range(5):
        settle(serving)
        waits.append(serving._due - clock.now)
    assert waits == [25, 25, 25, 25, 25], "storage that is well again is seen within half a minute"
    store.fault = None
    settle(serving)
    assert serving._due - clock.now == 15


def test_a_success_that_is_long_ago_is_stale_before_the_next_look_has_ended(serving: Predictor, clock: Clock) -> None:
    clock.now += 45
    assert serving.refresh.failure is None
    clock.now += 1
    found = serving.refresh
    assert (found.failure, found.detail) == (
        "look_overdue",
        "the last look at the pointer that succeeded is 46 s old",
    )
    settle(serving)
    assert serving.refresh.failure is None


def test_a_look_that_fails_after_long_is_followed_by_the_next_without_a_long_pause(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    store.fault = StorageUnavailable("it did not finish within 20 s")
    store.gate.clear()
    for seconds, pause in ((20, 5.0), (28, 1.0)):
        look = serving.look()
        clock.now += seconds
        store.gate.set()
        look.result(timeout=30)
        store.gate.clear()
        assert serving._due - clock.now == pause
    store.gate.set()


def test_stale_is_told_within_a_minute_and_its_end_within_half_of_one() -> None:
    """What the settings of production add up to; `test_dripping_storage` tries the parts."""
    refresh = PredictSettings.from_env({"BUCKET": "b", "MEMORY_MIB": "1024"}).refresh_seconds
    last_look_fails = refresh + STORAGE_DEADLINE
    assert min(last_look_fails, refresh + module.LONGEST_LOOK) <= 60
    assert max(module.LONGEST_BACK_OFF, STORAGE_DEADLINE + module.LEAST_PAUSE) <= 30


def test_requests_during_an_outage_do_not_look_before_the_back_off_ends(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    store.fault = StorageUnavailable("503")
    settle(serving)
    seen = len(store.reads)
    clock.now += 24
    ask(serving)
    assert len(store.reads) == seen
    clock.now += 1
    ask(serving)
    settle_current(serving)
    assert len(store.reads) == seen + 1


def test_a_lasting_failure_is_logged_once_and_its_end_too(
    store: FlakyStore, records: list[logging.LogRecord], serving: Predictor
) -> None:
    store.fault = StorageUnavailable("503")
    for _ in range(3):
        settle(serving)
    store.fault = None
    settle(serving)
    settle(serving)
    assert [(record.levelname, record.getMessage()) for record in records] == [
        ("INFO", "model loaded"),
        ("ERROR", "the pointer cannot be followed: 503"),
        ("INFO", "the pointer can be followed again"),
    ]


def test_a_stage_that_awaits_its_first_promotion_is_no_error(
    store: FlakyStore, predictor: Predictor, records: list[logging.LogRecord]
) -> None:
    for _ in range(3):
        assert ask(predictor) is None
    assert [record.levelname for record in records] == ["INFO"]


def test_a_bug_is_logged_by_type_since_its_text_could_hold_anything(
    store: FlakyStore, predictor: Predictor, records: list[logging.LogRecord]
) -> None:
    store.fault = ValueError("secret")
    ask(predictor)
    assert "ValueError" in records[0].getMessage()
    assert "secret" not in records[0].getMessage()


def test_many_first_requests_share_one_look(store: FlakyStore, predictor: Predictor) -> None:
    promote(store)
    store.gate.clear()

    async def burst() -> list[LoadedModel | None]:
        tasks = [asyncio.create_task(predictor.model()) for _ in range(20)]
        await asyncio.sleep(0.05)
        store.gate.set()
        return list(await asyncio.gather(*tasks))

    found = asyncio.run(burst())
    assert {run_id(loaded) for loaded in found} == {FIRST}
    assert store.reads.count(layout.pointer("staging")) == 1


def test_a_request_does_not_wait_for_ever_for_the_first_model_and_its_look_goes_on(
    store: FlakyStore, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_MODEL_WAIT", 0.05)
    promote(store)
    store.gate.clear()
    assert ask(predictor) is None
    store.gate.set()
    settle_current(predictor)
    assert run_id(predictor.current) == FIRST


def test_a_request_that_is_given_up_does_not_cancel_the_look_of_the_others(
    store: FlakyStore, predictor: Predictor
) -> None:
    promote(store)
    store.gate.clear()

    async def give_up() -> LoadedModel | None:
        first = asyncio.create_task(predictor.model())
        second = asyncio.create_task(predictor.model())
        await asyncio.sleep(0.05)
        first.cancel()
        store.gate.set()
        return await second

    assert run_id(asyncio.run(give_up())) == FIRST


def test_requests_during_swaps_see_one_model_each_never_a_mixture(store: FlakyStore, predictor: Predictor) -> None:
    pointers = {FIRST: promote(store), SECOND: promote(store, run_id=SECOND, base=70.0)}
    ask(predictor)
    wrong: list[tuple[str, float]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            loaded = predictor.current
            assert loaded is not None
            expected = {FIRST: EXPECTED, SECOND: EXPECTED + 10}[loaded.manifest.run_id]
            if predicted(loaded) != expected or loaded.pointer.run_id != loaded.manifest.run_id:
                wrong.append((loaded.manifest.run_id, predicted(loaded)))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        write_pointer(store, "staging", pointers[(FIRST, SECOND)[turn % 2]])
        settle(predictor)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_loaded_model_cannot_be_changed(store: FlakyStore, predictor: Predictor) -> None:
    promote(store)
    loaded = ask(predictor)
    assert loaded is not None
    with pytest.raises(AttributeError):
        loaded.pointer_generation = 3  # type: ignore[misc]
    assert replace(loaded) == loaded


def test_the_first_model_is_told_once_and_before_it_answers(store: FlakyStore) -> None:
    told: list[LoadedModel | None] = []
    first = Predictor(store, "staging", 15, on_first_model=lambda: told.append(first.current))
    settle(first)
    assert told == []  # nothing is promoted
    promote(store)
    settle(first)
    promote(store, run_id=SECOND)
    settle(first)
    assert told == [None]


def test_a_look_that_does_not_end_is_told_once_and_the_model_in_hand_goes_on(
    store: FlakyStore,
    records: list[logging.LogRecord],
    serving: Predictor,
    clock: Clock,
) -> None:
    clock.now += 16
    store.gate.clear()
    ask(serving)
    assert serving.refresh.failure is None
    clock.now += 31
    for _ in range(3):
        assert run_id(ask(serving)) == FIRST
    assert serving.refresh.failure == "look_hangs"
    assert [record.levelname for record in records if "does not end" in record.getMessage()] == ["ERROR"]
    store.gate.set()
    settle(serving)
    assert serving.refresh.failure is None


# ---- after a pause ---------------------------------------------------------------------------------------------------


def test_the_first_answer_after_a_pause_is_of_what_is_promoted_by_then(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    """Nobody asked while production was rolled back: the withdrawn model gives no more answers."""
    promote(store, run_id=SECOND)
    clock.now += 3600
    assert run_id(ask(serving)) == SECOND


def test_all_requests_of_the_moment_after_a_pause_wait_for_the_one_look(
    store: FlakyStore, serving: Predictor, clock: Clock
) -> None:
    promote(store, run_id=SECOND)
    clock.now += 3600
    looks = store.reads.count(layout.pointer("staging"))

    async def together() -> list[LoadedModel | None]:
        return await asyncio.gather(*(serving.model() for _ in range(5)))

    assert {run_id(found) for found in asyncio.run(together())} == {SECOND}
    assert store.reads.count(layout.pointer("staging")) == looks + 1


def test_a_storage_that_does_not_answer_delays_a_request_after_a_pause_by_a_moment_only(
    store: FlakyStore, serving: Predictor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now += 3600
    store.gate.clear()
    began = time.monotonic()
    assert run_id(ask(serving)) == FIRST
    assert module.AFTER_PAUSE_WAIT <= time.monotonic() - began < HELD_BACK / 2
    monkeypatch.setattr(module, "AFTER_PAUSE_WAIT", HELD_BACK)
    began = time.monotonic()
    assert run_id(ask(serving)) == FIRST  # the next one does not wait: the look has had its moment
    assert time.monotonic() - began < HELD_BACK / 2
    store.gate.set()
    settle(serving)


def test_under_traffic_nobody_waits_for_a_look(
    store: FlakyStore, predictor: Predictor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AFTER_PAUSE_WAIT", HELD_BACK)
    promote(store)
    ask(predictor)
    for _ in range(2):
        clock.now += 10  # asked every ten seconds, a look every fifteen
        store.gate.clear()
        began = time.monotonic()
        assert run_id(ask(predictor)) == FIRST
        assert time.monotonic() - began < HELD_BACK / 2
        store.gate.set()
        if predictor._look is not None:
            predictor._look.result(timeout=30)


def test_a_model_that_the_memory_has_no_room_for_is_not_loaded_and_the_one_in_hand_goes_on(
    store: FlakyStore, clock: Clock
) -> None:
    promote(store)
    size = store.stat(layout.staged("staging", FIRST, layout.MODEL))
    assert size is not None
    small = Predictor(store, "staging", 15, clock=clock, most_graph_bytes=size.size)
    assert run_id(ask(small)) == FIRST
    promote(store, run_id=SECOND)
    small._most_graph_bytes = size.size - 1
    clock.now += 16
    settle(small)
    assert (run_id(small.current), small.refresh.failure) == (FIRST, "too_large")
    assert "predict_memory_mib" in str(small.refresh.detail)
