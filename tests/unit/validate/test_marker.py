"""The promotion marker: what is promoted, what is refused and why, rollback, and replays of old markers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from functions.validate.asked import MAX_MARKER_BYTES
from functions.validate.rejection import MAX_REJECTION_BYTES
from shared import layout
from shared.codec import decode, digest, encode
from shared.decisions import Pointer, Rejection
from shared.errors import PreconditionFailed, StorageUnavailable
from shared.layout import Stage
from shared.store import ObjectInfo
from tests.candidates import FEATURES, build, graph, run_id
from tests.unit.validate.world import World, world_of_two
from tests.watched_store import WatchedStore, interrupted_at

STAGING = layout.pointer("staging")
PRODUCTION = layout.pointer("production")


def refused(world: World, data: bytes) -> dict[str, object]:
    """Deliver a marker that must be refused; the rejection."""
    before = {name: found for name, found in world.content().items() if not name.startswith("promote/")}
    generation = world.mark(data)
    [line] = world.deliver(layout.MARKER, generation)
    after = {name: found for name, found in world.content().items() if not name.startswith("promote/")}
    assert after == before
    rejection = world.rejection()
    assert (line["severity"], line["reason"], line["stage"]) == ("ERROR", rejection["reason"], "production")
    assert rejection["marker_generation"] == generation
    assert rejection["problems"]
    return rejection


def require_refused(world: World, generation: int, reason: str) -> None:
    """Deliver a marker that must be refused for this reason; production stays with run 1."""
    [line] = world.deliver(layout.MARKER, generation)
    assert (line["reason"], line["severity"]) == (reason, "ERROR")
    assert world.rejection()["reason"] == reason
    assert world.serving("production") == run_id(1)


def pointer_of(world: World, stage: Stage = "staging") -> Pointer:
    pointer = world.pointer(stage)
    assert pointer is not None
    return pointer


def test_a_copy_of_stagings_pointer_promotes_its_run() -> None:
    world = World()
    world.stage(1)
    generation = world.mark_copy(STAGING)
    [line] = world.deliver(layout.MARKER, generation)
    pointer = pointer_of(world, "production")
    assert (line["reason"], line["severity"], line["run_id"]) == ("promoted", "INFO", run_id(1))
    assert line["message"] == f"run {run_id(1)} serves in production"
    assert (pointer.run_id, pointer.stage, pointer.previous_run_id) == (run_id(1), "production", None)
    assert pointer.marker_generation == generation
    assert pointer.decision == pointer_of(world).decision
    assert pointer.manifest_sha256 == pointer_of(world).manifest_sha256
    assert layout.REJECTED not in world.names()


def test_production_holds_what_staging_holds() -> None:
    world = World()
    world.stage(1)
    world.promote(STAGING)
    for name in world.names(layout.staged("staging", run_id(1))):
        copy = name.replace("staging/", "production/", 1)
        assert world.bucket.read(copy).data == world.bucket.read(name).data
    assert layout.staged("production", run_id(1), layout.HOLDOUT) not in world.names()


def test_the_candidates_files_are_not_needed_any_more() -> None:
    world = World()
    world.stage(1)
    for info in world.bucket.list("candidates/"):
        world.bucket.delete(info.name, if_generation=info.generation)
    assert world.promote(STAGING)[-1]["reason"] == "promoted"


def test_rollback_is_an_older_pointer_of_productions_history() -> None:
    world = world_of_two()
    world.promote(STAGING)
    assert world.serving("production") == run_id(2)
    [older, _] = world.history_keys("production")
    [line] = world.promote(older)
    assert line["reason"] == "promoted"
    pointer = pointer_of(world, "production")
    assert (pointer.run_id, pointer.previous_run_id) == (run_id(1), run_id(2))
    assert world.history("production") == [run_id(1), run_id(2), run_id(1)]
    assert world.bucket.read(world.history_keys("production")[-1]).data == world.bucket.read(PRODUCTION).data


def test_forward_again_after_a_rollback() -> None:
    world = world_of_two()
    world.promote(STAGING)
    world.promote(world.history_keys("production")[0])
    world.promote(world.history_keys("production")[1])
    assert world.serving("production") == run_id(2)
    assert world.history("production") == [run_id(1), run_id(2), run_id(1), run_id(2)]


def test_a_pointer_of_stagings_history_can_be_promoted() -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    world.promote(world.history_keys("staging")[0])
    assert world.serving("production") == run_id(1)


def test_rollback_works_when_staging_no_longer_has_the_run() -> None:
    world = world_of_two()
    world.promote(STAGING)
    for info in world.bucket.list(layout.staged("staging", run_id(1))):
        world.bucket.delete(info.name, if_generation=info.generation)
    world.promote(world.history_keys("production")[0])
    assert world.serving("production") == run_id(1)


def test_a_half_copied_production_is_completed_from_staging() -> None:
    world = world_of_two()
    source = world.info(layout.staged("staging", run_id(2), layout.GOLDEN))
    world.bucket.copy(source, layout.staged("production", run_id(2), layout.GOLDEN))
    world.promote(STAGING)
    assert world.serving("production") == run_id(2)


def test_a_redelivered_marker_changes_nothing_at_all() -> None:
    world = world_of_two()
    generation = world.mark_copy(STAGING)
    world.deliver(layout.MARKER, generation)
    before = world.content()
    [line] = world.deliver(layout.MARKER, generation)
    assert (line["reason"], line["severity"]) == ("unchanged", "INFO")
    assert world.content() == before


def test_a_redelivered_marker_that_was_deleted_since_is_no_alarm() -> None:
    world = world_of_two()
    generation = world.mark_copy(STAGING)
    world.deliver(layout.MARKER, generation)
    world.bucket.delete(layout.MARKER, if_generation=generation)
    [line] = world.deliver(layout.MARKER, generation)
    assert (line["reason"], line["severity"]) == ("unchanged", "INFO")


@pytest.mark.parametrize("source", [STAGING, PRODUCTION])
def test_a_fresh_marker_for_the_run_that_serves_changes_nothing_but_the_marker_noted(source: str) -> None:
    world = World()
    world.stage(1)
    world.promote(STAGING)
    before, history = pointer_of(world, "production"), world.history_keys("production")
    generation = world.mark_copy(source)
    [line] = world.deliver(layout.MARKER, generation)
    assert (line["reason"], line["severity"]) == ("confirmed", "INFO")
    after = pointer_of(world, "production")
    assert after.marker_generation == generation
    assert msgspec.structs.replace(after, marker_generation=before.marker_generation) == before
    assert world.history_keys("production") == history


def test_an_old_marker_cannot_undo_a_confirmation() -> None:
    """The older marker's handler had read everything and only lacks the swap when the newer marker is confirmed."""
    world = world_of_two()
    older = world.mark_copy(STAGING)

    def confirm(_: int, kind: str, name: str) -> None:
        if (kind, name) == ("write", PRODUCTION) and world.info(layout.MARKER).generation == older:
            world.promote(PRODUCTION)

    [line] = world.deliver(layout.MARKER, older, WatchedStore(world.bucket, before=confirm))
    assert line["reason"] == "older_marker"
    assert world.serving("production") == run_id(1)
    assert world.history("production") == [run_id(1)]


