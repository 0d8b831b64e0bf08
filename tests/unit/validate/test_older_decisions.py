"""Decisions of before checks had a status and a code: a redelivery tells the same of them as of those of now."""

import json
from collections.abc import Callable

import pytest

from functions.validate.older_decisions import with_status
from shared import layout
from shared.codec import encode
from shared.decisions import Decision
from tests.candidates import Candidate, build, run_id
from tests.unit.validate.world import World

NUMBER = 2
KEY = layout.candidate(run_id(NUMBER), layout.DECISION)


def good() -> Candidate:
    return build(run_id(NUMBER))


def useless() -> Candidate:
    return build(run_id(NUMBER), slope=0.0)


def damaged() -> Candidate:
    return good().with_file(layout.MODEL, b"other bytes", promised=False)


def malformed() -> Candidate:
    whole = good()
    return Candidate(whole.manifest, whole.files, whole.manifest_bytes[:-9])


def judged(make: Callable[[], Candidate], served: int | None) -> tuple[World, str, dict[str, object]]:
    """A world with a decision on `make`'s candidate, its manifest, and what was logged."""
    world = World()
    if served:
        world.stage(served)
    key = world.publish(make())
    [line] = world.deliver(key)
    return world, key, line


def aged(decision: Decision) -> bytes:
    """The decision as it was stored before checks had a status and a code."""
    document = json.loads(encode(decision))
    for check in document["checks"]:
        del check["status"], check["code"]
    return json.dumps(document).encode()


CASES = pytest.mark.parametrize(
    ("make", "served", "reason"),
    [
        (good, 3, "superseded"),
        (useless, None, "gate_refused"),
        (damaged, None, "gate_refused"),
        (malformed, None, "malformed_manifest"),
    ],
    ids=["superseded", "useless", "damaged", "malformed"],
)


@CASES
def test_a_redelivery_tells_the_same_of_an_older_decision(
    make: Callable[[], Candidate], served: int | None, reason: str
) -> None:
    world, key, first = judged(make, served)
    assert first["reason"] == reason
    world.overwrite(KEY, aged(world.decision(run_id(NUMBER))))
    [again] = world.deliver(key)
    told = ("severity", "reason", "message", "failed_checks")
    assert [again.get(name) for name in told] == [first.get(name) for name in told]


@CASES
def test_status_is_that_of_a_decision_of_now(make: Callable[[], Candidate], served: int | None, reason: str) -> None:
    world, _, _ = judged(make, served)
    now = world.decision(run_id(NUMBER))
    assert with_status(now) is now
    world.overwrite(KEY, aged(now))
    older = with_status(world.decision(run_id(NUMBER)))
    assert [(check.name, check.status) for check in older.checks] == [
        (check.name, check.status) for check in now.checks
    ]


def test_a_pointer_that_did_not_parse_is_told_from_a_newer_run() -> None:
    world = World()
    world.overwrite(layout.pointer("staging"), b"{")
    key = world.publish(good())
    [first] = world.deliver(key)
    assert (first["severity"], first["reason"]) == ("ERROR", "pointer_unreadable")
    world.overwrite(KEY, aged(world.decision(run_id(NUMBER))))
    [again] = world.deliver(key)
    assert (again["severity"], again["reason"]) == ("ERROR", "pointer_unreadable")
