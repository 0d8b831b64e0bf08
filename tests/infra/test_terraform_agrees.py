"""Code and plan agree: environment variables, permissions, names of objects, log lines that alerts count."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import pytest

from functions.predict.loaded_model import load
from functions.train import lease, pipeline
from functions.train.service import Service
from functions.train.tracking import BucketTracker
from shared import layout, logs
from shared.errors import NotPermitted
from shared.layout import STAGES
from shared.store import CREATE_ONLY, Download, ObjectInfo, write_once
from tests.candidates import build, run_id
from tests.infra.terraform import ROOT, Workspace
from tests.memory_store import MemoryStore
from tests.unit.train.test_pipeline import LINEAR, SETTINGS, seeded
from tests.unit.validate.world import World

READ = re.compile(r'env(?:ironment)?\.(?:text|optional|integer|number|choice)\(\s*"([A-Z_]+)"')
NOT_SET = {
    "OIDC_AUDIENCE": "Cloud Run has checked the token, and hands its signature on to nobody",
    "OIDC_CERTS_URL": "goes with OIDC_AUDIENCE",
    "TRAIN_JOBS": "the default, the container's processors, is right there",
    "TRAIN_BACKEND": "the default, processes, is right there",
    "BODY_SECONDS": "the default is far below the service's own time-out",
    "REMEMBERED_ROWS": "the default fits the memory that the service is given",
    "LEASE_SECONDS": "the default is what the schedule's back-off was chosen for",
}
"""Variables that are left at their defaults on Google Cloud, each with why."""

Plan = dict[str, Any]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("terraform")).get()


@pytest.fixture(scope="module")
def plan(workspace: Workspace) -> Plan:
    return workspace.plan(promoters=["user:ada@example.com"], mlflow_tracking_uri="https://mlflow.example.com")


def variables_read(function: str) -> set[str]:
    """The names in the settings of one function."""
    return set(READ.findall((ROOT / "functions" / function / "settings.py").read_text())) - set(NOT_SET)


def variables_set(plan: Plan) -> dict[str, set[str]]:
    """By function, what its environment holds."""
    found = {
        name: set(plan[f"google_cloudfunctions2_function.{name}"]["service_config"][0]["environment_variables"])
        for name in ("train", "validate")
    }
    services = [values for address, values in plan.items() if address.startswith("module.predict[")]
    for values in services:
        found["predict"] = {entry["name"] for entry in values["template"][0]["containers"][0]["env"]}
    return found


def test_every_variable_that_a_function_reads_is_set_and_no_other(plan: Plan) -> None:
    assert variables_set(plan) == {name: variables_read(name) for name in ("train", "validate", "predict")}


def test_what_is_left_at_its_default_is_read_somewhere() -> None:
    text = "".join((ROOT / "functions" / name / "settings.py").read_text() for name in ("train", "validate", "predict"))
    assert set(NOT_SET) <= set(READ.findall(text))


def test_a_misspelt_variable_is_caught(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.change("validate.tf", "DEADLINE_SECONDS ", "DEADLINE_SECOND ")
    assert variables_set(workspace.get().plan())["validate"] ^ variables_read("validate") == {
        "DEADLINE_SECOND",
        "DEADLINE_SECONDS",
    }


# ---- permissions -----------------------------------------------------------------------------------------------------


@dataclass
class Granted:
    """The bucket as one identity may use it: refuses what the plan does not grant, notes which grants were needed."""

    bucket: MemoryStore
    grants: Mapping[str, list[str]]
    needed: set[tuple[str, str]] = field(default_factory=set)

    def read(self, name: str, generation: int | None = None) -> Download:
        self._require("reader", name)
        return self.bucket.read(name, generation)

    def stat(self, name: str) -> ObjectInfo | None:
        self._require("reader", name)
        return self.bucket.stat(name)

    def write(self, name: str, data: bytes, *, if_generation: int | None, content_type: str) -> ObjectInfo:
        self._require("creator", name)
        if if_generation != CREATE_ONLY and self.bucket.stat(name) is not None:
            self._require("remover", name)
        return self.bucket.write(name, data, if_generation=if_generation, content_type=content_type)

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        self._require("reader", source.name)
        self._require("creator", name)
        return self.bucket.copy(source, name)

    def list(self, prefix: str) -> list[ObjectInfo]:
        return self.bucket.list(prefix)

    def delete(self, name: str, *, if_generation: int) -> None:
        self._require("remover", name)
        self.bucket.delete(name, if_generation=if_generation)

    def _require(self, role: str, name: str) -> None:
        matching = [prefix for prefix in self.grants.get(role, []) if name.startswith(prefix)]
        if not matching:
            raise NotPermitted(f"{role} is not granted for {name!r}")
        self.needed.add((role, max(matching, key=len)))

    @property
    def not_needed(self) -> set[tuple[str, str]]:
        """What is granted without any use."""
        return {(role, prefix) for role, prefixes in self.grants.items() for prefix in prefixes} - self.needed


def granted(plan: Plan, module: str) -> dict[str, list[str]]:
    """By role, the prefixes of one identity's conditions."""
    return {
        address.split('"')[-2]: re.findall(r'/objects/([^"]*)"', values["condition"][0]["expression"])
        for address, values in plan.items()
        if address.startswith(f"module.{module}.") and ".objects[" in address
    }