def test_a_confirmed_pointer_is_the_one_that_the_next_promotion_replaces() -> None:
    world = world_of_two()
    world.promote(PRODUCTION)
    world.promote(STAGING)
    pointer = pointer_of(world, "production")
    assert (pointer.run_id, pointer.previous_run_id) == (run_id(2), run_id(1))
    assert world.history("production") == [run_id(1), run_id(2)]


def assert_older(world: World, generation: int | None) -> None:
    """The marker is told to be older than what was acted on, and changes nothing."""
    before = world.content()
    [line] = world.deliver(layout.MARKER, generation)
    assert line["reason"] == "older_marker"
    assert world.content() == before


def test_an_old_marker_that_is_replayed_does_nothing() -> None:
    world = world_of_two()
    first = pointer_of(world, "production").marker_generation
    world.promote(STAGING)
    assert_older(world, first)


def test_an_old_marker_is_still_old_when_the_pointer_is_gone() -> None:
    world = world_of_two()
    first = pointer_of(world, "production").marker_generation
    world.promote(STAGING)
    world.bucket.delete(PRODUCTION, if_generation=world.info(PRODUCTION).generation)
    assert_older(world, first)


def test_the_newest_marker_restores_a_pointer_that_is_gone() -> None:
    world = world_of_two()
    generation = world.mark_copy(STAGING)
    world.deliver(layout.MARKER, generation)
    world.bucket.delete(PRODUCTION, if_generation=world.info(PRODUCTION).generation)
    world.deliver(layout.MARKER, generation)
    assert world.serving("production") == run_id(2)


