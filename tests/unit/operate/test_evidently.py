"""What Evidently is given: the labelled rows of the last days, and the rows that the serving run was judged on."""

import io
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from functions.train import pipeline
from functions.train.settings import TrainSettings
from infra.evidently.week import PREDICTION, Week, week, write
from infra.operate.served import CannotTell
from shared import layout
from shared.codec import decode, digest, encode
from shared.decisions import Decision, Pointer
from shared.documents import SCHEMA_VERSION, Manifest
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, SAMPLE, seeded
from tests.unit.watch.world import World

SETTINGS = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})


@pytest.fixture(scope="module")
def served() -> tuple[World, Manifest]:
    """A run of the sample that serves in production, with its candidate beside it."""
    store = seeded(only=("Ridge",), iterations=2)
    run_id = pipeline.run(store, NullTracker(), SETTINGS, SETTINGS.dataset, force=False).run_id
    for info in store.list(layout.candidate(run_id)):
        name = info.name.removeprefix(layout.candidate(run_id))
        store.copy(info, layout.staged("production", run_id, name))
    document = store.read(layout.candidate(run_id, layout.MANIFEST)).data
    began = layout.run_time(run_id)
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage="production",
        run_id=run_id,
        manifest_sha256=digest(document).sha256,
        promoted_at=began + timedelta(hours=1),
        previous_run_id=None,
        decision=Decision(passed=True, checks=()),
    )
    store.write(layout.pointer("production"), encode(pointer), if_generation=None, content_type="application/json")
    return World(bucket=store, now=began + timedelta(days=3)), decode(document, Manifest, "manifest")


@pytest.fixture
def world(served: tuple[World, Manifest]) -> World:
    return World(bucket=served[0].bucket.fork(), now=served[0].now)


def sample(first: int, last: int) -> bytes:
    lines = (SAMPLE / "stud.csv").read_bytes().splitlines(keepends=True)
    return b"".join([lines[0], *lines[first:last]])


def test_the_rows_are_those_of_the_last_days_and_those_that_the_run_held_out(
    world: World, served: tuple[World, Manifest], tmp_path: Path
) -> None:
    manifest = served[1]
    world.label(sample(1, 40), "labels/old.csv")
    world.pass_days(30)
    world.label(sample(100, 200), "labels/a.csv")
    world.label(sample(150, 250), "labels/b.csv")
    found = week(world.bucket, 7, world.now)
    assert len(found.current) == 150, "each row once, none of a month ago"
    assert len(found.reference) == manifest.dataset.holdout_rows
    assert list(found.current) == list(found.reference)
    assert set(found.current) == {*(f.name for f in manifest.features), manifest.target, PREDICTION}
    off = np.abs(found.reference[manifest.target] - found.reference[PREDICTION]).mean()
    assert off == pytest.approx(manifest.model.holdout.mae), "as the run was judged"
    write(found, tmp_path)
    assert written(tmp_path) == (150, found.columns)


def written(folder: Path) -> tuple[int, dict[str, object]]:
    rows = pd.read_parquet(io.BytesIO((folder / "current.parquet").read_bytes()))
    return len(rows), json.loads((folder / "columns.json").read_text())


def test_without_labels_or_a_run_it_says_what_to_do(world: World) -> None:
    with pytest.raises(CannotTell, match="make label FILE="):
        week(world.bucket, 7, world.now)
    with pytest.raises(CannotTell, match="promote a run first"):
        week(MemoryStore(), 7, world.now)


def test_a_file_that_is_gone_is_left_out_and_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.label(sample(1, 40), "labels/a.csv")
    world.label(sample(100, 140), "labels/b.csv")
    info = world.bucket.stat("labels/a.csv")
    assert info is not None
    world.bucket.delete("labels/a.csv", if_generation=info.generation)
    found: Week = week(world.bucket, 7, world.now)
    assert len(found.current) == 40
    assert "labels/a.csv was removed or replaced since" in capsys.readouterr().err
