"""A candidate from its event to the staging pointer, over an in-memory bucket."""

import json
from typing import Any

import msgspec
import pytest

from functions.validate import evidence
from functions.validate.verdict import CLOCK_SKEW
from shared import layout, run_files
from shared.codec import digest, encode
from shared.decisions import Decision
from shared.documents import SCHEMA_VERSION, Feature, GateSettings
from shared.layout import new_run_id
from tests.candidates import build, run_id, write_candidate
from tests.unit.validate.world import NOW, World, attributes, resource
from tests.watched_store import interrupted_at

FILES = ["golden.json", "manifest.json", "model.onnx", "profile.json", "report.html", "report.json"]


def test_a_good_candidate_serves_in_staging() -> None:
    world = World()
    lines = world.deliver(world.publish(build(run_id(1))))
    pointer = world.pointer("staging")
    assert pointer is not None
    assert (pointer.run_id, pointer.stage, pointer.previous_run_id) == (run_id(1), "staging", None)
    assert pointer.marker_generation is None
    assert pointer.decision == world.decision(run_id(1))
    assert pointer.decision.passed
    manifest_key = layout.candidate(run_id(1), layout.MANIFEST)
    assert pointer.manifest_sha256 == digest(world.bucket.read(manifest_key).data).sha256
    assert lines == [
        {
            "severity": "INFO",
            "time": lines[0]["time"],
            "service": "validate",
            "message": f"run {run_id(1)} passed the gate and serves in staging",
            "reason": "promoted",
            "run_id": run_id(1),
            "stage": "staging",
            "event_id": "17",
            "bucket": "b",
            "name": manifest_key,
            "generation": world.info(manifest_key).generation,
        }
    ]


def test_staging_holds_every_file_but_the_holdout_and_the_decision() -> None:
    world = World()
    world.stage(1)
    folder = layout.staged("staging", run_id(1))
    assert [name.removeprefix(folder) for name in world.names(folder)] == FILES
    for name in FILES:
        assert world.bucket.read(folder + name).data == world.bucket.read(layout.candidate(run_id(1), name)).data


def test_the_history_holds_the_pointer_byte_for_byte() -> None:
    world = World()
    world.stage(1)
    [entry] = world.history_keys("staging")
    assert world.bucket.read(entry).data == world.bucket.read(layout.pointer("staging")).data


def test_the_next_run_replaces_the_one_before_and_names_it() -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    pointer = world.pointer("staging")
    assert pointer is not None
    assert (pointer.run_id, pointer.previous_run_id) == (run_id(2), run_id(1))
    assert world.history("staging") == [run_id(1), run_id(2)]


@pytest.mark.parametrize("times", [1, 3])
def test_a_redelivery_changes_nothing_at_all(times: int) -> None:
    world = World()
    world.stage(1)
    before = world.content()
    for _ in range(times):
        [line] = world.deliver(layout.candidate(run_id(1), layout.MANIFEST))
        assert (line["reason"], line["severity"]) == ("unchanged", "INFO")
    assert world.content() == before


def test_a_late_redelivery_of_a_run_that_was_replaced_keeps_its_history() -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    before = world.content()
    [line] = world.deliver(layout.candidate(run_id(1), layout.MANIFEST))
    assert line["reason"] == "superseded"
    assert world.content() == before


def test_an_older_run_is_superseded_and_nothing_of_it_is_scored() -> None:
    world = World()
    world.stage(2)
    [line] = world.deliver(world.publish(build(run_id(1))))
    assert (line["reason"], line["severity"]) == ("superseded", "INFO")
    assert world.failed(run_id(1)) == ["newest"]
    assert world.serving("staging") == run_id(2)
    assert world.names(layout.staged("staging", run_id(1))) == []


def test_a_run_from_the_future_is_refused_for_good() -> None:
    world = World()
    future = new_run_id(NOW + CLOCK_SKEW * 1.1)
    [line] = world.deliver(world.publish(build(future)))
    assert (line["reason"], line["severity"]) == ("future_run", "ERROR")
    assert world.failed(future) == ["run_time"]
    assert world.serving("staging") is None