def test_a_marker_that_was_replaced_is_left_to_the_newer_one() -> None:
    world = world_of_two()
    older = world.mark_copy(STAGING)
    newer = world.mark_copy(PRODUCTION)
    [line] = world.deliver(layout.MARKER, older)
    assert (line["reason"], line["severity"]) == ("marker_replaced", "INFO")
    assert world.serving("production") == run_id(1)
    world.deliver(layout.MARKER, newer)
    world.deliver(layout.MARKER, older)
    assert world.serving("production") == run_id(1)


def test_a_marker_that_was_deleted_is_refused() -> None:
    world = world_of_two()
    generation = world.mark_copy(STAGING)
    world.bucket.delete(layout.MARKER, if_generation=generation)
    require_refused(world, generation, "marker_missing")


def test_a_refusal_overwrites_the_one_before() -> None:
    world = world_of_two()
    refused(world, b"")
    refused(world, b"{")
    rejection = decode(world.bucket.read(layout.REJECTED).data, Rejection, layout.REJECTED)
    assert rejection.reason == "marker_malformed"
    assert datetime.fromisoformat(rejection.rejected_at).tzinfo is not None


def test_an_empty_marker_is_refused() -> None:
    assert refused(world_of_two(), b"")["reason"] == "marker_empty"


@pytest.mark.parametrize("size", [MAX_MARKER_BYTES + 1, 100 * 2**20])
def test_a_marker_that_is_too_large_is_refused_unread(size: int) -> None:
    world = world_of_two()
    generation = world.mark(b" " * size)
    store = WatchedStore(world.bucket)
    [line] = world.deliver(layout.MARKER, generation, store)
    assert line["reason"] == "marker_too_large"
    assert ("read", layout.MARKER) not in store.calls


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"{",
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b"{}",
        lambda _: b"\x00",
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data[:-20],
        lambda data: data + data,
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2'),
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": "1"'),
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": NaN'),
        lambda data: data.replace(b'"stage": "staging"', b'"stage": "elsewhere"'),
        lambda data: data.replace(b'"run_id": "2026', b'"run_id": "../2026'),
        lambda _: b"[" * 100_000,
        lambda _: b"gs://b/staging/current.json",
        lambda _: run_id(2).encode(),
    ],
)
def test_bytes_that_are_no_pointer_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    world = world_of_two()
    data = spoil(world.bucket.read(STAGING).data)
    assert refused(world, data)["reason"] == "marker_malformed"


def test_a_newer_schema_says_to_deploy_newer_code() -> None:
    world = world_of_two()
    data = world.bucket.read(STAGING).data.replace(b'"schema_version": 1', b'"schema_version": 2')
    assert "deploy newer code" in str(refused(world, data)["problems"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\n",
        lambda data: data.rstrip(b"\n"),
        lambda data: json.dumps(json.loads(data)).encode(),
        lambda data: data.replace(b'"stage": "staging"', b'"stage": "production"'),
        lambda data: data.replace(run_id(2).encode(), run_id(1).encode()),
        lambda data: data.replace(b'"marker_generation": null', b'"marker_generation": 9'),
        lambda data: data.replace(b"T", b"t", 1),
    ],
)
def test_a_pointer_that_was_edited_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    world = world_of_two()
    data = spoil(world.bucket.read(STAGING).data)
    assert data != world.bucket.read(STAGING).data
    assert refused(world, data)["reason"] in ("marker_unknown", "marker_malformed")