def logged(work: Callable[[], object]) -> list[dict[str, Any]]:
    """The lines that train logs meanwhile."""
    stream, outer = io.StringIO(), logs.LOGGER.handlers
    logs.configure("train", stream=stream)
    try:
        work()
    finally:
        logs.LOGGER.handlers = outer
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def trained(store: Any) -> str:
    """What becomes of one run, with the quickest algorithms only."""
    tracker = BucketTracker(store)
    return pipeline.run(store, tracker, SETTINGS, SETTINGS.dataset, force=False, zoo=LINEAR).status


def test_train_may_do_what_it_does_and_nothing_else(plan: Plan) -> None:
    bucket = seeded()
    store = Granted(bucket, granted(plan, "train_access"))
    assert [trained(store), trained(store)] == ["trained", "unchanged"]
    (kept,) = bucket.list(layout.tracked())
    write_once(store, kept.name, bucket.read(kept.name).data, "application/msgpack")  # as where an answer was lost
    held = lease.claim(store, "f" * 64, run_id(1), 60)
    with pytest.raises(RuntimeError), held:  # type: ignore[union-attr]
        raise RuntimeError("a run that fails releases its lease")
    assert bucket.stat(layout.lease("f" * 64)) is None
    assert store.not_needed == set()


def test_validate_may_do_what_it_does_and_nothing_else(plan: Plan) -> None:
    world = World()
    store = Granted(world.bucket, granted(plan, "validate_access"))

    def judged(minute: int) -> None:
        assert world.deliver(world.publish(build(run_id(minute))), store=store)[-1]["reason"] == "promoted"

    def promoted(name: str, reason: str) -> None:
        generation = world.mark_copy(name)
        assert world.deliver(layout.MARKER, generation, store)[-1]["reason"] == reason

    judged(1)
    promoted(layout.pointer("staging"), "promoted")
    judged(2)
    promoted(layout.pointer("staging"), "promoted")
    promoted(world.history_keys("production")[0], "promoted")  # a rollback
    for _ in range(2):
        assert world.deliver(layout.MARKER, world.mark(b"{}"), store)[-1]["reason"] == "marker_malformed"
    for stage in STAGES:  # an entry whose promotion lost its race
        key = world.history_keys(stage)[-1]
        store.delete(key, if_generation=world.info(key).generation)
    assert store.not_needed == set()


@pytest.mark.parametrize("stage", STAGES)
def test_predict_may_read_its_stage_and_nothing_else(plan: Plan, stage: layout.Stage) -> None:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    store = Granted(world.bucket, granted(plan, f'predict_access["{stage}"]'))
    assert load(store, stage).manifest.run_id == run_id(1)
    assert store.not_needed == set()
    (other,) = {*STAGES} - {stage}
    with pytest.raises(NotPermitted):
        load(store, other)


def test_who_may_promote_cannot_touch_a_model_or_a_pointer(plan: Plan) -> None:
    grants = granted(plan, 'promoter_access["user:ada@example.com"]')
    assert {role: prefixes for role, prefixes in grants.items() if role != "reader"} == {
        "creator": [layout.MARKER],
        "remover": [layout.MARKER],
    }