def test_an_hour_of_clock_difference_is_no_future() -> None:
    world = World()
    soon = new_run_id(NOW + CLOCK_SKEW)
    [line] = world.deliver(world.publish(build(soon)))
    assert line["reason"] == "promoted"


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ({"slope": 0.0, "claimed_r2": 0.5}, {"score", "better_than_mean", "reported"}),
        ({"min_r2": 0.99}, {"score"}),
        ({"claimed_r2": 0.99}, {"reported"}),
        ({"rows": 29}, {"holdout_size"}),
    ],
)
def test_a_refused_candidate_leaves_its_reasons_and_one_error(options: dict[str, Any], failed: set[str]) -> None:
    world = World()
    [line] = world.deliver(world.publish(build(run_id(1), **options)))
    assert (line["reason"], line["severity"], line["run_id"]) == ("gate_refused", "ERROR", run_id(1))
    assert set(world.failed(run_id(1))) == failed
    assert all(name in line["message"] for name in failed)
    assert set(line["failed_checks"]) == failed
    assert world.names("staging/") == []


def test_a_worse_candidate_does_not_replace_what_serves() -> None:
    world = World()
    world.stage(1)
    world.deliver(world.publish(build(run_id(2), slope=2.5)))
    assert world.failed(run_id(2)) == ["champion"]
    assert world.serving("staging") == run_id(1)


def test_a_champion_that_does_not_verify_is_no_reason_to_keep_it() -> None:
    world = World()
    world.stage(1)
    world.overwrite(layout.staged("staging", run_id(1), layout.MODEL), b"x")
    world.stage(2, slope=2.5)
    reason = next(check.reason for check in world.decision(run_id(2)).checks if check.name == "champion")
    assert reason.startswith("not compared: what staging serves does not verify: ")


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "holdout.json.gz", "profile.json", "report.html"])
@pytest.mark.parametrize("damage", ["missing", "other bytes", "longer"])
def test_a_damaged_file_fails_integrity(name: str, damage: str) -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    file = layout.candidate(run_id(1), name)
    data = world.bucket.read(file).data
    if damage == "missing":
        world.bucket.delete(file, if_generation=world.info(file).generation)
    else:
        world.overwrite(file, data + b"x" if damage == "longer" else bytes(reversed(data)))
    [line] = world.deliver(key)
    assert line["reason"] == "gate_refused"
    assert world.failed(run_id(1)) == ["integrity"]
    assert name in line["message"]


@pytest.mark.parametrize("name", evidence.REQUIRED)
def test_a_manifest_that_leaves_out_what_serving_needs_fails_integrity(name: str) -> None:
    world = World()
    candidate = build(run_id(1))
    files = {key: entry for key, entry in candidate.manifest.files.items() if key != name}
    [line] = world.deliver(world.publish(candidate.with_manifest(files=files)))
    assert world.failed(run_id(1)) == ["integrity"]
    assert f"the manifest does not list {name}" in line["message"]


def test_a_file_beside_the_manifests_is_never_copied() -> None:
    world = World()
    world.bucket.write(layout.candidate(run_id(1), "extra.txt"), b"x", if_generation=0, content_type="text/plain")
    world.stage(1)
    assert layout.staged("staging", run_id(1), "extra.txt") not in world.names()


def spoiled(path: str, value: str) -> bytes:
    """The manifest's JSON with one value replaced by `value`, as it would stand in the file."""
    plain = json.loads(build(run_id(1)).manifest_bytes)
    *parents, last = path.split(".")
    place = plain
    for part in parents:
        place = place[part]
    place[last] = "@"
    return json.dumps(plain).replace('"@"', value).encode()


def refused_as_malformed(data: bytes) -> str:
    world = World()
    candidate = build(run_id(1))
    key = world.publish(type(candidate)(candidate.manifest, candidate.files, data))
    [line] = world.deliver(key)
    assert (line["reason"], line["severity"]) == ("malformed_manifest", "ERROR")
    assert world.failed(run_id(1)) == ["manifest"]
    assert world.names("staging/") == []
    return str(line["message"])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", '"0.5"', "true", "null", "[]", ""])
@pytest.mark.parametrize("path", ["gate.min_r2", "model.holdout.r2", "gate.max_r2_drop"])
def test_a_threshold_or_score_that_is_no_number_makes_a_malformed_manifest(path: str, value: str) -> None:
    refused_as_malformed(spoiled(path, value))


@pytest.mark.parametrize(
    "name", ["run_id", "files", "features", "gate", "model", "target", "dataset", "schema_version"]
)
def test_a_manifest_without_a_field_is_malformed_and_the_message_names_it(name: str) -> None:
    plain = json.loads(build(run_id(1)).manifest_bytes)
    del plain[name]
    assert name in refused_as_malformed(json.dumps(plain).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"[" * 100_000, b"\x00"]
)
def test_bytes_that_are_no_manifest_are_malformed(data: bytes) -> None:
    refused_as_malformed(data)


def test_a_newer_schema_is_refused_and_says_what_to_do() -> None:
    assert "deploy newer code" in refused_as_malformed(spoiled("schema_version", str(SCHEMA_VERSION + 1)))


