"""What becomes of runs, as tags for MLflow: verdicts, and where each run served when, by whom and why."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.train.tracking.tracked import OUR_TAGS
from functions.train.tracking.trackers import Followed
from infra.operate.experiments import Follower
from infra.operate.standing import MOST_CHARACTERS, Standings, served_tags, verdict_tags
from shared import layout
from shared.clock import utc_now
from shared.codec import encode
from shared.decisions import Check, Decision, Pointer
from shared.documents import SCHEMA_VERSION
from shared.layout import Stage
from tests.memory_store import MemoryStore

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GOOD, BAD = "20261101T100000Z-aaaaaaaa", "20261101T110000Z-bbbbbbbb"


def check(name: str, passed: bool, reason: str) -> Check:
    return Check(name=name, passed=passed, observed=0.1, threshold=0.2, reason=reason)


ACCEPTED = Decision(passed=True, checks=(check("score", True, "R² is 0.2"),))
REFUSED = Decision(
    passed=False,
    checks=(
        check("score", False, "R² is 0.05"),
        check("finite", True, "all are"),
        check("contract", False, "area is gone"),
    ),
)


def pointer(stage: Stage, run_id: str, hours: int, by: str = "", why: str = "") -> Pointer:
    return Pointer(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        run_id=run_id,
        manifest_sha256="0" * 64,
        promoted_at=NOON + timedelta(hours=hours),
        previous_run_id=None,
        decision=ACCEPTED,
        by=by,
        why=why,
    )


def judged(store: MemoryStore, run_id: str, decision: Decision | None) -> None:
    store.write(layout.candidate(run_id, layout.MANIFEST), b"{}", if_generation=0, content_type="application/json")
    if decision is not None:
        key = layout.candidate(run_id, layout.DECISION)
        store.write(key, encode(decision), if_generation=0, content_type="application/json")


def serve(store: MemoryStore, served: Pointer) -> None:
    for key in (layout.pointer(served.stage), layout.history(served.stage, served.promoted_at, served.run_id)):
        store.write(key, encode(served), if_generation=None, content_type="application/json")


def test_a_verdict_names_the_checks_that_failed_and_what_they_say() -> None:
    assert verdict_tags(ACCEPTED) == {"verdict": "accepted"}
    assert verdict_tags(REFUSED) == {
        "verdict": "refused",
        "failed_checks": "score, contract",
        "reasons": "R² is 0.05; area is gone",
    }
    long = Decision(passed=False, checks=(check("slices", False, "x" * 9_999),))
    assert len(verdict_tags(long)["reasons"]) == MOST_CHARACTERS


def test_a_run_tells_when_it_served_last_and_who_asked_for_it() -> None:
    pointers = [
        pointer("production", GOOD, 0, "maria", "first"),
        pointer("production", BAD, 1, "otto"),
        pointer("production", BAD, 2, "otto", "once more"),
        pointer("production", GOOD, 3, "maria", "back"),
    ]
    found = served_tags({"staging": [pointer("staging", GOOD, -1)], "production": pointers})
    assert found[BAD] == {
        "production_since": "2026-11-01T14:00:00Z",
        "production_until": "2026-11-01T15:00:00Z",
        "production_by": "otto",
        "production_why": "once more",
    }
    assert found[GOOD] == {
        "staging_since": "2026-11-01T11:00:00Z",
        "production_since": "2026-11-01T15:00:00Z",
        "production_by": "maria",
        "production_why": "back",
    }
    assert {name for tags in found.values() for name in tags} <= OUR_TAGS


def test_a_candidate_gets_its_verdict_once_it_is_judged() -> None:
    store = MemoryStore()
    standings = Standings(store)
    assert standings.now().tags == {}
    judged(store, BAD, None)
    assert standings.now().tags == {}
    judged(store, GOOD, ACCEPTED)
    store.write(layout.candidate(BAD, layout.DECISION), encode(REFUSED), if_generation=0, content_type="text/plain")
    serve(store, pointer("staging", GOOD, 0))
    now = standings.now()
    assert now.serving == {"staging": GOOD, "production": None}
    assert now.tags[BAD]["verdict"] == "refused"
    assert now.tags[GOOD] == {"verdict": "accepted", "staging_since": "2026-11-01T12:00:00Z"}
    assert standings.now() is now


@pytest.mark.parametrize(("age", "asked"), [(timedelta(minutes=1), 2), (timedelta(days=2), 1)])
def test_a_run_that_training_may_be_recording_is_asked_for_again(
    age: timedelta, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run_id = MemoryStore(), layout.new_run_id(utc_now() - age)
    judged(store, run_id, ACCEPTED)
    calls: list[object] = []

    class Tracker:
        def follow(self, standing: object) -> Followed:
            calls.append(standing)
            return Followed(None, (run_id,) if len(calls) == 1 else ())

    follower = Follower(store, Tracker(), lambda _line: None)  # type: ignore[arg-type]
    for _ in range(4):
        follower.look()
    assert len(calls) == asked
