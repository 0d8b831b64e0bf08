"""The metrics' filters against the lines that train and validate really log, of good runs and each kind of bad one."""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flask
import pytest

from functions.train import job, pipeline
from functions.train.door.service import TrainService
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from shared import layout, logs
from shared.errors import SettingsError
from tests.candidates import build, run_id
from tests.infra.terraform import Workspace, of_type
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, seeded
from tests.unit.batch.world import BatchWorld, as_csv, rows
from tests.unit.validate.world import World
from tests.unit.watch.world import World as WatchWorld
from tests.unit.watch.world import rows as watched_rows

Entry = dict[str, Any]
TERM = re.compile(r'(NOT )?([A-Za-z_.]+) (=|>=|:) (?:"([^"]*)"|([A-Z*]+))')
OWN_LOG = "projects/my-project/logs/run.googleapis.com%2Fstderr"
"""What a service writes itself; https://cloud.google.com/run/docs/logging names it."""
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def matches(filter_text: str, entry: Entry) -> bool:
    """Cloud Logging's query language, as far as the filters use it: comparisons joined by AND."""
    return all(_holds(term, entry) for term in filter_text.split(" AND "))


def _holds(term: str, entry: Entry) -> bool:
    parts = TERM.fullmatch(term)
    assert parts, f"a term that this test cannot read: {term}"
    negated, path, operator, text, word = parts.groups()
    value: Any = entry
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if operator == ":":
        assert word == "*", term
        found = value is not None
    elif operator == ">=":
        found = SEVERITIES.index(value) >= SEVERITIES.index(word)
    else:
        found = value == text
    return found != bool(negated)


JOB = "the job"
"""Stands for the training job, whose lines come from another kind of resource."""


def entry_of(service: str, line: Entry) -> Entry:
    """A line of a function's log as Cloud Run hands it to Cloud Logging."""
    payload = {name: value for name, value in line.items() if name not in ("severity", "time") and value is not None}
    resource: Entry = {"type": "cloud_run_revision", "labels": {"service_name": service}}
    if service == JOB:
        resource = {"type": "cloud_run_job", "labels": {"job_name": "tabular-train"}}
    return {"logName": OWN_LOG, "resource": resource, "severity": line["severity"], "jsonPayload": payload}


def metrics_of(plan: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["filter"] for entry in of_type(plan, "google_logging_metric").values()}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("infra")).get()


@pytest.fixture(scope="module")
def filters(workspace: Workspace) -> dict[str, str]:
    """Metric → its filter."""
    return metrics_of(workspace.plan())


def fired(filters: dict[str, str], service: str, lines: list[Entry]) -> set[str]:
    """The metrics that count at least one of the lines."""
    assert lines, "nothing was logged"
    return {name for name, text in filters.items() for line in lines if matches(text, entry_of(service, line))}


@contextmanager
def logged(service: str) -> Iterator[list[Entry]]:
    stream, outer = io.StringIO(), logs.LOGGER.handlers
    lines: list[Entry] = []
    logs.configure(service, stream=stream)
    try:
        yield lines
    finally:
        logs.LOGGER.handlers = outer
        lines.extend(json.loads(line) for line in stream.getvalue().splitlines())


def test_the_platform_s_own_line_about_a_5xx_counts_nowhere(filters: dict[str, str]) -> None:
    """It has the same resource and severity ERROR, and most of what it tells heals by itself."""
    for service in ("tabular-train", "tabular-validate", "tabular-batch", "tabular-watch"):
        line = {
            "logName": "projects/my-project/logs/run.googleapis.com%2Frequests",
            "resource": {"type": "cloud_run_revision", "labels": {"service_name": service}},
            "severity": "ERROR",
            "httpRequest": {"status": 503},
        }
        assert [name for name, text in filters.items() if matches(text, line)] == []


# ---- training --------------------------------------------------------------------------------------------------------


def call(store: MemoryStore) -> int:
    settings = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})
    service = TrainService(settings, store, NullTracker(), lambda _: None, MODEL_ZOO[:2])
    with flask.Flask("test").test_request_context("/", method="POST"):
        return service.answer(flask.request).status_code


def test_a_good_run_and_an_unchanged_one_tell_nobody(filters: dict[str, str]) -> None:
    store = seeded()
    with logged("train") as lines:
        assert call(store) == 200
        assert call(store) == 200
    assert fired(filters, "tabular-train", lines) == set()


def no_table(store: MemoryStore) -> None:
    store.write("data/stud.csv", b"a,b\n", if_generation=None, content_type="text/csv")


def no_spec(store: MemoryStore) -> None:
    store.write(layout.SPEC, b"name = 3", if_generation=None, content_type="text/plain")


