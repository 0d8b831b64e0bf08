"""Files of labels: who answered each row, what a run says of it now, and what is refused with its reasons."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from functions.watch import delivery
from functions.watch.attribution import ServingSpan, run_at, served
from functions.watch.ledger import COVERED, RESIDUAL
from shared import layout
from shared.codec import decode
from shared.documents import Cell, SliceSettings
from shared.monitoring import NOTHING_SERVES, LabelRejection, Performance
from shared.serving.loaded_model import load
from tests.unit.predict.client import Client
from tests.unit.predict.promoted import FIRST, SECOND, by_hand
from tests.unit.watch.world import NAMES, START, World, labelled, noise, rows

HOUR = timedelta(hours=1)


@pytest.fixture
def world() -> World:
    made = World()
    made.serve()
    made.pass_days(3)
    return made


def performance(world: World) -> Performance:
    (key,) = [info.name for info in world.bucket.list(layout.performance())][-1:]
    return decode(world.bucket.read(key).data, Performance, key)


def ledger_files(world: World) -> list[Any]:
    return [pq.read_table(io.BytesIO(data)) for data in world.files(layout.LEDGER).values()]


def rejection(world: World, name: str = "labels/march.rejected.json") -> LabelRejection:
    return decode(world.bucket.read(name).data, LabelRejection, name)


def test_a_labelled_row_tells_what_was_predicted_for_it_and_how_far_off_that_was(world: World) -> None:
    found, errors = rows(400), noise(400)
    lines = world.label(labelled(found, errors))
    assert [line["reason"] for line in lines] == ["labels"]
    (table,) = ledger_files(world)
    assert sorted(np.round(table.column(RESIDUAL + FIRST).to_pylist(), 6)) == sorted(np.round(errors, 6))
    (run,) = performance(world).runs
    assert run.answered is not None
    assert run.answered.rows == 400
    assert run.answered.mae.value == pytest.approx(np.mean(np.abs(errors)))
    assert run.answered.bias.value == pytest.approx(np.mean(errors))
    inside = np.mean([-22.0 <= e <= 21.0 for e in errors])
    assert run.answered.coverage.value == pytest.approx(inside, abs=0.01), "clipped at the ends of the target's range"
    assert run.answered.mae.low < run.answered.mae.value < run.answered.mae.high
    assert set(table.column(COVERED + FIRST).to_pylist()) == {True, False}


def test_the_ledger_holds_no_feature(world: World) -> None:
    world.label(labelled(rows(60), noise(60)))
    (table,) = ledger_files(world)
    assert table.column_names == [
        *("row", "content", "arrived", "served_at", "run", "target"),
        *(RESIDUAL + FIRST, COVERED + FIRST),
    ]
    said = b"".join(world.files("watch/").values())
    assert "supérieure".encode() not in said


def test_what_the_service_answered_as_a_table_is_a_file_of_labels(world: World) -> None:
    client = Client(world.bucket, "production")
    body = "\n".join([",".join(NAMES), *(",".join("" if c is None else str(c) for c in r.values()) for r in rows(80))])
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    answered = client.post("/predict_batch", body, headers).text.splitlines()
    filled = [f"{answered[0]},math score", *(f"{line},{50 + place % 7}" for place, line in enumerate(answered[1:]))]
    filled[3:5] = [line.rpartition(",")[0] + "," for line in filled[3:5]]  # two are not known yet
    world.label("\n".join(filled).encode())
    table = performance(world)
    assert table.rows == 78
    assert table.runs[0].answered is not None
    assert table.runs[0].answered.rows == 78, "every row names its run"


def test_rows_are_those_of_the_run_that_served_at_their_moment(world: World) -> None:
    swap = world.now = datetime(2026, 1, 14, tzinfo=UTC)  # after SECOND was trained
    world.serve(SECOND, base=70.0)
    world.pass_days(3)
    moments = [swap - HOUR, swap + HOUR, swap - timedelta(seconds=59), swap + timedelta(seconds=60), swap + 2 * HOUR]
    world.label(labelled(rows(5), [0.0] * 5, served_at=[m.isoformat() for m in moments]))
    (table,) = ledger_files(world)
    by_moment = dict(zip(table.column("served_at").to_pylist(), table.column("run").to_pylist(), strict=True))
    assert [by_moment[moment] for moment in moments] == [FIRST, SECOND, None, None, SECOND]
    found = performance(world)
    assert found.unattributed == 2
    assert {r.run_id: r.answered.rows for r in found.runs if r.answered} == {FIRST: 1, SECOND: 2}


def test_every_run_that_serves_is_scored_on_the_same_rows(world: World) -> None:
    world.serve(SECOND, "staging", base=63.0)
    world.pass_days()
    world.now = max(world.now, datetime(2026, 1, 13, tzinfo=UTC))  # after SECOND was trained
    world.label(labelled(rows(100), noise(100)))
    runs = {run.run_id: run.fair for run in performance(world).runs}
    first, second = runs[FIRST], runs[SECOND]
    assert first is not None
    assert second is not None
    assert second.bias.value == pytest.approx(first.bias.value - 3.0, abs=1e-9)


def test_rows_that_are_older_than_a_run_say_nothing_of_it(world: World) -> None:
    world.now = datetime(2026, 1, 14, tzinfo=UTC)
    world.serve(SECOND, base=63.0)
    world.pass_days()
    old = [(START + HOUR).isoformat()] * 50  # SECOND was trained on 12 January
    world.label(labelled(rows(50), noise(50), served_at=old))
    runs = {run.run_id: run for run in performance(world).runs}
    assert runs[SECOND].fair is None
    assert runs[FIRST].fair is not None


def test_each_row_counts_once_however_often_and_in_how_many_files_it_comes(world: World) -> None:
    found, errors = rows(200), noise(200)
    whole = labelled(found, errors)
    world.label(whole)
    world.deliver("labels/march.csv")  # once more
    world.label(whole, "labels/again.csv")
    world.label(labelled(found[100:] + rows(50, seed=9), errors[100:] + noise(50, seed=9)), "labels/overlap.csv")
    table = performance(world)
    assert (table.rows, table.files, table.repeated) == (250, 3, 300)


def test_equal_rows_of_one_file_are_as_many_rows(world: World) -> None:
    one = rows(1) * 30
    world.label(labelled(one, [5.0] * 30))
    assert performance(world).rows == 30


def test_rows_that_contradict_each_other_are_told(world: World) -> None:
    one = rows(1) * 2
    world.label(labelled(one, [0.0, 9.0], served_at=[(START + HOUR).isoformat()] * 2))
    assert performance(world).contradicting == 2


def test_a_row_that_the_run_refuses_is_left_out_of_its_score(world: World) -> None:
    found = rows(50)
    data = labelled(found, noise(50)).decode().replace("female", "unheard of", 1)
    world.label(data.encode())
    (run,) = performance(world).runs
    assert run.fair is not None
    assert run.fair.rows == 49


def test_a_file_that_is_sorted_by_its_target_raises_no_alarm(world: World) -> None:
    found, errors = rows(600), noise(600)
    order = sorted(range(600), key=lambda place: by_hand(found[place]) + errors[place])
    world.label(labelled([found[p] for p in order], [errors[p] for p in order]))
    assert world.alarms() == []


@pytest.mark.parametrize(
    ("stream", "errors"),
    [("bias", noise(500, bias=15.0)), ("bias", noise(500, bias=-15.0)), ("spread", noise(500, scale=1.7))],
)
def test_a_model_that_is_wrong_is_told_once(world: World, stream: str, errors: list[float]) -> None:
    lines = world.label(labelled(rows(500), errors))
    told = [line for line in lines if line["severity"] == "ERROR"]
    assert [line["reason"] for line in told] == ["performance"] * len(told)
    assert stream in [line["subject"] for line in told]
    keys = world.alarms()
    assert len(keys) == len(told) == len(world.heard.alarms)
    assert all("-performance-" in key for key in keys)
    world.pass_days()
    again = world.label(labelled(rows(100, seed=8), noise(100, seed=8)), "labels/april.csv")
    assert [line for line in again if line["severity"] == "ERROR"] == []
    assert world.alarms() == keys


def page_of(world: World) -> str:
    return world.bucket.read(layout.watch_page("production")).data.decode()


def test_labels_on_the_day_of_a_promotion_are_on_the_page_before_any_look(world: World) -> None:
    world.label(labelled(rows(500), noise(500, bias=15.0)))
    page = page_of(world)
    assert f"<code>{FIRST}</code>" in page
    assert "500 labelled rows" in page
    assert "<strong>stands</strong>" in page
    assert "has not been looked at yet" in page
    world.pass_days()
    world.look()
    assert "has not been looked at yet" not in page_of(world)


def test_the_page_is_of_the_run_that_serves_though_the_last_look_was_at_another(world: World) -> None:
    world.ask(rows(300))
    world.pass_days()
    world.look()
    assert f"<code>{FIRST}</code>" in page_of(world)
    world.pass_days(7)
    world.serve(SECOND)
    world.pass_days(0.5)
    world.label(labelled(rows(500), noise(500, bias=15.0), run_id=[SECOND] * 500))
    page = page_of(world)
    assert f"<p>Served: <code>{SECOND}</code></p>" in page
    assert "500 labelled rows" in page
    assert "300 rows in" in page, "what was asked before stays to be seen"


BAD: dict[str, tuple[Any, str]] = {
    "no target": (lambda d: d.replace(b"math_score", b"maths"), "no column 'math_score'"),
    "targets as text": (lambda d: d.replace(b"\r\n", b"x\r\n").replace(b"scorex", b"score", 1), "not a finite number"),
    "half of the columns": (lambda _: b"gender,math_score\r\nfemale,50\r\n", "'age'"),
    "columns of another model": (lambda _: b"area,math_score\r\n12,50\r\n", "no header of the table"),
    "a list of nothing": (lambda _: b"", "empty"),
    "only a header": (lambda d: d.split(b"\r\n")[0] + b"\r\n", "no rows"),
    "a workbook": (lambda d: b"PK\x03\x04" + d, "Excel"),
    "only rows that the run refuses": (lambda d: d.replace(b"male", b"mail"), "refuses every row"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_refused_with_its_reasons_and_enters_nothing(world: World, name: str) -> None:
    spoil, reason = BAD[name]
    lines = world.label(spoil(labelled(rows(40), noise(40))))
    assert [line["reason"] for line in lines] == ["labels_refused"]
    found = rejection(world)
    assert reason in " ".join(found.problems)
    assert found.name == "labels/march.csv"
    assert world.bucket.list(layout.LEDGER) == []
    assert world.bucket.list(layout.performance()) == []


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("served_at", "2030-01-01T00:00:00Z", "lies in the future in line 3"),
        ("served_at", "2020-01-01T00:00:00Z", "before anything served here in line 3"),
        ("served_at", "2026-01-06T00:00:00", "is no moment with its zone"),
        ("served_at", "yesterday", "is no moment with its zone"),
        ("run_id", "20250101T000000Z-deadbeef", "names a run that never served here in line 3"),
    ],
)
def test_moments_and_runs_that_cannot_be_are_told_by_their_lines(
    world: World, column: str, value: str, reason: str
) -> None:
    lines = world.label(labelled(rows(3), noise(3), **{column: ["", value, ""]}))
    assert reason in " ".join(rejection(world).problems)
    assert value not in str(lines) + " ".join(rejection(world).problems)


def test_a_file_that_is_too_large_is_refused_unread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_LABEL_BYTES", 2**20)
    world.label(b"x" * (2**20 + 1))
    assert "larger than 1 MB" in rejection(world).problems[0]


def test_parquet_is_a_file_of_labels_by_its_own_types(world: World) -> None:
    found, errors = rows(200), noise(200)
    frame = pd.DataFrame([{**row, "math_score": by_hand(row) + e} for row, e in zip(found, errors, strict=True)])
    frame["served_at"] = pd.Timestamp(START + HOUR)
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    world.label(file.getvalue(), "labels/march.parquet")
    (run,) = performance(world).runs
    assert run.answered is not None
    assert run.answered.rows == 200
    assert run.answered.bias.value == pytest.approx(np.mean(errors))


def test_a_later_sound_file_of_the_name_is_taken(world: World) -> None:
    world.label(b"")
    world.label(labelled(rows(40), noise(40)))
    assert performance(world).rows == 40
    assert rejection(world).generation < 10**9, "the old refusal stays, with its generation"


def test_labels_before_anything_serves_are_refused() -> None:
    world = World()
    (line,) = world.label(labelled(rows(5), noise(5)))
    assert (line["severity"], line["reason"]) == ("WARNING", "labels_refused"), "nobody is woken"
    assert "no run has served here yet" in rejection(world).problems[0]
    assert rejection(world).reason == NOTHING_SERVES, "by which training knows that the file is sound"


def test_a_file_that_was_replaced_before_its_event_came_is_left_to_its_own(world: World) -> None:
    world.bucket.write("labels/march.csv", b"old", if_generation=None, content_type="text/csv")
    stale = world.bucket.stat("labels/march.csv")
    assert stale is not None
    world.bucket.write("labels/march.csv", labelled(rows(5), noise(5)), if_generation=None, content_type="text/csv")
    assert [line["reason"] for line in world.deliver("labels/march.csv", stale.generation)] == ["label_gone"]
    world.deliver("labels/march.csv")
    assert performance(world).rows == 5


def test_nobody_answers_near_a_swap_or_before_anything_served() -> None:
    history = (ServingSpan(START, FIRST), ServingSpan(START + HOUR, SECOND))
    assert run_at(history, START - HOUR) is None
    assert run_at(history, START + timedelta(seconds=5)) == FIRST, "the first run took nobody's place"
    assert run_at(history, START + HOUR - timedelta(seconds=61)) == FIRST
    assert run_at(history, START + HOUR + timedelta(seconds=60)) is None
    assert run_at(history, START + 3 * HOUR) == SECOND
    assert served(()) == ()


def test_the_slices_of_the_spec_have_figures_of_their_own() -> None:
    world = World()
    world.serve(slices=SliceSettings(by=("gender",)))
    world.pass_days()
    found = rows(400)
    world.label(labelled(found, [10.0 if row["gender"] == "male" else -10.0 for row in found]))
    (run,) = performance(world).runs
    assert set(run.slices) == {"gender"}
    by_gender = {group: scores.bias.value for group, scores in run.slices["gender"].items()}
    assert by_gender == {"female": pytest.approx(-10.0), "male": pytest.approx(10.0)}
    world.look()
    page = world.bucket.read(layout.watch_page("production")).data.decode()
    assert "<th>gender</th>" in page


def test_what_is_replayed_is_what_was_served_over_five_swaps(world: World) -> None:
    """Each row was answered by the service that served at its moment; its label comes weeks later."""
    asked = rows(2_000, 11)
    moments: list[datetime] = []
    served_then: list[tuple[dict[str, Cell], str, float]] = []
    for number in range(6):
        run_id = f"20260105T07000{number}Z-0000000{number}"
        world.serve(run_id, base=58.0 + number)
        loaded = load(world.bucket, "production")
        for row in asked[len(moments) :: 6]:
            moments.append(world.now + timedelta(hours=1))
            served_then.append((row, run_id, loaded.answers(loaded.schema.read_row(dict(row)))[0].prediction))
        world.pass_days(2)
    targets = [prediction + 7.0 for _, _, prediction in served_then]
    errors = [target - by_hand(row) for target, (row, _, _) in zip(targets, served_then, strict=True)]
    world.label(labelled([row for row, _, _ in served_then], errors, served_at=[m.isoformat() for m in moments]))
    (table,) = ledger_files(world)
    runs = table.column("run").to_pylist()
    assert sorted(runs) == sorted(run for _, run, _ in served_then), "every row is attributed"
    residuals = [table.column(RESIDUAL + run)[place].as_py() for place, run in enumerate(runs)]
    assert max(abs(residual - 7.0) for residual in residuals) <= 1e-5


def test_labels_that_exceed_the_memory_on_the_way_are_refused_beside_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beyond(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(delivery, "replay_all", beyond)
    (line,) = world.label(labelled(rows(50), noise(50)))
    assert line["reason"] == "labels_refused"
    assert "takes more memory than there is; divide it" in rejection(world).problems[0]
    monkeypatch.undo()
    assert [line["reason"] for line in world.label(labelled(rows(50), noise(50)))] == ["labels"]
