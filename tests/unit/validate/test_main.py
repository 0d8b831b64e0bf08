"""The entry: which events are acted on, what is acknowledged, what is raised, and what is logged."""

from typing import Any

import pytest

from functions.validate.main import Validator
from functions.validate.settings import ValidateSettings
from shared import layout
from shared.deadline import DeadlineStore
from shared.errors import SettingsError, StorageUnavailable, TransientError
from tests.candidates import build, run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.world import NOW, World, attributes, resource
from tests.watched_store import WatchedStore, failing_at

MANIFEST = layout.candidate(run_id(1), layout.MANIFEST)
ENVELOPE = {"message": {"data": "e30=", "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}

NOT_OURS = [
    "",
    " ",
    "candidates/",
    "promote/",
    f"candidates/{run_id(1)}/",
    f"candidates/{run_id(1)}/decision.json",
    f"candidates/{run_id(1)}/model.onnx",
    f"candidates/{run_id(1)}/manifest.json.tmp",
    f"candidates/{run_id(1)}/manifest.json/",
    f"candidates/{run_id(1)}/manifest.json_.gstmp",
    f"candidates/{run_id(1)}/sub/manifest.json",
    f"candidates/{run_id(1)}/../{run_id(1)}/manifest.json",
    f"candidates/../candidates/{run_id(1)}/manifest.json",
    f"candidates%2F{run_id(1)}%2Fmanifest.json",
    f"/candidates/{run_id(1)}/manifest.json",
    f"Candidates/{run_id(1)}/manifest.json",
    f"candidates/{run_id(1)}/manifest.json\n",
    f"candidates/{run_id(1)}/manifest.json ",
    f"candidates//{run_id(1)}/manifest.json",
    "candidates/20261399T070000Z-0123abcd/manifest.json",
    "candidates/20260105T070000Z-0123ABCD/manifest.json",
    "candidates/latest/manifest.json",
    f"x/candidates/{run_id(1)}/manifest.json",
    f"staging/{run_id(1)}/manifest.json",
    f"gsutil/tmp/parallel_composite_uploads/for_details_see/gsutil_help_cp/{run_id(1)}_candidates_manifest.json_0",
    "staging/current.json",
    "production/current.json",
    "promote/production.rejected.json",
    "promote/production.json.tmp",
    "promote/production.json/",
    "promote/Production.json",
    "promote/staging.json",
    "promote%2Fproduction.json",
    "promote/../promote/production.json",
    "promote/prodüction.json",
    f"candidates/{run_id(1)}/mänifest.json",
    f"candidates/２{run_id(1)[1:]}/manifest.json",
    "candidates/" + "x" * 999 + "/manifest.json",
    "x" * 1024,
    "☃" * 341,
]


WRONG_FIELDS: tuple[object, ...] = (None, 5, True, [], {}, "")
NO_OBJECTS: list[object] = [
    *(None, [], {}, b"{", b"", "text", 7, True, ENVELOPE, [resource(MANIFEST, 1)], {"bucket": "b", "name": MANIFEST}),
    *({**resource(MANIFEST, 1), field: wrong} for field in ("bucket", "name") for wrong in WRONG_FIELDS),
]


def observed(about: dict[str, object], data: object) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """The storage calls and the log lines that one event caused, with a candidate and a marker waiting."""
    world = World()
    world.publish(build(run_id(1)))
    world.mark(b"{}")
    store = WatchedStore(world.bucket)
    lines = world.receive(about, data, store)
    return store.calls, lines


@pytest.mark.parametrize("name", [name for name in NOT_OURS if name])
def test_a_name_that_is_not_ours_is_acknowledged_with_no_call(name: str) -> None:
    assert observed(attributes(), resource(name, 1)) == ([], [])


@pytest.mark.parametrize("kind", ["deleted", "archived", "metadataUpdated", "finalized.v2"])
@pytest.mark.parametrize("name", [MANIFEST, layout.MARKER])
def test_another_type_of_event_is_acknowledged_with_no_call(name: str, kind: str) -> None:
    assert observed(attributes(kind=f"google.cloud.storage.object.v1.{kind}"), resource(name, 1)) == ([], [])


def test_another_bucket_is_acknowledged_with_no_call() -> None:
    assert observed(attributes("other"), resource(MANIFEST, 1, "other")) == ([], [])


@pytest.mark.parametrize(
    "data",
    NO_OBJECTS,
    ids=str,
)
def test_data_that_is_no_object_is_one_error_and_acknowledged_with_no_call(data: object) -> None:
    calls, lines = observed(attributes(), data)
    assert calls == []
    assert [(line["severity"], line["reason"]) for line in lines] == [("ERROR", "invalid_event")]


@pytest.mark.parametrize("generation", ["0", "-1", "1e3", "", None, 5, True])
def test_a_generation_that_is_none_is_one_error_with_no_call(generation: object) -> None:
    calls, lines = observed(attributes(), {**resource(MANIFEST, 1), "generation": generation})
    assert calls == []
    assert [line["reason"] for line in lines] == ["invalid_event"]


def test_an_event_whose_source_is_another_bucket_is_not_believed() -> None:
    calls, lines = observed(attributes("other"), resource(MANIFEST, 1))
    assert calls == []
    assert [line["reason"] for line in lines] == ["invalid_event"]


def test_no_log_line_holds_what_the_event_held() -> None:
    _, [line] = observed(attributes(), {"bucket": "b", "name": ["secret-cell"], "generation": "1"})
    assert "secret-cell" not in str(line)


@pytest.mark.parametrize("name", [MANIFEST, layout.MARKER])
def test_storage_that_fails_is_raised_with_one_warning(name: str) -> None:
    world = World()
    world.publish(build(run_id(1)))
    world.mark(b"{}")
    store = failing_at(world.bucket, 1, after=False)
    with pytest.raises(StorageUnavailable):
        world.deliver(name, store=store)


def test_our_own_writes_ask_for_nothing() -> None:
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    world.mark(b"")
    world.deliver(layout.MARKER)
    before = world.content()
    for name in world.names():
        if name not in (MANIFEST, layout.MARKER):
            assert world.deliver(name) == []
    assert world.content() == before


def test_no_call_begins_after_the_deadline() -> None:
    seconds = iter([0.0, 499.0, 500.0])
    store = DeadlineStore(MemoryStore(), 500.0, lambda: next(seconds))
    assert store.stat("x") is None
    with pytest.raises(TransientError, match="not finished within 500 s"):
        store.list("")


def test_an_event_that_takes_too_long_is_delivered_again() -> None:
    settings = ValidateSettings(bucket="b", deadline_seconds=0.0, log_level="INFO")
    with pytest.raises(TransientError):
        Validator(settings, MemoryStore(), lambda: NOW).receive(attributes(), resource(MANIFEST, 1))


def test_settings_have_a_deadline_below_the_platforms() -> None:
    settings = ValidateSettings.from_env({"BUCKET": "b"})
    assert settings == ValidateSettings(bucket="b", deadline_seconds=500.0, log_level="INFO")


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, "BUCKET"),
        ({"BUCKET": " "}, "BUCKET"),
        ({"BUCKET": "b", "DEADLINE_SECONDS": "541"}, "DEADLINE_SECONDS"),
        ({"BUCKET": "b", "DEADLINE_SECONDS": "nan"}, "DEADLINE_SECONDS"),
        ({"BUCKET": "b", "DEADLINE_SECONDS": "0"}, "DEADLINE_SECONDS"),
        ({"BUCKET": "b", "LOG_LEVEL": "loud"}, "LOG_LEVEL"),
    ],
)
def test_a_setting_that_is_wrong_is_named(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        ValidateSettings.from_env(environ)
