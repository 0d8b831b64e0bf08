"""What was asked and answered, kept as one list for a short while, then counted and written off the event loop.

A request costs one append. A thread counts the list at 4,096 rows, and 300 s after the first of them, or when the
process ends, it writes a block: every object of the bucket wakes each function once, so they are few however much is
asked. What the bucket does not take waits, bounded; the oldest counts go first, and the loss is told.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter, sleep

import msgspec

from functions.predict.challenger import Challenger
from functions.predict.live.shadow import compared, predicted_beside, recalled_beside
from functions.predict.memory import Remembered
from shared import layout, logs
from shared.clock import utc_now
from shared.codec import encode
from shared.errors import NotPermitted, PipelineError, PreconditionFailed
from shared.layout import Stage
from shared.monitoring import LiveBlock
from shared.problems import Problem
from shared.serving.assessment import Answer
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput
from shared.serving.tally import Tally
from shared.store import CREATE_ONLY, Store

MAX_ROWS = 4_096
"""The most rows that are counted at once."""
MAX_SECONDS = 300.0
"""A block is so old when it is written; an instance that is killed loses no more."""
MAX_LISTS = 16
"""Lists that wait to be counted while the bucket is slow."""
MAX_BLOCKS = 256
"""Blocks that wait to be written: about a day of 300 s each, and some MB."""
GIVES_WAY_SECONDS = 0.002
"""A shadow leaves the core to callers for so long after each of its runs."""
DRAIN_SECONDS = 8.0
"""The platform ends an instance 10 s after SIGTERM."""


class _Held:
    """What one run was asked: different single rows with what is remembered of them, batches, and the seconds that each
    request took. `single`: the answers to the rows and how often each was given, once they are taken.
    """

    __slots__ = ("batches", "remembered", "rows", "run", "seconds", "single")

    def __init__(self, run: VerifiedRun) -> None:
        self.run = run
        self.rows: list[KnownRow] = []
        self.remembered: list[Remembered] = []
        self.single: tuple[list[float], list[int]] = ([], [])
        self.batches: list[tuple[ModelInput, Sequence[Answer]]] = []
        self.seconds: list[float] = []

    def settle(self) -> None:
        """Take how often each row was asked: on the event loop, which counts on from nought."""
        self.single = [kept.answer.prediction for kept in self.remembered], [kept.asked for kept in self.remembered]
        for kept in self.remembered:
            kept.asked = 0


class _Noted:
    """The requests since `since`, by run, and those that were refused: seconds, the run, status and problems.

    `due`: when, on the timer's clock, their block is to be written.
    """

    __slots__ = ("due", "refused", "rows", "runs", "since")

    def __init__(self, since: datetime, due: float) -> None:
        self.since = since
        self.due = due
        self.rows = 0
        self.runs: dict[int, _Held] = {}
        self.refused: list[tuple[float, VerifiedRun | None, int, Sequence[Problem]]] = []


@dataclass(frozen=True)
class _Waiting:
    """A block that is not written yet, and the key that was made for it alone."""

    key: str
    block: LiveBlock


class Counters:
    """The counters of one serving process. Its methods are called by the event loop, and cost it next to nothing."""

    def __init__(
        self,
        store: Store,
        stage: Stage,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = perf_counter,
        tried: Callable[[], Challenger | None] = lambda: None,
    ) -> None:
        """`timer`: seconds, by which requests are timed and blocks grow old. `tried`: the challenger in hand, whose
        faults are counted, and which is run as a shadow.
        """
        self._store = store
        self._stage = stage
        self._clock = clock
        self.timer = timer
        self._tried = tried
        self._noted: _Noted | None = None
        self._due: float | None = None
        self._lists: deque[tuple[_Noted, bool]] = deque()
        self._blocks: deque[_Waiting] = deque()
        self._tallies: dict[str, Tally] = {}
        self._asked: set[str] = set()
        self._lost = 0
        self._failing = False
        self._at_work = threading.Lock()
        self.ending = False
        """Set when the process is about to end: from then on, whoever has answered a request calls `drain`."""

    def answered(
        self,
        ended: float,
        seconds: float,
        run: VerifiedRun,
        rows: KnownRow | ModelInput,
        answers: Remembered | Sequence[Answer],
    ) -> None:
        """A request was answered by `run` at `ended`, on the timer's clock: one row with its answer, or a batch."""
        noted = self._noted
        if noted is None:
            noted = self._note(ended)
        held = noted.runs.get(id(run))  # held, so that no other object gets its id
        if held is None:
            held = noted.runs[id(run)] = _Held(run)
        held.seconds.append(seconds)
        if type(answers) is Remembered:
            if not answers.asked:
                held.rows.append(rows)  # type: ignore[arg-type]  # one row has one answer
                held.remembered.append(answers)
            answers.asked += 1
            noted.rows += 1
        else:
            held.batches.append((rows, answers))  # type: ignore[arg-type]
            noted.rows += len(answers)  # type: ignore[arg-type]
        if noted.rows >= MAX_ROWS or ended >= noted.due:
            self.hand_over(write=ended >= noted.due)

    def refused(
        self, ended: float, seconds: float, run: VerifiedRun | None, status: int, problems: Sequence[Problem]
    ) -> None:
        """A request was refused, or failed where `status` is 500. `run`: the one in hand."""
        noted = self._noted or self._note(ended)
        noted.refused.append((seconds, run, status, problems))
        noted.rows += 1
        if noted.rows >= MAX_ROWS or ended >= noted.due:
            self.hand_over(write=ended >= noted.due)

    def hand_over(self, *, write: bool = True) -> None:
        """Let a thread count what was noted, and write a block."""
        self._put_aside(write=write)
        threading.Thread(target=self._work, name="counters", daemon=True).start()

    def drain(self) -> None:
        """Count and write everything, now; gives up after 8 s."""
        self._put_aside(write=False)
        thread = threading.Thread(target=self._work, args=(True,), name="counters", daemon=True)
        thread.start()
        thread.join(DRAIN_SECONDS)

    def _note(self, ended: float) -> _Noted:
        if self._due is None:
            self._due = ended + MAX_SECONDS
        self._noted = _Noted(self._clock(), self._due)
        return self._noted

    def _put_aside(self, *, write: bool) -> None:
        if write:
            self._due = None
        noted, self._noted = self._noted, None
        if noted is None:
            return
        for held in noted.runs.values():
            held.settle()
        self._lists.append((noted, write))
        if len(self._lists) > MAX_LISTS:
            self._lost += self._lists.popleft()[0].rows

    def _work(self, last: bool = False) -> None:
        with self._at_work:
            try:
                while self._lists:
                    noted, write = self._lists.popleft()
                    self._count(noted)
                    if write:
                        self._close(last=False)
                if last:
                    self._close(last=True)
                self._write()
            except Exception as error:  # noqa: BLE001 - whatever fails here, serving goes on
                logs.error(f"live rows were not counted: {type(error).__name__}", reason="counters", stage=self._stage)

    # ---- counting ---------------------------------------------------------------------------------------------------

    def _count(self, noted: _Noted) -> None:
        self._count_challenger(noted)
        for held in noted.runs.values():
            tally = self._tally(held.run, noted.since)
            tally.add_rows(held.rows, *held.single)
            for read, answers in held.batches:
                tally.add_input(read, [answer.prediction for answer in answers])
                for problems in read.refused.values():
                    tally.add_problems(problems)
            tally.add_requests("2xx", held.seconds)
        for seconds, run, status, problems in noted.refused:
            if run is not None:
                tally = self._tally(run, noted.since)
                tally.add_problems(problems)
                tally.add_requests(f"{status // 100}xx", [seconds])

    def _count_challenger(self, noted: _Noted) -> None:
        """What the challenger owed, and as a shadow what it would have answered to the champion's callers."""
        challenger = self._tried()
        if challenger is None:
            return
        owed = challenger.take_faults()
        if owed:
            self._tally(challenger.run, noted.since).add_faults(owed)
        if challenger.challenge.mode != "shadow":
            return
        for held in noted.runs.values():
            if held.run.manifest.run_id == challenger.challenge.champion_run_id:
                self._shadow(self._tally(challenger.run, noted.since), held, challenger.run)

    def _shadow(self, tally: Tally, held: _Held, challenger: VerifiedRun) -> None:
        champion, (predictions, times) = held.run, held.single
        if held.rows:
            theirs = recalled_beside(champion, challenger, held.rows, held.remembered, self._give_way)
            tally.add_shadow(compared(champion, theirs, predictions, times))
        for read, answers in held.batches:
            if answers:
                theirs = predicted_beside(champion, challenger, read, self._give_way)
                tally.add_shadow(compared(champion, theirs, [answer.prediction for answer in answers]))

    def _give_way(self) -> None:
        if not (self.ending or self._lists):  # there is no time to lose
            sleep(GIVES_WAY_SECONDS)

    def _tally(self, run: VerifiedRun, since: datetime) -> Tally:
        run_id = run.manifest.run_id
        if run_id not in self._tallies:
            self._tallies[run_id] = Tally(run, since)
        self._asked.add(run_id)
        return self._tallies[run_id]

    def _close(self, *, last: bool) -> None:
        """Make blocks of what was counted. A run that nobody asks any more has its last one."""
        now = self._clock()
        for run_id, tally in list(self._tallies.items()):
            gone = last or run_id not in self._asked
            if gone:
                del self._tallies[run_id]
            if tally.waits(last=gone):
                key = layout.live_block(self._stage, run_id, now, secrets.token_hex(4))
                self._blocks.append(_Waiting(key, tally.take(now, last=gone)))
        self._asked.clear()
        while len(self._blocks) > MAX_BLOCKS:
            self._lost += self._blocks.popleft().block.rows

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        for _ in range(len(self._blocks)):
            waiting = self._blocks.popleft()
            try:
                self._create(waiting)
            except NotPermitted as error:  # perhaps of this one alone: it is there, and its answer was lost
                self._blocks.append(waiting)
                self._failed(error)
            except PipelineError as error:
                self._blocks.appendleft(waiting)
                self._failed(error)
                return
            else:
                self._failing = False

    def _create(self, waiting: _Waiting) -> None:
        lost, block = self._lost, waiting.block
        data = encode(msgspec.structs.replace(block, lost=lost) if lost else block)
        with suppress(PreconditionFailed):  # a key is made for one block: it was written, and the answer was lost
            self._store.write(waiting.key, data, if_generation=CREATE_ONLY, content_type="application/json")
        self._lost -= lost

    def _failed(self, error: PipelineError) -> None:
        if not self._failing:
            self._failing = True
            logs.warning(f"live counts wait for the bucket: {error}", reason="counters", stage=self._stage)
