"""A whole training run over an honest in-memory bucket."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from functions.train import inputs, pipeline
from functions.train.candidate.enclosures import conformal_interval
from functions.train.candidate.selection import NO_TIME, Finish, finish_all, select
from functions.train.code import code_digest
from functions.train.data.features import describe_features
from functions.train.inputs import read_inputs
from functions.train.lease import Force, Held, LeaseLost, Taken, claim
from functions.train.search import progress
from functions.train.search.folds import make_folds
from functions.train.search.progress import LogLines
from functions.train.search.search import SearchPlan, search
from functions.train.search.time_left import Ahead
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import TrainSettings
from functions.train.stages import split
from functions.train.tracking.trackers import Tracker
from shared import layout, logs
from shared.card import Card
from shared.card_page import card_page
from shared.clock import utc_now
from shared.codec import decode, decode_gzip, digest, encode
from shared.dataset import TuningSpec
from shared.documents import Manifest
from shared.errors import InvalidDataset, ObjectMissing, PreconditionFailed, StorageUnavailable
from shared.model_runtime import Model, require_golden
from shared.profiles import Golden, Holdout, Profile
from shared.store import CREATE_ONLY, ObjectInfo
from shared.tables.reading import read_table
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import seeded

LINEAR = MODEL_ZOO[:4]
SHORTEST = MODEL_ZOO[:2]
"""Without anything to search for: enough where it matters what is written, not what is learnt."""
SETTINGS = TrainSettings.from_env({"BUCKET": "b"})


def run(
    store: MemoryStore, tracker: Tracker | None = None, force: bool = False, zoo: Sequence[Algorithm] = LINEAR
) -> pipeline.Summary:
    return pipeline.run(store, tracker or NullTracker(), SETTINGS, SETTINGS.dataset, force=force, zoo=zoo)


@pytest.fixture(scope="module")
def trained() -> tuple[MemoryStore, pipeline.Summary]:
    store = seeded()
    return store, run(store)


def manifest_of(store: MemoryStore, run_id: str) -> Manifest:
    key = layout.candidate(run_id, layout.MANIFEST)
    return decode(store.read(key).data, Manifest, key)


def file_of(store: MemoryStore, run_id: str, name: str) -> bytes:
    return store.read(layout.candidate(run_id, name)).data


def test_the_sample_is_learnt_about_as_well_as_it_can_be(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    _, summary = trained
    assert summary.status == "trained"
    assert summary.cv_r2 is not None
    assert 0.20 < summary.cv_r2 < 0.27  # the ceiling of this table is near 0.23


def test_the_candidate_is_what_its_manifest_says(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    manifest = manifest_of(store, summary.run_id)
    assert {name: digest(file_of(store, summary.run_id, name)) for name in manifest.files} == manifest.files
    assert set(manifest.files) == {
        layout.MODEL,
        layout.HOLDOUT,
        layout.GOLDEN,
        layout.PROFILE,
        layout.BACKGROUND,
        layout.REPORT,
        layout.REPORT_PAGE,
        layout.CARD,
        layout.CARD_PAGE,
    }
    names = ["gender", "race_ethnicity", "parental_level_of_education", "lunch", "test_preparation_course"]
    assert [feature.name for feature in manifest.features] == names
    assert "none" in (manifest.features[4].categories or ())
    assert manifest.dropped[:2] == ("reading_score", "writing_score")


def test_the_model_reproduces_its_golden_rows_and_its_holdout_score(
    trained: tuple[MemoryStore, pipeline.Summary],
) -> None:
    store, summary = trained
    manifest = manifest_of(store, summary.run_id)
    model = Model(file_of(store, summary.run_id, layout.MODEL), manifest.features)
    golden = decode(file_of(store, summary.run_id, layout.GOLDEN), Golden, "golden")
    assert len(golden.rows) == 50
    assert any(None in row.values() for row in golden.rows)
    require_golden(model, golden)
    holdout = decode_gzip(file_of(store, summary.run_id, layout.HOLDOUT), Holdout, "holdout")
    target = np.array(holdout.target)
    residual = target - model.predict(holdout.columns)
    assert 1 - (residual**2).sum() / ((target - target.mean()) ** 2).sum() == pytest.approx(manifest.model.holdout.r2)
    assert len(holdout.target) == manifest.dataset.holdout_rows


def test_a_run_has_its_card_twice_and_both_say_the_same(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    found = decode(file_of(store, summary.run_id, layout.CARD), Card, layout.CARD)
    assert found.run_id == summary.run_id
    assert found.scores["r2"].value == pytest.approx(summary.holdout_r2, abs=1e-9)
    assert found.leading[0].feature == "lunch"
    assert found.slices
    assert any("does not use" in limit and "reading_score" in limit for limit in found.limits)
    assert file_of(store, summary.run_id, layout.CARD_PAGE) == card_page(found)


def test_the_report_has_a_row_for_every_algorithm(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    report = json.loads(file_of(store, summary.run_id, layout.REPORT))
    assert [row["name"] for row in report["algorithms"]] == ["Dummy", "LinearRegression", "Ridge", "Lasso", "Blend"]
    assert all(row["cv"] and row["holdout"] for row in report["algorithms"])
    assert report["selected"] == summary.algorithm


def test_the_page_needs_no_network_and_shows_every_part(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    page = file_of(store, summary.run_id, layout.REPORT_PAGE).decode()
    assert "<script" not in page
    assert "http" not in page
    assert page.count('src="data:image/svg+xml;base64,') == 7
    for part in (
        "Predicted against actual",
        "Residuals",
        "Permutation importance",
        "Who is served worse",
        "The search",
    ):
        assert part in page


def test_the_report_says_what_the_winner_leans_on_and_whom_it_serves(
    trained: tuple[MemoryStore, pipeline.Summary],
) -> None:
    store, summary = trained
    held = json.loads(file_of(store, summary.run_id, layout.REPORT))["holdout"]
    assert 0.8 < held["coverage"]["share"] < 0.98
    assert sum(part["rows"] for part in held["coverage"]["by_prediction"]) == held["rows"]
    assert held["importance"][0]["feature"] == "lunch"
    assert held["importance"][0]["mean"] > 0.05
    lunches = [group for group in held["groups"] if group["feature"] == "lunch"]
    assert {group["group"] for group in lunches} == {"standard", "free/reduced"}
    assert sum(group["rows"] for group in lunches) == held["rows"]


def test_a_budget_that_is_too_short_is_told_with_every_algorithm() -> None:
    settings = TrainSettings.from_env({"BUCKET": "b", "TRAIN_BUDGET_SECONDS": "30", "TRAIN_JOBS": "1"})
    slow = Algorithm("Slow", lambda _: Ridge(), fit_seconds=3600.0)
    store = seeded()
    summary = pipeline.run(store, NullTracker(), settings, settings.dataset, force=False, zoo=(*MODEL_ZOO[:2], slow))
    rows = {row["name"]: row for row in json.loads(file_of(store, summary.run_id, layout.REPORT))["algorithms"]}
    assert summary.algorithm == "LinearRegression"
    assert rows["Slow"]["error"] == "candidates cut by the time budget: 1"
    assert not rows["Slow"]["selectable"]
    assert file_of(store, summary.run_id, layout.REPORT_PAGE).decode().count("candidates cut by the time budget") == 1


def test_what_would_be_refitted_too_late_is_told_and_the_best_is_published() -> None:
    """Refits that take longer than the rest of the budget: one is made, the best; the others say why not."""
    inputs = read_inputs(seeded(), "b", SETTINGS.dataset)
    table = read_table(inputs.source.data, inputs.spec)
    training, held = split(table, inputs.spec)
    features = describe_features(table.columns, training, inputs.spec)
    folds = make_folds(training.features, training.target, table.columns, 5, 42)
    searched = search(LINEAR, folds, SearchPlan(TuningSpec(random_iterations=2), 42))
    results = finish_all(searched, Finish(table.columns, features, training, held, 42, ends=time.monotonic()))
    best = max(searched[1:], key=lambda one: one.best.mean if one.best else -1.0)
    assert [result.name for result in results] == [one.algorithm.name for one in searched]
    assert [result.name for result in results if result.selectable] == [best.algorithm.name]
    assert {result.error for result in results if result.name != best.algorithm.name} == {NO_TIME}
    assert select(results, features).result.name == best.algorithm.name


def test_a_search_tells_its_log_how_far_it_is_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logs, "info", lambda message, **_: said.append(message))
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    lines = LogLines("20260105T070000Z-0123abcd")
    lines.begin("random", {"Ridge": 1, "RandomForest": 599})
    lines.advance("Ridge", 0.01)
    lines.expect(Ahead(work=599 * 3.0, finishing=60.0))
    for _ in range(599):  # two seconds each, where three were expected: twenty minutes, and what comes after
        clock.now += 2.0
        lines.advance("RandomForest", 3.0)
    assert said[0] == "search (random) 600 fits of 2 algorithms"
    assert said[1] == "search (random) 4 of 600 fits; the run takes about 27 min yet; through: Ridge"
    done, left = int(said[-1].split()[2]), int(said[-1].split("; the run takes about ")[1].split()[0])
    assert left == pytest.approx(2 * (600 - done) + 60 * 2 / 3, abs=2)
    assert 20 < len(said) < 50


def test_the_profile_holds_the_residuals_quantiles(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    profile = decode(file_of(store, summary.run_id, layout.PROFILE), Profile, "profile")
    interval = manifest_of(store, summary.run_id).interval
    assert profile.residual_quantiles == tuple(sorted(profile.residual_quantiles))
    assert profile.residual_quantiles[0] < interval.low_residual < 0 < interval.high_residual


def test_ninety_percent_intervals_cover_nine_of_ten() -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        interval = conformal_interval(generator.normal(size=199))
        new = generator.normal(size=100)
        covered.append(((new >= interval.low_residual) & (new <= interval.high_residual)).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)


def test_the_same_inputs_again_change_nothing(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    before = store.list("")
    again = run(store)
    assert (again.status, again.run_id) == ("unchanged", summary.run_id)
    assert store.list("") == before


def test_force_trains_again(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, first = trained[0].fork(), trained[1]
    time.sleep(1.1)  # run ids have a resolution of a second
    assert run(store, force=True).run_id > first.run_id


def ask_for_force(store: MemoryStore, asked_at: datetime) -> None:
    data = encode(Force(asked_at=asked_at))
    store.write(layout.FORCE, data, if_generation=None, content_type="application/json")


def test_who_asks_for_force_in_the_bucket_gets_one_run(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    """`make retrain FORCE=1`: a scheduler's job has one body, so the wish is an object; a retry does not repeat it."""
    store, first = trained[0].fork(), trained[1]
    time.sleep(1.1)
    ask_for_force(store, utc_now())
    again = run(store, zoo=SHORTEST)
    assert again.run_id > first.run_id
    assert run(store, zoo=SHORTEST) == pipeline.Summary("unchanged", again.run_id)


