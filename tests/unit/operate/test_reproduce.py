"""A run is made again from what was kept with it, to the byte; what differs is named."""

import copy
import json
from typing import Any

import pytest

from functions.train import pipeline
from functions.train.settings import TrainSettings
from infra.operate import reproduce as command
from infra.operate.compare import find
from infra.operate.reproduce import differences, reproduce, surroundings
from infra.operate.served import CannotTell
from shared import layout
from tests.candidates import build, publish, run_id
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, seeded
from tests.unit.train.test_pipeline import file_of

SETTINGS = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})


@pytest.fixture(scope="module")
def made() -> tuple[MemoryStore, str]:
    """A run with a search of a moment."""
    store = seeded(only=("LinearRegression", "Ridge"), iterations=3)
    return store, pipeline.run(store, NullTracker(), SETTINGS, SETTINGS.dataset, force=False).run_id


def test_the_same_code_makes_the_same_run_whatever_became_of_the_data(made: tuple[MemoryStore, str]) -> None:
    store, run = made[0].fork(), made[1]
    for key in (layout.SPEC, "data/stud.csv"):
        store.write(key, b"of today", if_generation=None, content_type="text/plain")
    assert reproduce(store, run, 1) == ([], [])


def test_a_run_of_several_files_is_made_again_of_what_was_read() -> None:
    store = seeded()
    spec = store.read(layout.SPEC).data.replace(b'"stud.csv"', b'["stud.csv", "labels/*.csv"]')
    spec = spec.replace(b"random_iterations = 25", b"random_iterations = 2") + b'\n[algorithms]\nonly = ["Ridge"]\n'
    header, *rows = store.read("data/stud.csv").data.splitlines()
    labels = b"\n".join([header + b",run_id", *(row.replace(b"standard", b"free/reduced") + b"," for row in rows[:9])])
    for key, data in ((layout.SPEC, spec), ("labels/march.csv", labels)):
        store.write(key, data, if_generation=None, content_type="text/plain")
    run = pipeline.run(store, NullTracker(), SETTINGS, SETTINGS.dataset, force=False).run_id
    assert find(store, run).manifest.dataset.rows > len(rows)
    assert "labels/march.csv: " in json.loads(file_of(store, run, layout.REPORT))["warnings"][1]
    store.write("labels/march.csv", b"of today", if_generation=None, content_type="text/plain")
    assert reproduce(store, run, 1) == ([], [])


def test_another_code_is_told_beside_the_result(made: tuple[MemoryStore, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "code_digest", lambda: "another")
    around, found = reproduce(*made, 1)
    assert [line.split(":")[0] for line in around] == ["the code differs"]
    assert found == []


def test_versions_that_differ_are_named(made: tuple[MemoryStore, str], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = find(*made).manifest
    monkeypatch.setattr(command, "installed_versions", lambda: {**manifest.libraries, "numpy": "0.1"})
    (line,) = surroundings(manifest, manifest.code.digest)
    assert line == f"numpy was {manifest.libraries['numpy']}, here it is 0.1"


def test_another_result_is_told_by_algorithm(made: tuple[MemoryStore, str]) -> None:
    before: dict[str, Any] = json.loads(file_of(*made, layout.REPORT))
    after = copy.deepcopy(before)
    assert list(differences(before, after)) == []
    after["selected"] = "Lasso"
    row = next(row for row in after["algorithms"] if row["name"] == "Ridge")
    row["params"], row["cv"]["score_mean"] = {"alpha": 7.5}, 0.1
    after["algorithms"] = [row for row in after["algorithms"] if row["name"] != "LinearRegression"]
    found = "\n".join(differences(before, after))
    for part in ("now", 'now it is {"alpha": 7.5}', "cv score_mean was 0.2", "LinearRegression was searched then only"):
        assert part in found


def test_a_snapshot_that_is_gone_or_changed_is_named(made: tuple[MemoryStore, str]) -> None:
    store, run = made[0].fork(), made[1]
    key = layout.snapshot(find(store, run).manifest.dataset.sha256, ".csv")
    info = store.stat(key)
    assert info is not None
    store.write(key, b"x", if_generation=None, content_type="text/csv")
    with pytest.raises(CannotTell, match="does not hold what its name says"):
        reproduce(store, run, 1)
    info = store.stat(key)
    assert info is not None
    store.delete(key, if_generation=info.generation)
    with pytest.raises(CannotTell, match="the run's data is not kept any more"):
        reproduce(store, run, 1)


def test_a_run_of_before_snapshots_says_so() -> None:
    store = MemoryStore()
    publish(store, build(run_id(1)))
    with pytest.raises(CannotTell, match="was made before spec and data were kept"):
        reproduce(store, run_id(1), 1)