def test_a_refusal_says_what_to_copy_instead() -> None:
    world = world_of_two()
    problem = str(refused(world, world.bucket.read(STAGING).data + b" ")["problems"])
    assert "staging/current.json or production/current.json" in problem


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-23))),
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
)
def test_a_forged_moment_is_refused(moment: datetime) -> None:
    world = world_of_two()
    forged = encode(msgspec.structs.replace(pointer_of(world), promoted_at=moment))
    assert refused(world, forged)["reason"] == "marker_unknown"


def test_a_refused_decision_is_never_promoted_even_from_the_history() -> None:
    world = world_of_two()
    pointer = pointer_of(world)
    decision = msgspec.structs.replace(pointer.decision, passed=False)
    data = encode(msgspec.structs.replace(pointer, decision=decision))
    world.overwrite(STAGING, data)
    assert refused(world, data)["reason"] == "marker_not_passed"


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.json", "profile.json", "report.html"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_run_whose_files_do_not_verify_is_refused(name: str, missing: bool) -> None:
    world = world_of_two()
    key = layout.staged("staging", run_id(2), name)
    if missing:
        world.bucket.delete(key, if_generation=world.info(key).generation)
    else:
        world.overwrite(key, bytes(reversed(world.bucket.read(key).data)))
    rejection = refused(world, world.bucket.read(STAGING).data)
    assert rejection["reason"] == "run_not_verified"
    assert len(rejection["problems"]) == 2  # type: ignore[arg-type]
    assert name in str(rejection["problems"])


def test_a_run_whose_golden_rows_are_not_reproduced_is_refused() -> None:
    """Digests that agree are not enough: manifest, pointer and model were all exchanged together."""
    world = world_of_two()
    forged = build(run_id(2)).with_file(layout.MODEL, graph(FEATURES, 1.0))
    world.overwrite(layout.staged("staging", run_id(2), layout.MODEL), forged.files[layout.MODEL])
    world.overwrite(layout.staged("staging", run_id(2), layout.MANIFEST), forged.manifest_bytes)
    data = encode(msgspec.structs.replace(pointer_of(world), manifest_sha256=digest(forged.manifest_bytes).sha256))
    world.overwrite(STAGING, data)
    rejection = refused(world, data)
    assert rejection["reason"] == "run_not_verified"
    assert "golden predictions differ" in str(rejection["problems"])


