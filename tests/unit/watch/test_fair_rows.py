"""Which rows say something of which run: held-out ones, the same ones for newer runs; labelled and live callers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from functions.train.data import split
from functions.watch.held_out import held_out
from functions.watch.labels import Labelled, read_labels
from infra.operate.watched import lines, watched
from shared import layout
from shared.codec import decode
from shared.dataset_file import parse_spec
from shared.documents import Manifest, TrainingInfo
from shared.monitoring import Likeness, Performance
from shared.tables.reading import read_table
from tests.unit.predict.promoted import FIRST, SECOND, manifest
from tests.unit.watch.world import World, labelled, noise, rows

SPEC = b'name = "students"\nsource = "stud.csv"\ntarget = "math_score"\n'
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def trained(spec: bytes = SPEC, dropped: tuple[str, ...] = ()) -> Manifest:
    """A run of this spec, of a table that has the features, the target and `dropped`."""
    return manifest(FIRST, {}, training=_training(spec), dropped=dropped)


def _training(spec: bytes) -> TrainingInfo:
    told = msgspec.to_builtins(parse_spec(spec))
    return TrainingInfo(spec=told, spec_sha256="ab" * 32, budget_seconds=1, jobs=1, backend="loky")


def read(data: bytes, made: Manifest) -> Labelled:
    return read_labels(data, "labels/a.csv", made, LATER, [FIRST])


@pytest.mark.parametrize(
    "more", [b"", b"[split]\nseed = 7\n", b'[split]\nkey = "age"\n', b'[split]\nignore = ["hours"]\n']
)
def test_a_rows_side_is_the_one_that_training_gave_it(more: bytes) -> None:
    made = trained(SPEC + more)
    data = labelled(rows(300), noise(300))
    found = held_out(made, read(data, made))
    spec = parse_spec(SPEC + more)
    table = read_table(data, spec)
    expected = split.held_out(table, spec.split.holdout, spec.split.seed)
    assert found.sum() == expected.sum()
    assert 30 < found.sum() < 90
    by_target = dict(zip(table.target.tolist(), expected.tolist(), strict=True))
    assert [by_target[target] for target in read(data, made).targets] == found.tolist()


@pytest.mark.parametrize(
    ("spec", "dropped"),
    [
        (SPEC, ("reading_score",)),  # the file does not say what the side depends on
        (SPEC + b'[split]\ntime = "age"\n', ()),
    ],
)
def test_where_the_side_is_not_known_nothing_is_held_out(spec: bytes, dropped: tuple[str, ...]) -> None:
    made = trained(spec, dropped)
    assert not held_out(made, read(labelled(rows(60), noise(60)), made)).any()
    assert not held_out(manifest(FIRST, {}), read(labelled(rows(60), noise(60)), made)).any(), "an older run"


def test_a_target_is_read_as_the_data_writes_it() -> None:
    """The file that training reads is a file of labels, whatever its numbers look like."""
    reading = b'[reading]\nmissing = ["NA"]\n[features]\nmath_score = { decimal = ",", unit = "points" }\n'
    made = trained(SPEC + reading)
    data = labelled(rows(3), noise(3)).decode().splitlines()
    written = ['"61,5 points"', "NA", '"1,25"']
    text = "\n".join(
        [data[0], *(f"{row.rpartition(',')[0]},{cell}" for row, cell in zip(data[1:], written, strict=True))]
    )
    found = read(text.encode(), made)
    assert (sorted(found.targets), found.unlabelled) == ([1.25, 61.5], 1)


def performance(world: World) -> Performance:
    (key,) = [info.name for info in world.bucket.list(layout.performance())][-1:]
    return decode(world.bucket.read(key).data, Performance, key)


def test_old_rows_count_for_a_run_that_held_them_out_and_for_no_other() -> None:
    world = World(now=datetime(2026, 1, 14, tzinfo=UTC))
    world.serve(SECOND, training=_training(SPEC), dropped=())
    world.pass_days()
    found, errors = rows(300), noise(300)
    made = trained(SPEC)
    out = held_out(made, read(labelled(found, errors), made))
    world.label(labelled(found, errors, run_id=[SECOND] * 300, served_at=["2026-01-10T00:00:00Z"] * 300))
    (run,) = performance(world).runs
    assert run.fair is not None
    assert run.fair.rows == out.sum() > 0


def test_the_newest_runs_of_staging_are_scored_beside_the_one_that_serves() -> None:
    world = World()
    world.serve()
    for number in range(5):
        world.now = datetime(2026, 1, 12, 8 + number, tzinfo=UTC)
        world.serve(f"20260112T07000{number}Z-0000000{number}", "staging", base=60.0 + number)
    world.pass_days()
    world.label(labelled(rows(400), noise(400)))
    found = {run.run_id: run for run in performance(world).runs}
    assert sorted(found) == [FIRST, *(f"20260112T07000{number}Z-0000000{number}" for number in (2, 3, 4))]
    assert found[FIRST].beside is None
    for run_id in sorted(found)[1:]:
        beside, mae, own = found[run_id].beside, found[run_id].fair, found[FIRST].fair
        assert beside is not None and mae is not None and own is not None
        assert found[run_id].shared == 400
        assert beside.value == pytest.approx(mae.mae.value - own.mae.value)
        assert beside.high - beside.low < own.mae.high - own.mae.low, "pairs tell more"
    world.look()
    page = world.bucket.read(layout.watch_page("production")).data.decode()
    assert f"{sorted(found)[-1]}</code></td><td>400" in page


def likeness(world: World) -> Likeness | None:
    return performance(world).likeness


def asked_and_labelled(count: int, **moved: Any) -> World:
    """A production that was asked for three days by callers as training had them; labels of `moved` ones."""
    world = World()
    world.serve()
    for number in range(3):
        world.ask(rows(500, number), blocks=4)
        world.pass_days()
        world.look()
    world.label(labelled(rows(count, 50, **moved), noise(count)))
    return world


def test_labelled_rows_that_look_like_live_ones_are_said_to() -> None:
    world = asked_and_labelled(600)
    found = likeness(world)
    assert found is not None
    assert (found.rows, found.live_rows, found.unlike) == (600, 1_500, ())
    world.look()
    assert "They look like live ones (600 labelled rows beside 1,500 live ones" in page(world)


def test_labels_of_a_choice_of_callers_are_told_with_both_shares() -> None:
    world = asked_and_labelled(600, lunch={"standard": 0.95, "free/reduced": 0.0, "": 0.05})
    found = likeness(world)
    assert found is not None
    first = found.unlike[0]
    assert (first.name, first.cell) == ("lunch", "free/reduced")
    assert first.labelled == 0.0
    assert first.live == pytest.approx(0.325, abs=0.05)
    assert "They do not look like live ones" in page(world)
    (told,) = [line for line in lines([watched(world.bucket, "production", FIRST)], "b") if line.startswith("labels")]
    assert "; unlike live rows in lunch" in told


def test_the_same_rows_in_two_files_are_compared_once() -> None:
    world = asked_and_labelled(300)
    world.label(labelled(rows(300, 50), noise(300)), "labels/again.csv")
    found = likeness(world)
    assert found is not None
    assert found.rows == 300


def test_without_live_rows_nothing_is_said_of_likeness() -> None:
    world = World()
    world.serve()
    world.pass_days()
    world.label(labelled(rows(60), noise(60)))
    assert likeness(world) is None
    world.look()
    assert "is not known" in page(world)


def page(world: World) -> str:
    return world.bucket.read(layout.watch_page("production")).data.decode()
