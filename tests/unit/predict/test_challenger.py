"""Two runs in one service: who answers, that one unit keeps its arm, and what happens where the challenger fails."""

import itertools
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from functions.predict.challenger import Challenger, share_of
from functions.predict.live.counters import Counters
from functions.predict.live.shadow import MOST_ROWS
from functions.predict.predictor import Predictor
from shared import challenges, layout
from shared.codec import decode, digest, encode
from shared.decisions import Mode, Pointer
from shared.model_runtime import Model
from shared.monitoring import DIFFERENCES, LiveBlock, ShadowCounts
from shared.store import Store
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client, codes, log_records
from tests.unit.predict.promoted import FIRST, ROW, SECOND, by_hand, challenge_of, promote, run_files, write_pointer

NOW = datetime.now(UTC)
OTHER_LEVEL = 50.0


def tried(
    mode: Mode = "canary", percent: float = 10.0, *, days: float = 14.0, champion: str = FIRST, **files: Any
) -> MemoryStore:
    """FIRST serves in production, and SECOND, of another level, is tried beside it."""
    store = MemoryStore()
    second = promote(store, "production", SECOND, base=OTHER_LEVEL, **files)
    promote(store, "production", FIRST)
    write_challenge(store, second, mode, percent, days, champion)
    return store


def write_challenge(
    store: Store, second: Pointer, mode: Mode, percent: float, days: float = 14.0, champion: str = FIRST
) -> None:
    challenge = challenge_of(
        second, NOW - timedelta(days=1), days, champion_run_id=champion, mode=mode, percent=percent
    )
    store.write(layout.CHALLENGER, encode(challenge), if_generation=None, content_type="application/json")


def client(store: MemoryStore) -> Client:
    """A client whose first look is done, the challenger's included."""
    made = Client(store, "production")
    assert made.get("/ready").status_code == 200
    made.predictor.look().result(10)
    return made


def ask(asked: Client, *, unit: str | None = None, run: str | None = None, **changes: Any) -> httpx.Response:
    headers = {**JSON, **({"X-Unit": unit} if unit is not None else {})}
    path = "/predict" if run is None else f"/predict?run={run}"
    return asked.post(path, json.dumps({**ROW, **changes}), headers)