def test_a_manifest_in_the_folder_of_another_run_is_malformed() -> None:
    message = refused_as_malformed(build(run_id(2)).manifest_bytes)
    assert run_id(2) in message
    assert run_id(1) in message


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "manifest.json", "decision.json", "x\n", "ü", "a" * 300])
def test_a_file_name_that_leaves_the_folder_is_malformed(name: str) -> None:
    candidate = build(run_id(1))
    files = {**candidate.manifest.files, name: digest(b"")}
    assert "not a name" in refused_as_malformed(candidate.with_manifest(files=files).manifest_bytes)


@pytest.mark.parametrize("features", [(), (Feature(name="a", kind="numeric", nullable=False, imputed=0.0),) * 2])
def test_no_features_or_one_twice_are_malformed(features: tuple[Feature, ...]) -> None:
    assert "at least one feature" in refused_as_malformed(
        build(run_id(1)).with_manifest(features=features).manifest_bytes
    )


def test_a_categorical_feature_without_categories_is_malformed() -> None:
    features = (Feature(name="w", kind="categorical", nullable=False, imputed="a"),)
    assert "without categories" in refused_as_malformed(
        build(run_id(1)).with_manifest(features=features).manifest_bytes
    )


def test_a_huge_manifest_is_refused_unread() -> None:
    assert "over the limit" in refused_as_malformed(b" " * (run_files.MAX_MANIFEST_BYTES + 1))


def test_a_manifest_that_is_gone_is_skipped_with_a_line() -> None:
    world = World()
    [line] = world.deliver(layout.candidate(run_id(1), layout.MANIFEST), 5)
    assert (line["reason"], line["severity"]) == ("manifest_gone", "INFO")
    assert world.names() == []


def test_a_manifest_that_was_overwritten_is_left_to_its_own_event() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    generation = world.info(key).generation
    world.overwrite(key, world.bucket.read(key).data)
    [line] = world.deliver(key, generation)
    assert line["reason"] == "manifest_gone"
    assert world.names("staging/") == []


def test_a_manifest_overwritten_while_it_is_judged_is_never_mixed_in() -> None:
    world = World()
    candidate = build(run_id(1))
    key = world.publish(candidate)
    other = msgspec.structs.replace(candidate.manifest, target="other")
    store = interrupted_at(world.bucket, "copy", "staging/", lambda: world.overwrite(key, encode(other)))
    [line] = world.deliver(key, store=store)
    assert (line["reason"], line["severity"]) == ("integrity", "ERROR")
    assert world.serving("staging") is None
    assert layout.staged("staging", run_id(1), layout.MANIFEST) not in world.names()


def test_a_file_overwritten_while_it_is_judged_is_never_mixed_in() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    model = layout.candidate(run_id(1), layout.MODEL)
    store = interrupted_at(world.bucket, "copy", "staging/", lambda: world.overwrite(model, b"x"))
    [line] = world.deliver(key, store=store)
    assert (line["reason"], line["severity"]) == ("integrity", "ERROR")
    assert world.serving("staging") is None


def test_a_decision_that_is_there_is_honoured() -> None:
    world = World()
    key = world.publish(build(run_id(1), slope=0.0))
    world.deliver(key)
    before = world.content()
    [line] = world.deliver(key)
    assert line["reason"] == "gate_refused"
    assert world.content() == before


def test_a_passing_decision_about_another_manifest_promotes_nothing() -> None:
    world = World()
    world.stage(1)
    passed = world.bucket.read(layout.candidate(run_id(1), layout.DECISION)).data
    key = world.publish(build(run_id(2)))
    world.overwrite(layout.candidate(run_id(2), layout.DECISION), passed)
    [line] = world.deliver(key)
    assert (line["reason"], line["severity"]) == ("decision_mismatch", "ERROR")
    assert world.serving("staging") == run_id(1)


def test_of_two_decisions_made_at_once_the_first_one_written_counts() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    decision_key = layout.candidate(run_id(1), layout.DECISION)
    refusal = encode(Decision(passed=False, checks=()))
    store = interrupted_at(world.bucket, "write", decision_key, lambda: world.overwrite(decision_key, refusal))
    [line] = world.deliver(key, store=store)
    assert line["reason"] == "gate_refused"
    assert world.serving("staging") is None


