"""`make retrain` waits for the verdict: whatever a training comes to, the wait ends with it and its reasons."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from functions.train.lease import Lease
from infra.operate import retrain, training
from infra.operate.served import CannotTell
from infra.operate.training import Verdict, Waiting
from shared import layout
from shared.codec import encode
from shared.decisions import Attempt, AttemptStatus, Check, Decision, Pointer
from shared.documents import Document
from shared.errors import StorageUnavailable
from shared.store import CREATE_ONLY, ObjectInfo
from tests.candidates import run_id
from tests.memory_store import MemoryStore

NOW = datetime(2026, 1, 5, 7, tzinfo=UTC)
PASSED = Decision(passed=True, checks=())
REFUSED = Decision(
    passed=False,
    checks=(
        Check(name="r2", passed=False, observed=0.0, threshold=0.1, reason="R² is 0.0", status="failed"),
        Check(name="champion", passed=False, observed=None, threshold=None, reason="not run", status="not_run"),
    ),
)


class Bucket(MemoryStore):
    """A bucket in which the next thing happens at every look at the calls that ended."""

    def __init__(self, *steps: tuple[str, Document]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.looks = 0

    def put(self, key: str, document: Document) -> None:
        self.write(key, encode(document), if_generation=None, content_type="application/json")

    def list(self, prefix: str) -> list[ObjectInfo]:
        if prefix == layout.ATTEMPTS:
            self.looks += 1
            if self.looks > 1 and self.steps:
                self.put(*self.steps.pop(0))
        return super().list(prefix)


_moments = itertools.count()


def ended(status: AttemptStatus, run: str | None = None, *problems: str) -> tuple[str, Attempt]:
    key = layout.attempt(layout.new_run_id(NOW + timedelta(seconds=next(_moments))))
    return key, Attempt(schema_version=1, ended_at=NOW, status=status, run_id=run, problems=problems)


def decided(run: str, decision: Decision) -> tuple[str, Decision]:
    return layout.candidate(run, layout.DECISION), decision


def serves(run: str) -> tuple[str, Pointer]:
    pointer = Pointer(
        schema_version=1,
        stage="staging",
        run_id=run,
        manifest_sha256="0" * 64,
        promoted_at=NOW,
        previous_run_id=None,
        decision=PASSED,
    )
    return layout.pointer("staging"), pointer


def verdict(store: MemoryStore, seconds: float = 60.0) -> tuple[Verdict, list[str]]:
    said: list[str] = []
    ticks = itertools.count()
    return Waiting(store, seconds, said.append, clock=lambda: float(next(ticks))).verdict(), said


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.operate.training.time.sleep", lambda _seconds: None)


def test_trained_and_promoted() -> None:
    run = run_id(5)
    store = Bucket(ended("trained", run))
    for key, document in (decided(run, PASSED), serves(run)):
        store.put(key, document)
    found, said = verdict(store)
    assert (found.outcome, found.run_id) == ("promoted", run)
    assert found.headline == f"{run} was trained and serves in staging"
    assert any("the gate judges it" in line for line in said)


def test_trained_and_refused_says_why() -> None:
    store = Bucket(ended("trained", run_id(5)))
    store.put(*decided(run_id(5), REFUSED))
    found, _ = verdict(store)
    assert (found.outcome, found.reasons) == ("refused", ("r2: R² is 0.0",))  # not what was not run


def test_a_newer_run_in_staging_is_as_good() -> None:
    """Another training may have overtaken this one: staging serves the newer run, and never this one."""
    store = Bucket(ended("trained", run_id(5)))
    for key, document in (decided(run_id(5), PASSED), serves(run_id(6))):
        store.put(key, document)
    assert verdict(store)[0].outcome == "promoted"


def test_unchanged_is_told_apart_from_a_run_under_way() -> None:
    run = run_id(5)
    store = Bucket(ended("in_progress", run), ended("unchanged", run))
    store.put(*decided(run, PASSED))
    found, said = verdict(store)
    assert (found.outcome, found.run_id) == ("unchanged", run)
    assert "FORCE=1" in found.headline
    assert any(f"run {run} is under way already" in line for line in said)


def test_unchanged_since_a_refused_run_is_refused() -> None:
    store = Bucket(ended("unchanged", run_id(5)))
    store.put(*decided(run_id(5), REFUSED))
    found, _ = verdict(store)
    assert (found.outcome, found.reasons) == ("refused", ("r2: R² is 0.0",))


def test_a_table_that_training_refuses_is_told_with_every_problem() -> None:
    found, _ = verdict(Bucket(ended("refused", None, "line 7: no number", "line 9: no number")))
    assert (found.outcome, found.reasons) == ("refused", ("line 7: no number", "line 9: no number"))


def test_a_fault_of_ours_is_a_failure() -> None:
    assert verdict(Bucket(ended("failed", None, "see the log")))[0].outcome == "failed"


def test_an_attempt_that_is_made_again_is_waited_for() -> None:
    run = run_id(5)
    store = Bucket(ended("later", None, "503"), ended("trained", run))
    for key, document in (decided(run, PASSED), serves(run)):
        store.put(key, document)
    found, said = verdict(store)
    assert found.outcome == "promoted"
    assert any("is made again: 503" in line for line in said)


def test_what_ended_before_the_wait_is_no_answer() -> None:
    store = Bucket()
    store.put(*ended("trained", run_id(5)))
    store.put(*decided(run_id(5), REFUSED))
    with pytest.raises(CannotTell, match="no verdict within 60 s"):
        verdict(store)


def test_the_run_under_way_says_how_far_it_is() -> None:
    lease = Lease(owner=run_id(5), started_at=NOW, expires_at=NOW, progress="search (random) 7 of 65 fits")
    store = Bucket((layout.lease("k"), lease))
    with pytest.raises(CannotTell, match="7 of 65 fits"):
        verdict(store)


def test_a_lease_of_before_the_wait_says_nothing() -> None:
    store = Bucket()
    store.put(layout.lease("k"), Lease(owner=run_id(5), started_at=NOW, expires_at=NOW, progress="old"))
    with pytest.raises(CannotTell, match="waiting for training to end"):
        verdict(store)


class Flaky(Bucket):
    """Every third call fails, but for those before the wait."""

    calls = 0

    def list(self, prefix: str) -> list[ObjectInfo]:
        self.calls += 1
        if self.calls > 2 and self.calls % 3 == 0:
            raise StorageUnavailable("503")
        return super().list(prefix)


def test_a_storage_that_fails_now_and_then_is_asked_again() -> None:
    store = Flaky(ended("refused", None, "no"))
    assert verdict(store)[0].outcome == "refused"


def test_every_outcome_has_its_exit_code() -> None:
    assert set(retrain.EXIT_CODES) == set(training.TrainingResult.__args__)  # type: ignore[attr-defined]
    assert {name for name, code in retrain.EXIT_CODES.items() if code == 0} == {"promoted", "unchanged"}


def test_force_is_asked_for_in_the_bucket_again_and_again() -> None:
    store = MemoryStore()
    retrain.force(store)
    retrain.force(store)
    info = store.stat(layout.FORCE)
    assert info is not None
    assert info.generation != CREATE_ONLY