def test_a_manifest_that_is_not_the_one_of_the_pointer_is_refused() -> None:
    world = world_of_two()
    other = build(run_id(2)).with_manifest(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    world.overwrite(layout.staged("staging", run_id(2), layout.MANIFEST), other.manifest_bytes)
    rejection = refused(world, world.bucket.read(STAGING).data)
    assert "sha256 is not the one that the pointer names" in str(rejection["problems"])


@pytest.mark.parametrize("second", [run_id(2), run_id(3)])
def test_a_marker_given_up_half_way_leaves_no_history_behind(second: str) -> None:
    """Its history was written, its pointer never; then another marker came, for the same run or for another one."""
    world = world_of_two()
    older = world.mark_copy(STAGING)

    def crash(_: int, kind: str, name: str) -> None:
        if (kind, name) == ("write", PRODUCTION):
            raise StorageUnavailable("down")

    with pytest.raises(StorageUnavailable):
        world.deliver(layout.MARKER, older, WatchedStore(world.bucket, before=crash))
    if second == run_id(3):
        world.stage(3)
    world.promote(STAGING)
    world.deliver(layout.MARKER, older)
    assert world.serving("production") == second
    assert world.history("production") == [run_id(1), second]
    assert pointer_of(world, "production").marker_generation == world.info(layout.MARKER).generation


def test_a_copy_in_production_with_other_content_is_refused() -> None:
    world = world_of_two()
    world.overwrite(layout.staged("production", run_id(2), layout.MODEL), b"x")
    generation = world.mark_copy(STAGING)
    require_refused(world, generation, "integrity")


def test_productions_pointer_that_does_not_parse_is_not_overwritten() -> None:
    world = world_of_two()
    world.overwrite(PRODUCTION, b"{}")
    assert refused(world, world.bucket.read(STAGING).data)["reason"] == "invalid_document"


def test_other_files_in_the_history_are_passed_over() -> None:
    world = world_of_two()
    world.overwrite("production/history/README.txt", b"hello")
    world.overwrite(f"production/history/zzz-{run_id(2)}.json", b"{}")
    world.bucket.delete(PRODUCTION, if_generation=world.info(PRODUCTION).generation)
    assert world.promote(STAGING)[-1]["reason"] == "promoted"


@pytest.mark.parametrize("slope", [4.0, 0.0], ids=["published and never judged", "refused by the gate"])
@pytest.mark.parametrize("planted", [False, True], ids=["made up", "planted in the history"])
def test_a_run_that_staging_never_served_is_refused(slope: float, planted: bool) -> None:
    world = world_of_two()
    candidate = build(run_id(9), slope=slope)
    key = world.publish(candidate)
    if slope == 0.0:
        world.deliver(key)
        assert not world.decision(run_id(9)).passed
    forged = msgspec.structs.replace(
        pointer_of(world), run_id=run_id(9), manifest_sha256=digest(candidate.manifest_bytes).sha256
    )
    if planted:
        world.overwrite(layout.history("staging", forged.promoted_at, forged.run_id), encode(forged))
    assert refused(world, encode(forged))["reason"] == ("run_not_verified" if planted else "marker_unknown")
    assert world.serving("production") != run_id(9)


def test_a_refusal_that_arrives_late_replaces_none_of_a_newer_marker() -> None:
    """Whoever asked with the newer marker waits for its own refusal."""
    world = world_of_two()
    late: list[Callable[[], object]] = []

    class Remembering(WatchedStore):
        def write(self, name: str, data: bytes, *, if_generation: int | None, **described: Any) -> ObjectInfo:
            if name == layout.REJECTED:
                late.append(lambda: world.bucket.write(name, data, if_generation=if_generation, **described))
            return super().write(name, data, if_generation=if_generation, **described)

    world.deliver(layout.MARKER, world.mark(b"{"), Remembering(world.bucket))
    newer = world.mark(b"no pointer either")
    world.deliver(layout.MARKER, newer)
    assert world.rejection()["marker_generation"] == newer
    with pytest.raises(PreconditionFailed):
        late[0]()
    assert world.rejection()["marker_generation"] == newer


def test_a_slow_delivery_of_an_older_marker_leaves_the_newer_refusal() -> None:
    world = world_of_two()
    older = world.mark(b"{")

    def newer() -> None:
        world.deliver(layout.MARKER, world.mark(b""))

    world.deliver(layout.MARKER, older, interrupted_at(world.bucket, "write", layout.REJECTED, newer))
    assert world.rejection()["reason"] == "marker_empty"


@pytest.mark.parametrize("data", [b"", b"{", b" " * (MAX_REJECTION_BYTES + 1)], ids=len)
def test_a_refusal_that_does_not_parse_is_replaced(data: bytes) -> None:
    world = world_of_two()
    world.overwrite(layout.REJECTED, data)
    world.deliver(layout.MARKER, world.mark(b""))
    assert world.rejection()["reason"] == "marker_empty"


def test_a_refused_marker_that_is_written_again_is_refused_and_no_news() -> None:
    world = world_of_two()
    [first] = world.deliver(layout.MARKER, world.mark(b"no pointer"))
    [again] = world.deliver(layout.MARKER, world.mark(b"no pointer"))
    assert [(line["reason"], line["severity"]) for line in (first, again)] == [
        ("marker_malformed", "ERROR"),
        ("marker_malformed", "INFO"),
    ]
    assert world.rejection()["marker_generation"] == world.info(layout.MARKER).generation  # who waits, is told
    [other] = world.deliver(layout.MARKER, world.mark(b""))
    assert (other["reason"], other["severity"]) == ("marker_empty", "ERROR")
