"""What becomes of a training that was asked for: how the call ended, what the gate decided, whether staging serves it.

All of it is read from the bucket: a scheduler's job gets no answer to hand on, and a run that changes nothing leaves
no candidate.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from functions.train.lease import Lease
from infra.operate.served import CannotTell, current, document, failed_checks
from shared import layout
from shared.clock import utc_now
from shared.decisions import Attempt, Decision
from shared.errors import StorageUnavailable
from shared.store import Store

POLL_SECONDS = 1.0
SAY_SECONDS = 15.0
TrainingResult = Literal["promoted", "unchanged", "refused", "failed"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """How it ended, in a word for programs and in lines for people. `run_id` where there is a run."""

    outcome: TrainingResult
    headline: str
    reasons: tuple[str, ...] = ()
    run_id: str | None = None


class Waiting:
    """One wait, from the moment of its making: calls that ended before do not count."""

    def __init__(
        self,
        store: Store,
        seconds: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        ended_badly: Callable[[], str] = str,
    ) -> None:
        """Note what is there. `ended_badly`: a sentence once the platform says that the call came to no good end, empty
        before. Raises StorageUnavailable."""
        self._store = store
        self._ended_badly = ended_badly
        self._say = say
        self._clock = clock
        self._began = self._said = clock()
        self._ends = self._began + seconds
        self._seconds = seconds
        self._asked = self._began
        self._line = ""
        self._before = {info.name for info in store.list(layout.ATTEMPTS)}
        self._leases = {info.name: info.generation for info in store.list(layout.LEASES)}

    def verdict(self) -> Verdict:
        """Wait for it. Raises CannotTell where there is none in time."""
        attempt = self._ended()
        if attempt.run_id is None:
            if attempt.status == "refused":
                return Verdict("refused", "training refused what it was to train on", attempt.problems)
            return Verdict("failed", "the training failed", attempt.problems)
        if attempt.status == "unchanged":
            return self._of_unchanged(attempt.run_id)
        self._progress(f"trained {attempt.run_id}; the gate judges it")
        return self._judged(attempt.run_id)

    def _ended(self) -> Attempt:
        """The first call that came to an end; those that are made again, or were told to wait, are not at theirs."""
        known = set(self._before)
        while True:
            fault = self._fault()  # before the look, so that a word that the call left goes before it
            for name in self._new(known):
                known.add(name)
                attempt = document(self._store, name, Attempt)
                if attempt is None:
                    continue
                if attempt.status == "later":
                    self._progress(f"this attempt failed and is made again: {'; '.join(attempt.problems)}")
                elif attempt.status == "in_progress":
                    self._progress(f"run {attempt.run_id} is under way already")
                else:
                    return attempt
            if fault:
                return Attempt(schema_version=1, ended_at=utc_now(), status="failed", run_id=None, problems=(fault,))
            self._pause(self._how_far() or "waiting for training to end")

    def _fault(self) -> str:
        """What the platform says of a call that came to no good end, asked now and then."""
        now = self._clock()
        if now - self._asked < SAY_SECONDS:
            return ""
        self._asked = now
        return self._ended_badly()

    def _new(self, known: Collection[str]) -> Iterator[str]:
        with suppress(StorageUnavailable):  # asked again at the next look
            yield from [info.name for info in self._store.list(layout.ATTEMPTS) if info.name not in known]

    def _how_far(self) -> str:
        """What the run under way says of itself in its lease, where one was written since the wait began."""
        with suppress(StorageUnavailable):
            for info in self._store.list(layout.LEASES):
                if self._leases.get(info.name) != info.generation and info.name != layout.FORCE:
                    lease = document(self._store, info.name, Lease)
                    if lease is not None and lease.progress:
                        return lease.progress
        return ""

    def _of_unchanged(self, run_id: str) -> Verdict:
        headline = f"unchanged: the same data, spec and code gave {run_id}"
        decision = self._decision(run_id)
        if decision is not None and not decision.passed:
            return Verdict("refused", f"{headline}, which the gate refused", failed_checks(decision), run_id)
        return Verdict("unchanged", f"{headline}; FORCE=1 trains all the same", (), run_id)

    def _judged(self, run_id: str) -> Verdict:
        while (decision := self._decision(run_id)) is None:
            self._pause("waiting for the gate")
        if not decision.passed:
            return Verdict("refused", f"{run_id} was trained, and the gate refused it", failed_checks(decision), run_id)
        while not self._serves(run_id):
            self._pause("it passed; waiting for staging to serve it")
        return Verdict("promoted", f"{run_id} was trained and serves in staging", (), run_id)

    def _decision(self, run_id: str) -> Decision | None:
        with suppress(StorageUnavailable):
            return document(self._store, layout.candidate(run_id, layout.DECISION), Decision)
        return None

    def _serves(self, run_id: str) -> bool:
        with suppress(StorageUnavailable):
            pointer = current(self._store, "staging")
            return pointer is not None and pointer.run_id >= run_id
        return False

    def _pause(self, doing: str) -> None:
        now = self._clock()
        if now >= self._ends:
            raise CannotTell(
                f"no verdict within {self._seconds:g} s ({doing}); it goes on, and 'make status' tells how it ended"
            )
        if now - self._said >= SAY_SECONDS:
            self._progress(doing)
        time.sleep(POLL_SECONDS)

    def _progress(self, line: str) -> None:
        self._said = self._clock()
        if line != self._line:
            self._line = line
            self._say(f"{self._said - self._began:5.0f} s  {line}")