def test_a_run_that_serves_never_changes_under_its_name() -> None:
    world = World()
    world.stage(1)
    world.overwrite(
        layout.candidate(run_id(1), layout.MANIFEST), build(run_id(1)).with_manifest(created_at=NOW).manifest_bytes
    )
    decision = world.info(layout.candidate(run_id(1), layout.DECISION))
    world.bucket.delete(decision.name, if_generation=decision.generation)
    before = world.pointer("staging")
    [line] = world.deliver(layout.candidate(run_id(1), layout.MANIFEST))
    assert (line["reason"], line["severity"]) == ("integrity", "ERROR")
    assert world.pointer("staging") == before


def test_a_decision_that_does_not_parse_promotes_nothing() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    world.overwrite(layout.candidate(run_id(1), layout.DECISION), b"{}")
    [line] = world.deliver(key)
    assert (line["reason"], line["severity"]) == ("invalid_document", "ERROR")
    assert world.serving("staging") is None


def test_a_copy_with_other_content_is_never_served() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    world.overwrite(layout.staged("staging", run_id(1), layout.MODEL), b"x")
    [line] = world.deliver(key)
    assert (line["reason"], line["severity"]) == ("integrity", "ERROR")
    assert world.serving("staging") is None


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b'{"schema_version": 99}'])
def test_a_pointer_that_does_not_parse_is_not_overwritten(data: bytes) -> None:
    world = World()
    world.overwrite(layout.pointer("staging"), data)
    [line] = world.deliver(world.publish(build(run_id(1))))
    assert (line["reason"], line["severity"]) == ("pointer_unreadable", "ERROR")
    assert "restore it from staging/history/" in line["message"]
    assert world.bucket.read(layout.pointer("staging")).data == data


def test_another_set_of_features_is_judged_and_promoted_like_any() -> None:
    world = World()
    numbers = tuple(
        Feature(name=f"x{n}", kind="numeric", nullable=n == 1, imputed=1.0, min=0.0, max=9.0) for n in range(3)
    )
    words = (Feature(name="w", kind="categorical", nullable=False, imputed="a", categories=("a", "b", "ü'")),)
    world.stage(1, features=numbers)
    for minute, features, noise in ((2, words, 0.5), (3, (*words, *numbers), 1.0)):
        candidate = build(run_id(minute), features=features, noise=noise)
        replacing = candidate.with_manifest(gate=GateSettings(replaces=run_id(minute - 1)))
        assert world.deliver(world.publish(replacing))[-1]["reason"] == "promoted"
    assert world.history("staging") == [run_id(1), run_id(2), run_id(3)]


def test_the_builder_writes_the_manifest_last() -> None:
    world = World()
    written = write_candidate(world.bucket, run_id(1))
    infos = world.bucket.list(layout.candidate(run_id(1)))
    assert max(infos, key=lambda info: info.generation).name.endswith(layout.MANIFEST)
    assert set(written.files) | {layout.MANIFEST} == {info.name.rsplit("/", 1)[1] for info in infos}


def test_events_of_two_buckets_are_told_apart() -> None:
    world = World()
    key = world.publish(build(run_id(1)))
    generation = world.info(key).generation
    assert world.receive(attributes("other"), resource(key, generation, "other")) == []
    assert world.names("staging/") == []


def rewritten(world: World, name: str) -> int:
    """The same bytes once more, as `gsutil rewrite` leaves them: another generation, another event."""
    data = world.bucket.read(name).data
    return world.bucket.write(name, data, if_generation=None, content_type="application/json").generation


def test_a_refused_candidate_that_is_written_again_is_no_news() -> None:
    world = World()
    name = world.publish(build(run_id(1), slope=0.0))
    first = world.info(name).generation
    [line] = world.deliver(name)
    assert (line["reason"], line["severity"]) == ("gate_refused", "ERROR")
    [line] = world.deliver(name, rewritten(world, name))
    assert (line["reason"], line["severity"]) == ("judged_before", "INFO")
    assert world.decision(run_id(1)).manifest_generation == first


def test_another_delivery_of_the_first_event_is_told_as_the_first() -> None:
    """Its process may have died between the decision and the line."""
    world = World()
    name = world.publish(build(run_id(1), slope=0.0))
    world.deliver(name)
    [line] = world.deliver(name)
    assert (line["reason"], line["severity"]) == ("gate_refused", "ERROR")


def test_a_candidate_that_passed_and_is_written_again_is_no_news_either() -> None:
    world = World()
    name = world.publish(build(run_id(1)))
    world.deliver(name)
    [line] = world.deliver(name, rewritten(world, name))
    assert (line["reason"], line["severity"]) == ("unchanged", "INFO")
    world.stage(2)
    [line] = world.deliver(name, rewritten(world, name))
    assert (line["reason"], line["severity"]) == ("superseded", "INFO")