@pytest.mark.parametrize("age", [timedelta(days=2), None])
def test_an_old_wish_and_one_that_does_not_parse_count_for_nothing(
    trained: tuple[MemoryStore, pipeline.Summary], age: timedelta | None
) -> None:
    store = trained[0].fork()
    if age is None:
        store.write(layout.FORCE, b"\xff", if_generation=None, content_type="application/json")
    else:
        ask_for_force(store, utc_now() - age)
    assert run(store).status == "unchanged"


def test_what_a_run_was_made_of_is_kept_with_it(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, summary = trained
    manifest = manifest_of(store, summary.run_id)
    assert manifest.training is not None
    data, spec = (store.read(f"data/{name}").data for name in ("stud.csv", "dataset.toml"))
    assert store.read(layout.snapshot(manifest.dataset.sha256, ".csv")).data == data
    assert store.read(layout.snapshot(manifest.training.spec_sha256, ".toml")).data == spec


def test_the_manifest_says_how_the_run_was_made(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    manifest = manifest_of(trained[0], trained[1].run_id)
    assert manifest.training is not None
    assert manifest.training.spec["split"]["seed"] == 42
    assert manifest.training.spec["tuning"]["random_iterations"] == 25
    assert manifest.training.budget_seconds == SETTINGS.search.budget_seconds
    assert manifest.code.digest == code_digest()


def test_code_that_was_edited_gives_another_run(
    trained: tuple[MemoryStore, pipeline.Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first = trained[0].fork(), trained[1]
    monkeypatch.setattr(inputs, "code_digest", lambda: "of another zoo.py")
    time.sleep(1.1)
    assert run(store, zoo=SHORTEST).run_id > first.run_id


def test_a_table_that_was_replaced_while_it_was_read_is_no_candidate() -> None:
    class Replaced(MemoryStore):
        def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
            raise ObjectMissing(name)

    store = Replaced()
    seeded(store)
    with pytest.raises(InvalidDataset, match="was replaced while it was read"):
        run(store, zoo=SHORTEST)
    assert store.list("candidates/") == []


def test_changed_data_are_trained_again(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, first = trained[0].fork(), trained[1]
    data = store.read("data/stud.csv")
    row = b'"male","group A","high school","standard","none","50","1","1"\n'
    store.write("data/stud.csv", data.data + row, if_generation=data.generation, content_type="text/csv")
    assert run(store).run_id != first.run_id


def test_two_calls_at_once_train_once() -> None:
    store = seeded()
    summaries: list[pipeline.Summary] = []
    threads = [threading.Thread(target=lambda: summaries.append(run(store))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(summary.status for summary in summaries) in (["in_progress", "trained"], ["trained", "unchanged"])
    assert len({entry.name.split("/")[1] for entry in store.list("candidates/")}) == 1


A, B = "20260105T070000Z-0000000a", "20260105T070000Z-0000000b"


def test_a_run_under_way_keeps_its_lease_and_a_silent_one_loses_it() -> None:
    store = MemoryStore()
    first = claim(store, "k", A, 6, force=False)
    assert isinstance(first, Held)
    with first:
        time.sleep(6.5)  # two renewals are due before it expires: the second may be late on a busy machine
        assert claim(store, "k", B, 6, force=True) == Taken("in_progress", A)


def test_a_suspended_run_that_wakes_up_too_late_publishes_nothing() -> None:
    store = MemoryStore()
    first = claim(store, "k", A, 1, force=False)
    assert isinstance(first, Held)
    time.sleep(1.1)  # its thread that renews has not started: the process was stopped
    assert isinstance(claim(store, "k", B, 60, force=False), Held)
    with first, pytest.raises(LeaseLost):
        for _ in range(600):  # its next renewal finds out, within a third of a second where nobody is in its way
            first.require()
            time.sleep(0.1)


def test_a_lease_that_does_not_parse_is_replaced(trained: tuple[MemoryStore, pipeline.Summary]) -> None:
    store, run_id = trained[0].fork(), trained[1].run_id
    (lease,) = store.list("locks/")
    store.write(lease.name, b"\xff", if_generation=lease.generation, content_type="application/json")
    time.sleep(1.1)
    assert run(store).run_id > run_id


def test_a_run_that_fails_after_its_manifest_is_not_trained_again() -> None:
    """The answer of the last write was lost: the candidate is there, and the next call finds it."""

    class LastAnswerLost(MemoryStore):
        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            if name.startswith("locks/") and any(
                key.name.endswith("/manifest.json") for key in self.list("candidates/")
            ):
                raise StorageUnavailable("503")
            info = super().write(name, data, if_generation=if_generation, **described)
            if name.endswith("/manifest.json"):
                raise StorageUnavailable("the connection was reset")
            return info

    store = LastAnswerLost()
    seeded(store)
    with pytest.raises(StorageUnavailable):
        run(store, zoo=SHORTEST)
    (run_id,) = {entry.name.split("/")[1] for entry in store.list("candidates/")}
    assert run(store) == pipeline.Summary("unchanged", run_id)


def test_a_failed_run_gives_its_lease_back_and_leaves_no_candidate() -> None:
    store = seeded()
    data = store.read("data/stud.csv")
    store.write("data/stud.csv", data.data[:2000], if_generation=data.generation, content_type="text/csv")
    with pytest.raises(InvalidDataset):
        run(store)
    assert store.list("candidates/") == []
    with pytest.raises(InvalidDataset):  # and not "in progress"
        run(store)


def test_a_late_write_does_not_bring_a_lease_back_that_was_given_up() -> None:
    """The first write of a lease is create-only; storage may get it once more after the run has failed."""

    class Remembering(MemoryStore):
        late: Callable[[], ObjectInfo]

        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            def send() -> ObjectInfo:
                return MemoryStore.write(self, name, data, if_generation=if_generation, **described)

            if if_generation == CREATE_ONLY:
                self.late = send
            return send()

    store = Remembering()
    held = claim(store, "k", A, 60)
    assert isinstance(held, Held)
    with pytest.raises(StorageUnavailable), held:
        raise StorageUnavailable("the run ended early")
    with pytest.raises(PreconditionFailed):
        store.late()
    assert isinstance(claim(store, "k", B, 60), Held)


class FailingStore(MemoryStore):
    """A bucket whose n-th write into candidates/ fails."""

    def __init__(self, failing: int) -> None:
        super().__init__()
        self._left = failing

    def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
        if name.startswith("candidates/"):
            self._left -= 1
            if self._left < 0:
                raise StorageUnavailable("503")
        return super().write(name, data, if_generation=if_generation, **described)


@pytest.mark.parametrize("failing", range(7))
def test_the_manifest_is_written_last(failing: int) -> None:
    store = seeded(FailingStore(failing))
    with pytest.raises(StorageUnavailable):
        run(store, zoo=SHORTEST)
    assert len(store.list("candidates/")) == failing
    assert not any(entry.name.endswith(layout.MANIFEST) for entry in store.list("candidates/"))


@pytest.mark.parametrize("name", ["data/dataset.toml", "data/stud.csv"])
def test_a_missing_object_is_named_with_the_way_to_bring_it(name: str) -> None:
    store = seeded()
    present = store.stat(name)
    assert present is not None
    store.delete(name, if_generation=present.generation)
    with pytest.raises(InvalidDataset, match=rf"gs://b/{name} does not exist; copy it there with gsutil cp"):
        run(store)


def test_another_bucket_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="must be in gs://b/"):
        pipeline.run(seeded(), NullTracker(), SETTINGS, "gs://other/data/dataset.toml", force=False)
