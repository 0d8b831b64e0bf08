"""What Terraform grants is what the functions need: each runs with these grants alone, and uses all of them."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from functions.batch.planning import plan as plan_of
from functions.batch.settings import BatchSettings
from functions.predict.live.counters import Counters
from functions.train import pipeline
from functions.train.lease import Held, claim
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import BucketTracker
from shared import layout
from shared.codec import encode
from shared.decisions import Attempt
from shared.documents import GateSettings
from shared.errors import NotPermitted, StorageUnavailable
from shared.layout import STAGES, Stage
from shared.media_types import JSON
from shared.serving.loaded_model import NothingPromoted, load
from shared.store import CREATE_ONLY, CloudStore, Store, write_once
from tests.candidates import build, run_id
from tests.granted_store import GrantedStore
from tests.infra.granted import grants
from tests.infra.terraform import owners_plan
from tests.infra.test_code_agrees import ADA, ROOT, Plan, plan
from tests.local_storage import running_storage
from tests.memory_store import MemoryStore
from tests.sample import IN_THIS_PROCESS, SAMPLE
from tests.tools import require
from tests.unit.batch.world import BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.promoted import FIRST, promote
from tests.unit.validate.world import World
from tests.unit.watch.test_challenger import challenged, label
from tests.unit.watch.world import World as WatchWorld
from tests.unit.watch.world import labelled, noise
from tests.unit.watch.world import rows as watched_rows
from tests.watched_store import WatchedStore

__all__ = ["plan"]


def require_unwritable(store: GrantedStore, *names: str) -> None:
    for name in names:
        with pytest.raises(NotPermitted):
            store.write(name, b"{}", if_generation=None, content_type="application/json")


def require_no_holdout(store: GrantedStore) -> None:
    """Nobody but training and validation may read the rows that a run is judged by."""
    with pytest.raises(NotPermitted):
        store.read(layout.candidate(run_id(1), layout.HOLDOUT))


def test_train_may_do_what_a_run_needs_and_nothing_else(plan: Plan) -> None:
    bucket = MemoryStore()
    for name in ("dataset.toml", "stud.csv"):
        data = (SAMPLE / name).read_bytes().replace(b'"stud.csv"', b'["stud.csv", "labels/*.csv"]')
        bucket.write(f"data/{name}", data, if_generation=None, content_type="text/plain")
    bucket.write("labels/a.csv", (SAMPLE / "stud.csv").read_bytes(), if_generation=None, content_type="text/csv")
    store = GrantedStore(bucket, grants(plan, "train_access"))
    settings = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})

    def run(force: bool = False) -> pipeline.Summary:
        return pipeline.run(store, BucketTracker(store), settings, settings.dataset, force=force, zoo=MODEL_ZOO[:2])

    assert run().status == "trained"
    assert run().status == "unchanged"
    again = run(force=True)
    assert again.status == "trained"
    assert bucket.stat(layout.tracked(again.run_id)) is not None
    held = claim(store, "abandoned", run_id(1), seconds=3)  # given back: overwritten by one that has expired
    assert isinstance(held, Held)
    with pytest.raises(StorageUnavailable), held:
        raise StorageUnavailable("the run ended early")
    for _ in range(2):  # and how a call ended: a repeated write meets its own object here too
        ended = Attempt(schema_version=1, ended_at=datetime(2026, 1, 5, tzinfo=UTC), status="later")
        write_once(store, layout.attempt(run_id(1)), encode(ended), "application/json")
    key = layout.tracked(again.run_id)
    write_once(store, key, bucket.read(key).data, "application/msgpack")  # a repeated upload meets its own object
    assert store.unused() == set()


def killed_before_the_swap(world: World, store: GrantedStore, name: str) -> None:
    def fail(_: int, kind: str, where: str) -> None:
        if kind == "write" and where in map(layout.pointer, STAGES):
            raise StorageUnavailable("killed")

    with pytest.raises(StorageUnavailable):
        world.deliver(name, store=WatchedStore(store, before=fail))


def test_validate_may_do_what_its_promotions_need_and_nothing_else(plan: Plan) -> None:
    world = World()
    store = GrantedStore(world.bucket, grants(plan, "validate_access"))

    def deliver(name: str, generation: int | None = None) -> str:
        return str(world.deliver(name, generation, store)[-1]["reason"])

    assert deliver(world.publish(build(run_id(1)))) == "promoted"
    overtaken = world.publish(build(run_id(2)))
    killed_before_the_swap(world, store, overtaken)
    assert deliver(world.publish(build(run_id(3)))) == "promoted"
    assert deliver(overtaken) == "superseded"  # it never served, so the history has no entry of it
    assert world.history("staging") == [run_id(1), run_id(3)]

    for _ in range(2):
        world.mark(b"no pointer")
        assert deliver(layout.MARKER) == "marker_malformed"
    world.mark_copy(layout.pointer("staging"))
    assert deliver(layout.MARKER) == "promoted"
    killed = world.mark_copy(world.history_keys("staging")[0])
    killed_before_the_swap(world, store, layout.MARKER)
    world.mark_copy(world.history_keys("staging")[-1])
    assert deliver(layout.MARKER) in {"promoted", "unchanged", "confirmed"}
    assert deliver(layout.MARKER, killed) == "older_marker"

    for _ in range(2):
        world.mark_challenge(layout.pointer("staging"))
        assert deliver(layout.CHALLENGE_MARKER) == "terms_malformed"
    world.mark_challenge(world.history_keys("staging")[0], mode="shadow")
    assert deliver(layout.CHALLENGE_MARKER) == "challenge_begun"
    world.mark_challenge(layout.pointer("staging"), mode="stop")
    assert deliver(layout.CHALLENGE_MARKER) == "challenge_stopped"
    two_people = build(run_id(4)).with_manifest(gate=GateSettings(requires=2))
    assert deliver(world.publish(two_people)) == "promoted"
    data = world.bucket.read(layout.pointer("staging")).data
    for person in ("Ada", "Ben"):
        world.bucket.write(
            layout.MARKER, data, if_generation=None, content_type="application/json", metadata={"by": person}
        )
        deliver(layout.MARKER)
    assert world.serving("production") == run_id(4)
    assert store.unused() == set()


@pytest.mark.parametrize("stage", STAGES)
def test_predict_reads_its_own_stage_and_nothing_else(plan: Plan, stage: Stage) -> None:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    granted = grants(plan, f'predict_access["{stage}"]')
    store = GrantedStore(world.bucket, granted)
    assert load(store, stage).manifest.run_id == run_id(1)
    counters = Counters(cast(Store, store), stage)
    counters.refused(0.0, 0.0, load(store, stage), 422, ())
    counters.drain()
    assert len(world.bucket.list(layout.live_folder(stage, run_id(1)))) == 1
    page = layout.watch_page(stage)
    world.bucket.write(page, b"looked", if_generation=None, content_type="text/html")
    assert store.read(page).data == b"looked"
    assert store.unused() == set()
    assert granted == {"reader": (f"{stage}/", page), "creator": (f"live/{stage}/",)}
    with pytest.raises(NothingPromoted):  # not NotPermitted: it may list, so a missing pointer is told as missing
        load(GrantedStore(MemoryStore(), granted), stage)
    other: Stage = "production" if stage == "staging" else "staging"
    with pytest.raises(NotPermitted):
        load(store, other)


def test_batch_may_do_what_an_answer_needs_and_nothing_else(plan: Plan) -> None:
    world = BatchWorld()
    promote(world.bucket, "staging", FIRST)
    store = GrantedStore(world.bucket, grants(plan, "batch_access"))
    table = rows(200)
    table[3][2] = "old"
    dropped = world.drop("a b.csv", as_csv(table))
    for _ in range(2):
        assert [line["reason"] for line in world.deliver(dropped, store)] == ["answered"]
    staged = world.drop("b.parquet", as_parquet(rows(50)), stage="staging")
    assert [line["reason"] for line in world.deliver(staged, store)] == ["answered"]
    assert [line["reason"] for line in world.deliver(world.drop("c.csv", b""), store)] == ["empty_body"]
    crashed = world.drop("d.csv", as_csv(table))

    def killed(_: int, kind: str, name: str) -> None:
        if kind == "write" and name.endswith(layout.OUTCOME):
            raise StorageUnavailable("killed")

    with pytest.raises(StorageUnavailable):
        world.deliver(crashed, WatchedStore(store, before=killed))
    assert [line["reason"] for line in world.deliver(crashed, store)] == ["answered"]
    assert store.unused() == set()
    require_unwritable(store, dropped.name, layout.pointer("production"), "batch/in/new.csv")
    require_no_holdout(store)


def test_dataflow_s_workers_may_do_what_the_pipeline_needs_and_nothing_else(plan: Plan, tmp_path: Path) -> None:
    """On Beam's own runner, which needs no temporary files, for production's model."""
    python = require(str(ROOT / ".venv" / "beam" / "bin" / "python"), source="make test installs it")
    allowed = grants(plan, "dataflow_access[0]")
    with running_storage(tmp_path) as storage, pytest.MonkeyPatch.context() as patch:
        storage.fill("granted")
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        store = CloudStore("granted")
        promote(store, "production", FIRST)
        file = tmp_path / "a b.csv"
        file.write_bytes(as_csv(rows(200)))
        dropped = store.upload(layout.BATCH_INPUT + file.name, file, {})
        pinned = plan_of(store, dropped, BatchSettings(bucket="granted", part_bytes=2000))
        folder = layout.batch_folder(dropped.name, dropped.generation)
        store.write(folder + layout.PLAN, encode(pinned), if_generation=CREATE_ONLY, content_type=JSON)

        def run(given: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
            words = [
                "-m",
                "tests.functions.beam_with_grants",
                json.dumps(given),
                "--bucket=granted",
                f"--folder={folder}",
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.run([python, *words], env=environment, capture_output=True, text=True, check=False)

        refused = run({**allowed, "creator": [kept for kept in allowed["creator"] if kept != "batch/out/"]})
        assert refused.returncode != 0
        assert "NotPermitted: no creator on 'batch/out/" in refused.stderr
        done = run(allowed)
        assert done.returncode == 0, done.stderr[-3000:]
        assert store.stat(folder + layout.SUCCESS) is not None
        unused = {tuple(pair) for pair in json.loads(done.stdout)}
        assert unused == {("creator", "batch/tmp/"), ("remover", "batch/tmp/"), ("reader", "staging/")}


def test_watch_may_do_what_looks_labels_and_alarms_need_and_nothing_else(plan: Plan) -> None:
    world = WatchWorld()
    for stage in STAGES:
        world.serve(stage=stage)
    store = GrantedStore(world.bucket, grants(plan, "watch_access"))
    world.store = cast(Store, store)
    moved = {"standard": 0.435, "free/reduced": 0.515, "": 0.05}
    for number in range(2):
        for stage in STAGES:
            world.ask(watched_rows(1_000, number, lunch=moved), stage, blocks=4)
        world.pass_days()
        assert "looked" in [line["reason"] for line in world.look()]
    for key in world.alarms("production"):
        world.deliver(key)
    assert world.trainings.asked == 1
    for number in range(2):
        world.label(labelled(watched_rows(200, number), noise(200, number)), f"labels/{number}.csv")
        world.label(b"", "labels/bad.csv")
    assert len(world.bucket.list(layout.LEDGER)) == 2
    tried = challenged(base=60.5, then="promote")
    judging = GrantedStore(tried.bucket, grants(plan, "watch_access"))
    tried.store = cast(Store, judging)
    acted_on = world.bucket.read(layout.pointer("production")).data
    tried.bucket.write(layout.MARKER, acted_on, if_generation=None, content_type="application/json")
    tried.serve(marker_generation=tried.bucket.list(layout.MARKER)[0].generation)
    label(tried, 20)
    label(tried, 900, seed=2, name="labels/april.csv")
    verdict = tried.bucket.list(layout.MARKER)[0]
    assert verdict.metadata["by"] == "watch"
    assert store.unused() & judging.unused() == set()
    require_unwritable(
        store, layout.pointer("production"), world.alarms("production")[0], layout.live_folder("production") + "x"
    )
    require_no_holdout(store)


def test_promoters_may_write_markers_and_nothing_else(plan: Plan) -> None:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    store = GrantedStore(world.bucket, grants(plan, 'promoter_access["user:ada@example.org"]'))
    for source in (layout.pointer("staging"), world.history_keys("production")[0]):
        data = store.read(source).data
        for marker in (layout.MARKER, layout.CHALLENGE_MARKER):
            store.write(marker, data, if_generation=None, content_type="application/json")
    world.bucket.delete(layout.MARKER, if_generation=world.info(layout.MARKER).generation)
    store.write(layout.MARKER, data, if_generation=0, content_type="application/json")
    assert store.stat(layout.REJECTED) is store.stat(layout.CHALLENGE_REJECTED) is None
    assert store.unused() == set()
    require_unwritable(store, layout.pointer("production"), layout.staged("production", run_id(1), layout.MODEL))
    require_no_holdout(store)


def test_those_who_bring_data_touch_no_model_and_no_pointer(plan: Plan) -> None:
    world = World()
    world.stage(1)
    store = GrantedStore(world.bucket, grants(plan, f'data_access["{ADA}"]'))
    for name in (layout.SPEC, f"{layout.BATCH_INPUT}x.csv", f"{layout.LABELS}x.csv"):
        for _ in range(2):
            store.write(name, b"x", if_generation=None, content_type="text/plain")
    candidate = layout.candidate(run_id(1), layout.MANIFEST)
    store.read(candidate)
    require_unwritable(store, layout.pointer("staging"), layout.MARKER, candidate, f"{layout.BATCH_OUTPUT}x")


def test_the_table_of_the_readme_says_what_is_granted(plan: Plan, tmp_path: Path) -> None:
    plan = {**plan, **owners_plan(tmp_path)}
    table: dict[str, set[str]] = {}
    identity = ""
    for line in (ROOT / "infra" / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("| identity | role"):
            break  # the second table, which tests/infra/test_accounts.py reads
        if len(cells) == 6 and any(cells[2].startswith(verb) for verb in ("get", "create", "delete")):
            identity = cells[1].replace("`", "") or identity
            names = [name.replace("*", "") for name in re.findall(r"`([^`]+)`", cells[3])]
            stages = [name.replace("<stage>", stage) for name in names for stage in STAGES]
            verbs = {"get": ["reader"], "delete (overwrite)": ["remover"], "create": ["creator"]}
            for role in verbs.get(cells[2], ["creator", "remover"]):
                table.setdefault(f"{identity} {role}", set()).update(stages)
    modules = {
        "NAME-train": "train_access",
        "NAME-validate": "validate_access",
        "NAME-batch": "batch_access",
        "NAME-dataflow": "dataflow_access[0]",
        "NAME-batch and NAME-dataflow, sources": 'flex_access["batch"]',
        "NAME-watch": "watch_access",
        "NAME-staging": 'predict_access["staging"]',
        "NAME-production": 'predict_access["production"]',
        "promoters": f'promoter_access["{ADA}"]',
        "data editors": f'data_access["{ADA}"]',
        "NAME-delivery, state": "delivery_state",
        "NAME-delivery, sources": "delivery_sources",
    }
    assert table == {
        f"{name} {role}": set(prefixes)
        for name, module in modules.items()
        for role, prefixes in grants(plan, module).items()
    }