def test_the_table_of_the_readme_says_what_is_granted(plan: Plan) -> None:
    table: dict[str, set[str]] = {}
    identity = ""
    for line in (ROOT / "infra" / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and any(cells[2].startswith(verb) for verb in ("get", "create", "delete")):
            identity = cells[1].strip("`") or identity
            names = re.findall(r"`([^`]+)`", cells[3])
            stages = [name.replace("<stage>", stage) for name in names for stage in STAGES]
            verbs = {"get": ["reader"], "delete (overwrite)": ["remover"], "create": ["creator"]}
            for role in verbs.get(cells[2], ["creator", "remover"]):
                table.setdefault(f"{identity} {role}", set()).update(stages)
    modules = {
        "NAME-train": "train_access",
        "NAME-validate": "validate_access",
        "NAME-staging": 'predict_access["staging"]',
        "NAME-production": 'predict_access["production"]',
        "promoters": 'promoter_access["user:ada@example.com"]',
    }
    assert table == {
        f"{name} {role}": set(prefixes)
        for name, module in modules.items()
        for role, prefixes in granted(plan, module).items()
    }


def keys() -> Iterator[str]:
    """A key of every kind that the code builds."""
    yield from (layout.SPEC, layout.MARKER, layout.REJECTED, layout.lease("x"), layout.tracked(run_id(1)))
    yield layout.candidate(run_id(1), layout.MANIFEST)
    for stage in STAGES:
        yield from (layout.pointer(stage), layout.staged(stage, run_id(1), layout.MODEL))
        yield layout.history_folder(stage) + "x"


def test_every_prefix_is_one_of_the_layout(plan: Plan) -> None:
    prefixes = re.findall(r"/objects/([a-z][^\"\\]*)\\\"", json.dumps(plan))
    rules = plan["google_storage_bucket.pipeline"]["lifecycle_rule"]
    prefixes += [prefix for rule in rules for prefix in rule["condition"][0]["matches_prefix"] or []]
    assert len(prefixes) > 20
    for prefix in prefixes:
        assert any(key.startswith(prefix) for key in keys()), f"nothing is ever written under {prefix}"


# ---- log lines -------------------------------------------------------------------------------------------------------


def matches(condition: str, entry: Mapping[str, Any]) -> bool:
    """Whether a log entry fulfils `condition`, in that part of Cloud Logging's language which the filters use."""
    assert " OR " not in condition, "add OR here before a filter uses it"
    return all(_fulfils(term.strip(), entry) for term in condition.split(" AND "))


SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


def _fulfils(term: str, entry: Mapping[str, Any]) -> bool:
    if term.startswith("NOT "):
        return not _fulfils(term[4:], entry)
    parsed = re.fullmatch(r'([\w.]+) *(>=|=|:) *("([^"]*)"|\*|[A-Z]+)', term)
    assert parsed, f"this test cannot read {term!r}"
    path, operator, raw, quoted = parsed.groups()
    value: Any = entry
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if operator == ":":
        return value is not None
    if operator == ">=":
        return SEVERITIES.index(str(value)) >= SEVERITIES.index(raw)
    return bool(value == quoted)


def entry(service: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A line on stderr as Cloud Logging keeps it."""
    payload = {name: value for name, value in line.items() if name not in ("severity", "time")}
    labels = {"service_name": f"tabular-{service}"}
    return {
        "resource": {"type": "cloud_run_revision", "labels": labels},
        "severity": line["severity"],
        "jsonPayload": payload,
    }


@pytest.fixture(scope="module")
def filters(plan: Plan) -> dict[str, str]:
    return {
        values["name"].removeprefix("tabular-"): values["filter"]
        for address, values in plan.items()
        if ".google_logging_metric." in f".{address}"
    }


def counted(filters: Mapping[str, str], service: str, lines: list[dict[str, Any]]) -> set[str]:
    """Which metrics count any of these lines."""
    entries = [entry(service, line) for line in lines]
    assert entries
    return {name for name, text in filters.items() if any(matches(text, one) for one in entries)}


def test_a_good_run_rings_no_bell(filters: dict[str, str]) -> None:
    world = World()
    lines = world.deliver(world.publish(build(run_id(1)))) + world.promote(layout.pointer("staging"))
    assert [line["reason"] for line in lines] == ["promoted", "promoted"]
    assert counted(filters, "validate", lines) == set()
    assert counted(filters, "train", logged(lambda: trained(seeded()))) == set()


def test_a_refused_candidate_rings_the_gates_bell(filters: dict[str, str]) -> None:
    world = World()
    assert counted(filters, "validate", world.deliver(world.publish(build(run_id(1), slope=0.0)))) == {"gate-failed"}
    broken = world.publish(build(run_id(2)))
    generation = world.overwrite(broken, b"{")
    assert counted(filters, "validate", world.deliver(broken, generation)) == {"gate-failed"}


@pytest.mark.parametrize("marker", [b"", b"{", b"x" * 10**6])
def test_a_refused_marker_rings_the_markers_bell(filters: dict[str, str], marker: bytes) -> None:
    world = World()
    assert counted(filters, "validate", world.deliver(layout.MARKER, world.mark(marker))) == {"marker-refused"}


def test_an_event_that_is_none_says_that_validation_is_broken(filters: dict[str, str]) -> None:
    assert counted(filters, "validate", World().receive({"id": "1"}, None)) == {"validation-broken"}


def test_bad_data_rings_the_trainers_bell(filters: dict[str, str]) -> None:
    store = seeded()
    store.write(layout.SPEC, b'name = "x"', if_generation=None, content_type="text/plain")
    service = Service(SETTINGS, store, BucketTracker(store), lambda _token: None)
    with flask.Flask("test").test_request_context("/", method="POST"):
        lines = logged(lambda: service.answer(flask.request))
    assert counted(filters, "train", lines) == {"training-failed"}