@pytest.mark.parametrize("spoil", [no_table, no_spec])
def test_a_table_that_cannot_be_trained_on_is_told(
    filters: dict[str, str], spoil: Callable[[MemoryStore], None]
) -> None:
    store = seeded()
    spoil(store)
    with logged("train") as lines:
        assert call(store) == 422
    assert fired(filters, "tabular-train", lines) == {"tabular-training-failed"}


def test_what_the_job_refuses_is_told_and_the_function_s_lines_are_not_the_job_s(workspace: Workspace) -> None:
    filters = metrics_of(workspace.plan(train_as="job"))
    settings, store = TrainSettings.from_env({"BUCKET": "b", "TRAIN_JOBS": "1"}), seeded()
    no_table(store)
    with logged("train") as lines:
        assert job.train(store, NullTracker(), settings, MODEL_ZOO[:2]) == job.DONE
    assert fired(filters, JOB, lines) == {"tabular-training-failed"}
    assert fired(filters, "tabular-train", lines) == set()


def test_a_fault_of_ours_is_told(filters: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "run", broken)
    with logged("train") as lines:
        assert call(seeded()) == 500
    assert fired(filters, "tabular-train", lines) == {"tabular-training-failed"}


# ---- validation ------------------------------------------------------------------------------------------------------


def test_good_promotions_and_redeliveries_tell_nobody(filters: dict[str, str]) -> None:
    world = World()
    name = world.publish(build(run_id(1)))
    lines = [*world.deliver(name), *world.deliver(name)]
    lines += world.promote(layout.pointer("staging"))
    lines += world.deliver(layout.MARKER)
    assert fired(filters, "tabular-validate", lines) == set()


def test_a_refused_candidate_is_told(filters: dict[str, str]) -> None:
    world = World()
    lines = world.deliver(world.publish(build(run_id(1), slope=0.0)))
    assert fired(filters, "tabular-validate", lines) == {"tabular-gate-failed"}


def test_a_manifest_that_cannot_be_read_is_told(filters: dict[str, str]) -> None:
    world = World()
    key = layout.candidate(run_id(1), layout.MANIFEST)
    world.overwrite(key, b"{")
    assert fired(filters, "tabular-validate", world.deliver(key)) == {"tabular-gate-failed"}


def test_a_refused_marker_is_told(filters: dict[str, str]) -> None:
    world = World()
    world.mark(b"no pointer")
    assert fired(filters, "tabular-validate", world.deliver(layout.MARKER)) == {"tabular-marker-refused"}


def test_validation_without_its_settings_is_told(filters: dict[str, str]) -> None:
    with logged("validate") as lines:
        logs.error("environment variable BUCKET is not set", reason=SettingsError.reason)
    assert fired(filters, "tabular-validate", lines) == {"tabular-validation-broken"}


def test_an_event_that_is_none_is_told(filters: dict[str, str]) -> None:
    lines = World().receive({"id": "1"}, None)
    assert fired(filters, "tabular-validate", lines) == {"tabular-validation-broken"}


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_answered_tells_nobody(filters: dict[str, str]) -> None:
    world = BatchWorld()
    info = world.drop("a.csv", as_csv(rows(50)))
    assert fired(filters, "tabular-batch", [*world.deliver(info), *world.deliver(info)]) == set()


def test_a_refused_file_and_an_event_that_is_none_are_told(filters: dict[str, str]) -> None:
    world = BatchWorld()
    for lines in (world.deliver(world.drop("a.csv", b"length,width\n1,2\n")), world.receive(None)):
        assert fired(filters, "tabular-batch", lines) == {"tabular-batch-refused"}


# ---- watch -----------------------------------------------------------------------------------------------------------


def test_an_alarm_is_told_and_a_quiet_look_is_not(filters: dict[str, str]) -> None:
    world = WatchWorld()
    world.serve()
    world.ask(watched_rows(300), blocks=4)
    world.pass_days()
    assert fired(filters, "tabular-watch", world.look()) == set()
    world.ask(watched_rows(1_000, lunch={"standard": 0.3, "free/reduced": 0.65, "": 0.05}), blocks=8)
    world.pass_days()
    assert fired(filters, "tabular-watch", world.look()) == {"tabular-watch-alarm"}


def test_a_refused_file_of_labels_is_told_apart_from_an_alarm(filters: dict[str, str]) -> None:
    world = WatchWorld()
    world.serve()
    assert fired(filters, "tabular-watch", world.label(b"")) == {"tabular-watch-broken"}


def test_another_services_errors_are_not_counted(filters: dict[str, str]) -> None:
    world = World()
    world.mark(b"no pointer")
    assert fired(filters, "other-validate", world.deliver(layout.MARKER)) == set()
