"""Whose process is ended again and again is decided, with its reason in the bucket; markers find a thread meanwhile."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from functions.validate import gate
from functions.validate.isolation import Here, ProcessEnded
from functions.validate.lanes import Lanes
from shared import layout
from shared.codec import decode
from shared.decisions import Check, Decision, GivenUp
from shared.errors import TransientError
from tests.candidates import build, run_id
from tests.unit.validate.world import World


@dataclass
class Ended(Here):
    """An examiner whose process is ended during the golden rows, the first `times` times."""

    times: int
    calls: int = field(default=0)

    def judge(self, opening: Sequence[Check], case: gate.Case | None) -> Decision:
        decision = super().judge(opening, case)
        self.calls += 1
        if self.calls > self.times:
            return decision
        raise ProcessEnded("it was ended after 20 s", decision.checks[:5])


def statuses(decision: Decision) -> Mapping[str, str | None]:
    return {check.name: check.status for check in decision.checks}


def test_the_third_time_decides_and_tells_why() -> None:
    world = World(examiner=Ended(times=9))
    key = world.publish(build(run_id(1)))
    for attempt in (1, 2):
        with pytest.raises(TransientError):
            world.deliver(key)
        note = decode(world.bucket.read(layout.given_up(run_id(1), attempt)).data, GivenUp, "note")
        assert note.reason == "it was ended after 20 s"
    (line,) = world.deliver(key)
    assert (line["reason"], line["failed_checks"]) == ("gate_refused", ["golden"])
    assert "given up 3 times: it was ended after 20 s" in line["message"]
    stored = world.bucket.read(layout.candidate(run_id(1), layout.DECISION)).data
    decision = decode(stored, Decision, "decision")
    assert not decision.passed
    assert statuses(decision)["golden"] == "failed"
    assert statuses(decision)["champion"] == "not_run"
    assert [check.name for check in decision.checks] == [*gate.OPENING, *(name for name, _, _ in gate.CHECKS)]
    assert world.deliver(key)[0]["reason"] == "gate_refused", "the decision stands, and nothing runs again"
    assert isinstance(world.examiner, Ended)
    assert world.examiner.calls == 3


def test_what_was_ended_once_by_a_busy_moment_is_judged_by_the_next_delivery() -> None:
    world = World(examiner=Ended(times=1))
    key = world.publish(build(run_id(1)))
    with pytest.raises(TransientError):
        world.deliver(key)
    assert world.deliver(key)[-1]["reason"] == "promoted"


def test_candidates_leave_threads_to_markers() -> None:
    lanes, entered, go_on = Lanes(threads=4), threading.Semaphore(0), threading.Event()

    def candidate() -> None:
        with lanes.candidate():
            entered.release()
            go_on.wait(10)

    first, second = threading.Thread(target=candidate), threading.Thread(target=candidate)
    first.start()
    assert entered.acquire(timeout=10)
    second.start()  # waits for its turn
    try:
        refused = eventually_refused(lanes)
        with lanes.marker():
            pass
    finally:
        go_on.set()
        first.join()
        second.join()
    assert refused
    with lanes.candidate():
        pass


def eventually_refused(lanes: Lanes) -> bool:
    """Whether a third candidate is refused at once, as soon as the second one is known to wait."""
    for _ in range(1000):
        try:
            probe = lanes._places.acquire(blocking=False)
            if not probe:
                with lanes.candidate():
                    return False
            lanes._places.release()
            threading.Event().wait(0.005)
        except TransientError:
            return True
    return False


def test_a_turn_that_never_comes_is_a_fault_that_may_heal() -> None:
    lanes = Lanes(threads=4, seconds=0.05)
    with lanes.marker(), pytest.raises(TransientError, match="no turn came"), lanes.marker():
        pass