def model(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()["model"]
    return found


def test_a_canary_answers_its_share_and_a_unit_keeps_its_arm() -> None:
    asked = client(tried(percent=30))
    arms = {unit: model(ask(asked, unit=unit))["arm"] for unit in map(str, range(200))}
    assert 35 <= Counter(arms.values())["challenger"] <= 85
    again = client(tried(percent=30))
    assert all(model(ask(again, unit=unit))["arm"] == arm for unit, arm in list(arms.items())[:60])


def test_the_answer_is_that_of_the_run_which_it_names() -> None:
    asked = client(tried(percent=50))
    prediction = {
        model(answer)["run_id"]: answer.json()["prediction"] for answer in (ask(asked, unit=str(n)) for n in range(40))
    }
    assert set(prediction) == {FIRST, SECOND}
    assert prediction[SECOND] != prediction[FIRST]
    assert {run: ask(asked, run=run).json()["prediction"] for run in (FIRST, SECOND)} == prediction


def test_ten_percent_are_ten_percent() -> None:
    """100,000 units, as the issue's figure asks."""
    chosen = sum(share_of("salt", str(number).encode()) < 1000 for number in range(100_000))
    assert abs(chosen / 1000 - 10) <= 0.3


def test_without_a_unit_the_row_itself_keeps_its_arm_however_it_is_spelt() -> None:
    asked = client(tried(percent=50))
    plain = model(ask(asked))
    spelt = {key: value.upper() if isinstance(value, str) else value for key, value in reversed(list(ROW.items()))}
    assert model(asked.post("/predict", json.dumps(spelt))) == plain


@pytest.mark.parametrize("purpose", ["page", "what-if", "smoke"])
def test_what_has_a_purpose_of_its_own_is_answered_by_the_champion(purpose: str) -> None:
    """The page describes the champion, and would take another run's answer for that of a new model."""
    asked = client(tried(percent=100))
    answer = asked.post("/predict", json.dumps(ROW), {**JSON, "X-Purpose": purpose})
    assert model(answer) == {"run_id": FIRST, "arm": "champion"}


def test_a_shadow_answers_nobody() -> None:
    asked = client(tried("shadow", 0.0))
    assert {json.dumps(model(ask(asked, unit=str(number)))) for number in range(50)} == {json.dumps({"run_id": FIRST})}
    assert model(ask(asked, run=SECOND)) == {"run_id": SECOND, "arm": "challenger"}


def test_beside_a_shadow_rows_are_answered_from_memory_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers nobody must not take the quick way from anybody."""
    asked, runs, run = client(tried("shadow", 0.0)), list[int](), Model.run

    def counted(self: Model, *inputs: Any) -> Any:
        runs.append(len(inputs[0]))
        return run(self, *inputs)

    monkeypatch.setattr(Model, "run", counted)
    for _ in range(5):
        assert model(ask(asked)) == {"run_id": FIRST}
    assert runs == [1]


def test_a_batch_is_answered_by_one_run() -> None:
    asked = client(tried(percent=50))
    body = json.dumps({"instances": [ROW] * 3})
    answers = [asked.post("/predict_batch", body, {**JSON, "X-Unit": str(number)}) for number in range(20)]
    assert {model(answer)["arm"] for answer in answers} == {"champion", "challenger"}
    table = asked.post(f"/predict_batch?run={SECOND}", ",".join(ROW) + "\n" + ",".join(map(str, ROW.values())), CSV)
    assert table.json()["model"] == {"run_id": SECOND, "arm": "challenger"}


def test_a_run_that_is_not_here_is_named_with_those_that_are() -> None:
    answer = ask(client(tried()), run="20200101T000000Z-00000000")
    assert answer.status_code == 404
    assert FIRST in answer.json()["detail"]
    assert SECOND in answer.json()["detail"]


def failing(challenger: Challenger, monkeypatch: pytest.MonkeyPatch, rows: Any) -> None:
    """Let the challenger's graph give `rows` instead of numbers, or raise where that is an error."""
    theirs, run = challenger.run.model, Model.run

    def broken(self: Model, *inputs: Any) -> Any:
        if self is not theirs:
            return run(self, *inputs)
        if isinstance(rows, Exception):
            raise rows
        return np.full(len(inputs[0]), rows)

    monkeypatch.setattr(Model, "run", broken)


@pytest.mark.parametrize("fault", [RuntimeError("no such kernel"), float("nan"), float("inf")], ids=str)
def test_where_the_challenger_fails_the_champion_answers_and_it_is_counted(
    fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tried(percent=100)
    asked = client(store)
    held = asked.predictor.challengers.against(asked.predictor.current or pytest.fail("no model"))
    assert held is not None
    failing(held, monkeypatch, fault)
    with log_records() as records:
        answers = [ask(asked, unit=str(number)) for number in range(20)]
    assert {model(answer)["run_id"] for answer in answers} == {FIRST}
    assert held.faults == 20
    assert [record.levelname for record in records] == ["ERROR"]
    assert ask(asked, run=SECOND).status_code == 503
    assert asked.get("/meta").json()["challenger"]["faults"] == 21


def test_the_champion_decides_what_is_refused() -> None:
    asked = client(tried(percent=100))
    answer = ask(asked, gender="martian")
    assert answer.status_code == 422
    held = asked.predictor.challengers.against(asked.predictor.current or pytest.fail("no model"))
    assert held is not None
    assert held.faults == 0


@pytest.mark.parametrize("broken", ["its days are over", "of another champion", "ended", "gone"])
def test_what_is_not_in_force_answers_nobody(broken: str) -> None:
    days = 0.5 if broken == "its days are over" else 14.0
    store = tried(percent=100, days=days, champion=SECOND if broken == "of another champion" else FIRST)
    if broken == "gone":
        store.delete(layout.CHALLENGER, if_generation=challenges.read_current(store).generation)
    if broken == "ended":
        current = challenges.read_current(store)
        assert current.challenge is not None
        over = challenges.why_over(current.challenge, "nobody", NOW)
        assert over is not None
        assert challenges.end(store, current, over)
    asked = client(store)
    assert model(ask(asked)) == {"run_id": FIRST}
    assert ask(asked, run=SECOND).status_code == 404
    assert "challenger" not in asked.get("/meta").json()


def test_a_challenger_that_cannot_be_loaded_is_reported_once_and_nobody_waits_for_it() -> None:
    store = tried(percent=100, corrupt={layout.MODEL: b"no graph"})
    with log_records() as records:
        asked = client(store)
        asked.predictor.look().result(10)
    errors = [record.getMessage() for record in records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "the challenger cannot be tried" in errors[0]
    assert model(ask(asked)) == {"run_id": FIRST}


def test_another_champion_ends_it_at_the_next_look_and_so_does_a_rollback_to_it() -> None:
    store = tried(percent=100)
    asked = client(store)
    assert model(ask(asked))["run_id"] == SECOND
    third = promote(store, "production", "20260107T070000Z-0123abcd", base=40.0)
    asked.predictor.look().result(10)
    assert model(ask(asked)) == {"run_id": third.run_id}
    first = promote(store, "production", FIRST)
    write_pointer(store, "production", first)
    asked.predictor.look().result(10)
    assert model(ask(asked))["run_id"] == SECOND


def test_staging_tries_nothing() -> None:
    store = MemoryStore()
    promote(store, "staging", FIRST)
    write_challenge(store, promote(store, "production", SECOND), "canary", 100)
    predictor = Predictor(store, "staging", 3600)
    predictor.look().result(10)
    assert predictor.current is not None
    assert predictor.challengers.against(predictor.current) is None


def test_the_digest_in_the_challenge_is_that_of_the_manifest() -> None:
    store = tried()
    current = challenges.read_current(store).challenge
    assert current is not None
    manifest = store.read(layout.staged("production", SECOND, layout.MANIFEST)).data
    assert current.manifest_sha256 == digest(manifest).sha256


def test_meta_says_what_is_tried() -> None:
    found = client(tried(percent=12.5)).get("/meta").json()["challenger"]
    assert (found["run_id"], found["mode"], found["percent"], found["faults"]) == (SECOND, "canary", 12.5, 0)


def test_a_unit_has_its_limit() -> None:
    assert ask(client(tried()), unit="x" * 257).status_code == 422


def counting(store: MemoryStore) -> Client:
    """A client whose service counts, as the deployed one does."""
    made: list[Client] = []
    counters = Counters(store, "production", tried=lambda: made[0].predictor.challengers.held)
    made.append(Client(store, "production", counters=counters))
    assert made[0].get("/ready").status_code == 200
    made[0].predictor.look().result(10)
    return made[0]


def blocks(store: MemoryStore, run_id: str) -> list[LiveBlock]:
    found = store.list(layout.live_folder("production", run_id))
    return [decode(store.read(info.name).data, LiveBlock, info.name) for info in found]


def test_a_shadow_is_run_on_the_rows_of_the_champion_after_the_fact() -> None:
    store = tried("shadow", 0.0)
    asked = counting(store)
    for _ in range(30):
        ask(asked)
    asked.post("/predict_batch", json.dumps([ROW] * 12), JSON)
    asked.counters.drain()
    [theirs], [ours] = blocks(store, SECOND), blocks(store, FIRST)
    assert ours.rows == 42
    assert theirs.rows == 0
    assert theirs.shadow is not None
    assert (theirs.shadow.rows, theirs.shadow.faults) == (42, 0)
    apart = 10.0 / 21.5  # the level of SECOND is 10 lower; the interval reaches from -22 to 21
    assert theirs.shadow.differences[int(np.searchsorted(DIFFERENCES, apart))] == 42


def test_a_shadow_predicts_a_row_once_and_counts_it_each_time_that_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    store = tried("shadow", 0.0)
    asked, runs, run = counting(store), list[int](), Model.run

    def counted(self: Model, *inputs: Any) -> Any:
        runs.append(len(inputs[0]))
        return run(self, *inputs)

    monkeypatch.setattr(Model, "run", counted)
    for times in (3, 4):
        for _ in range(times):
            ask(asked)
        asked.counters.drain()
    assert runs == [1, 1], "one by the champion and one by its shadow"
    assert sorted(found.shadow.rows for found in blocks(store, SECOND) if found.shadow) == [3, 4]


def test_a_row_on_which_a_shadow_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = tried("shadow", 0.0)
    asked = counting(store)
    challenger = asked.predictor.challengers.held
    assert challenger is not None
    fails, run = [True], Model.run

    def failing(self: Model, *inputs: Any) -> Any:
        if self is challenger.run.model and fails.pop():
            raise RuntimeError
        return run(self, *inputs)

    monkeypatch.setattr(Model, "run", failing)
    ask(asked)
    asked.counters.drain()
    fails.append(False)
    ask(asked)
    asked.counters.drain()
    shadows = [found.shadow for found in blocks(store, SECOND) if found.shadow]
    assert sorted((shadow.rows, shadow.faults) for shadow in shadows) == [(1, 0), (1, 1)]


def test_a_shadow_gives_way_to_callers_after_every_few_rows_but_not_when_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is run where callers may want the core; an instance that ends has seconds to write what it counted."""
    pauses, rows = list[float](), list[int]()
    monkeypatch.setattr("functions.predict.live.counters.sleep", pauses.append)
    asked, run = counting(tried("shadow", 0.0)), Model.run

    def counted(self: Model, *inputs: Any) -> Any:
        rows.append(len(inputs[0]))
        return run(self, *inputs)

    for ending in (False, True):
        asked.post("/predict_batch", json.dumps([ROW] * (2 * MOST_ROWS + 1)), JSON)
        asked.counters.ending = ending
        monkeypatch.setattr(Model, "run", counted)
        asked.counters.drain()
        monkeypatch.setattr(Model, "run", run)
    assert rows == [MOST_ROWS, MOST_ROWS, 1] * 2
    assert len(pauses) == 3


@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_what_a_challenger_fails_on_is_counted_for_the_judge(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tried(mode, 100.0 if mode == "canary" else 0.0)
    asked = counting(store)
    held = asked.predictor.challengers.held
    assert held is not None
    failing(held, monkeypatch, RuntimeError("no such kernel"))
    assert {model(ask(asked, unit=str(number)))["run_id"] for number in range(20)} == {FIRST}
    asked.counters.drain()
    [theirs], [ours] = blocks(store, SECOND), blocks(store, FIRST)
    assert ours.rows == 20
    shadow = theirs.shadow or ShadowCounts()
    assert (theirs.answers.get("fault", 0), shadow.faults) == ((20, 0) if mode == "canary" else (0, 20))


def explained(asked: Client, sent: Any, *, unit: str | None = None, run: str | None = None, **headers: str) -> Any:
    path = "/explain" if run is None else f"/explain?run={run}"
    own = {"X-Unit": unit} if unit is not None else {}
    return asked.post(path, json.dumps(sent), {**JSON, **own, **headers})


def test_the_run_that_predicts_a_row_explains_it() -> None:
    asked = client(tried(percent=50))
    for unit in [*map(str, range(20)), None]:
        said = ask(asked, unit=unit).json()
        told = explained(asked, ROW, unit=unit).json()
        assert told["model"] == said["model"]
        assert told["prediction"] == said["prediction"]
        assert told["base"] + sum(one["effect"] for one in told["contributions"]) == pytest.approx(said["prediction"])
    arms = {model(explained(asked, ROW, unit=str(number)))["arm"] for number in range(20)}
    assert arms == {"champion", "challenger"}


def test_rows_are_explained_by_the_run_that_predicts_the_same_body() -> None:
    asked = client(tried(percent=50))
    for rows in ([ROW], [ROW] * 2, [ROW] * 3, {"instances": [ROW] * 4}):
        said = asked.post("/predict_batch", json.dumps(rows)).json()
        told = explained(asked, rows).json()
        assert told["model"] == said["model"]
        assert [one["prediction"] for one in told["explanations"]] == [one["prediction"] for one in said["predictions"]]


def test_either_run_explains_where_it_is_asked_by_name_and_no_other_one() -> None:
    asked = client(tried("shadow", 0.0))
    assert model(explained(asked, ROW)) == {"run_id": FIRST}
    for run, arm in ((FIRST, "champion"), (SECOND, "challenger")):
        told = explained(asked, ROW, run=run).json()
        assert told["model"] == {"run_id": run, "arm": arm}
        assert told["prediction"] == ask(asked, run=run).json()["prediction"]
    assert explained(asked, ROW, run="20200101T000000Z-00000000").status_code == 404


def test_what_the_page_asks_is_explained_by_the_champion() -> None:
    told = explained(client(tried(percent=100)), ROW, **{"X-Purpose": "what-if"})
    assert model(told) == {"run_id": FIRST, "arm": "champion"}


@pytest.mark.parametrize("path", ["/explain", "/predict_batch?explain=2"])
def test_where_the_challenger_cannot_explain_the_champion_does(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number beside its own effects, and named: nothing of two runs is mixed."""
    asked = client(tried(percent=100))
    held = asked.predictor.challengers.held
    assert held is not None
    failing(held, monkeypatch, float("nan"))
    answer = asked.post(path, json.dumps([ROW]))
    assert model(answer) == {"run_id": FIRST, "arm": "champion"}
    assert held.faults == 1
    assert explained(asked, ROW, run=SECOND).status_code == 503


def test_a_challenger_from_before_explanations_says_so_and_has_not_failed() -> None:
    older = {name: data for name, data in run_files(OTHER_LEVEL).items() if name != layout.BACKGROUND}
    asked = client(tried(percent=100, promised=older))
    answer = explained(asked, ROW)
    assert (answer.status_code, codes(answer)) == (409, [("", "no_background")])
    assert SECOND in answer.json()["detail"]
    assert asked.get("/meta").json()["challenger"]["faults"] == 0
    assert model(explained(asked, ROW, run=FIRST)) == {"run_id": FIRST, "arm": "champion"}


def test_swaps_of_either_run_under_load_leave_every_answer_that_of_the_run_which_it_names() -> None:
    """Two champions and two challengers, in every pairing, as fast as the looks go; single rows, batches, reasons."""
    store = MemoryStore()
    third, fourth = "20260107T070000Z-0123abcd", "20260108T070000Z-0123abcd"
    levels = {FIRST: 60.0, third: 40.0, SECOND: OTHER_LEVEL, fourth: 70.0}
    pointer = {run: promote(store, "production", run, base=level) for run, level in levels.items()}
    pairs = [(FIRST, SECOND), (third, SECOND), (third, fourth), (FIRST, fourth)]
    write_challenge(store, pointer[SECOND], "canary", 50, champion=FIRST)
    write_pointer(store, "production", pointer[FIRST])
    asked, stop = client(store), threading.Event()

    def swap() -> None:
        for champion, challenger in itertools.cycle(pairs):
            write_pointer(store, "production", pointer[champion])
            asked.predictor.look().result(10)  # the old challenger is of another champion by now
            write_challenge(store, pointer[challenger], "canary", 50, champion=champion)
            asked.predictor.look().result(10)
            if stop.is_set():
                return

    expected = {run: by_hand(ROW, level) for run, level in levels.items()}
    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: Counter[tuple[str, str]] = Counter()
    try:
        for number in range(20_000):  # until every run has answered, however slow the swaps are
            if number >= 300 and {run for run, _ in seen} == set(levels):
                break
            headers = {**JSON, "X-Unit": str(number)}
            path, sent = [("/predict", ROW), ("/predict_batch", [ROW] * 2), ("/explain", ROW)][number % 3]
            answer = asked.post(path, json.dumps(sent), headers)
            told = model(answer)
            rows = answer.json().get("predictions", [answer.json()])
            assert {row["prediction"] for row in rows} == {expected[told["run_id"]]}
            seen[told["run_id"], told.get("arm", "champion")] += 1
    finally:
        stop.set()
        swapping.join()
    assert set(seen) == {(FIRST, "champion"), (third, "champion"), (SECOND, "challenger"), (fourth, "challenger")}
