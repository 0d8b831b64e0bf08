"""What was asked and answered, kept as one list for a short while, then counted and written off the event loop.

A request costs one append. At 4,096 rows, 300 s after the first of them, or when the process ends, a thread counts the
list and writes a block. What the bucket does not take waits, bounded; the oldest counts go first, and the loss is told.
"""

import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import msgspec
import numpy as np

from functions.predict.live.tally import Tally
from functions.predict.memory import Remembered
from shared import layout, logs
from shared.clock import utc_now
from shared.codec import encode
from shared.documents import SCHEMA_VERSION
from shared.errors import NotPermitted, PipelineError, PreconditionFailed
from shared.layout import Stage
from shared.monitoring import LATENCY_US, LiveBlock
from shared.problems import Problem
from shared.serving.assessment import Answer
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput
from shared.store import CREATE_ONLY, Store

MAX_ROWS = 4_096
MAX_SECONDS = 300.0
MAX_LISTS = 16
"""Lists that wait to be counted while the bucket is slow."""
MAX_BLOCKS = 256
"""Blocks that wait to be written: about a day of 300 s each, and some MB."""
DRAIN_SECONDS = 8.0
"""The platform ends an instance 10 s after SIGTERM."""


class _Held:
    """What one run was asked: different single rows with what is remembered of them, batches, and the seconds that each
    request took. `single`: the rows with their answers and how often each was given, once they are taken.
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
        self.remembered = []


class _Noted:
    """The requests since `since`, by run, and those that were refused: seconds, the run, status and problems."""

    __slots__ = ("began", "refused", "rows", "runs", "since")

    def __init__(self, since: datetime, began: float) -> None:
        self.since = since
        self.began = began
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
    ) -> None:
        self._store = store
        self._stage = stage
        self._clock = clock
        self._timer = timer
        self._noted: _Noted | None = None
        self._lists: deque[_Noted] = deque()
        self._blocks: deque[_Waiting] = deque()
        self._tallies: dict[str, Tally] = {}
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
            noted = self._noted = _Noted(self._clock(), ended)
        held = noted.runs.get(id(run))  # whose objects live as long as they are held
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
        if noted.rows >= MAX_ROWS or ended - noted.began >= MAX_SECONDS:
            self.hand_over()

    def refused(
        self, ended: float, seconds: float, run: VerifiedRun | None, status: int, problems: Sequence[Problem]
    ) -> None:
        """A request was refused, or failed where `status` is 500. `run`: the one in hand."""
        if self._noted is None:
            self._noted = _Noted(self._clock(), ended)
        self._noted.refused.append((seconds, run, status, problems))
        self._noted.rows += 1
        if self._noted.rows >= MAX_ROWS or ended - self._noted.began >= MAX_SECONDS:
            self.hand_over()

    def hand_over(self) -> None:
        """Let a thread count and write what was noted."""
        self._put_aside()
        threading.Thread(target=self._work, name="counters", daemon=True).start()

    def drain(self) -> None:
        """Count and write everything, now; gives up after 8 s."""
        self._put_aside()
        thread = threading.Thread(target=self._work, args=(True,), name="counters", daemon=True)
        thread.start()
        thread.join(DRAIN_SECONDS)

    def _put_aside(self) -> None:
        noted, self._noted = self._noted, None
        if noted is None:
            return
        for held in noted.runs.values():
            held.settle()
        self._lists.append(noted)
        if len(self._lists) > MAX_LISTS:
            self._lost += self._lists.popleft().rows

    def _work(self, last: bool = False) -> None:
        with self._at_work:
            try:
                while self._lists:
                    noted = self._lists.popleft()
                    self._count(noted, last=last and not self._lists)
                if last:
                    self._take_all()
                self._write()
            except Exception as error:  # noqa: BLE001 - whatever fails here, serving goes on
                logs.error(f"live rows were not counted: {type(error).__name__}", reason="counters", stage=self._stage)

    # ---- counting ---------------------------------------------------------------------------------------------------

    def _count(self, noted: _Noted, *, last: bool) -> None:
        found: dict[str, list[_Held]] = {}
        for held in noted.runs.values():
            found.setdefault(held.run.manifest.run_id, []).append(held)
        for _, run, _, _ in noted.refused:
            if run is not None:
                found.setdefault(run.manifest.run_id, [_Held(run)])
        for run_id, parts in found.items():
            self._block(run_id, parts, noted, last=last)
        for run_id in [run_id for run_id in self._tallies if run_id not in found]:
            self._take(run_id, noted.since)  # another run answers by now

    def _block(self, run_id: str, parts: Sequence[_Held], noted: _Noted, *, last: bool) -> None:
        tally = self._tallies.setdefault(run_id, Tally(parts[0].run))
        refused = [entry for entry in noted.refused if entry[1] is not None and entry[1].manifest.run_id == run_id]
        problems = [problem for entry in refused for problem in entry[3]]
        for held in parts:
            tally.add_rows(held.rows, *held.single)
            for read, answers in held.batches:
                tally.add_input(read, [answer.prediction for answer in answers])
                problems += [problem for told in read.refused.values() for problem in told]
        answered = [seconds for held in parts for seconds in held.seconds]
        seconds = answered + [entry[0] for entry in refused]
        statuses = Counter({"2xx": len(answered)}) + Counter(f"{entry[2] // 100}xx" for entry in refused)
        by_code = _by_code(problems, parts[0].run)
        self._put(run_id, tally, noted.since, len(seconds), by_code, dict(statuses), seconds, last=last)
        if last:
            del self._tallies[run_id]

    def _take_all(self) -> None:
        for run_id in list(self._tallies):
            self._take(run_id, self._clock())

    def _take(self, run_id: str, since: datetime) -> None:
        tally = self._tallies.pop(run_id)
        if tally.waits():
            self._put(run_id, tally, since, 0, {}, {}, [], last=True)

    def _put(
        self,
        run_id: str,
        tally: Tally,
        since: datetime,
        requests: int,
        refused: dict[str, dict[str, int]],
        answers: dict[str, int],
        seconds: Sequence[float],
        *,
        last: bool = False,
    ) -> None:
        rows, features, prediction = tally.take(last=last)
        now = self._clock()
        latency = np.bincount(np.searchsorted(LATENCY_US, np.array(seconds) * 1e6), minlength=len(LATENCY_US) + 1)
        block = LiveBlock(
            schema_version=SCHEMA_VERSION,
            run_id=run_id,
            since=min(since, now),
            until=now,
            requests=requests,
            rows=rows,
            features=features,
            prediction=prediction,
            refused=refused,
            answers=answers,
            latency_us=tuple(latency.tolist()),
        )
        key = layout.live_block(self._stage, run_id, now, secrets.token_hex(4))
        self._blocks.append(_Waiting(key, block))
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


def _by_code(problems: Sequence[Problem], run: VerifiedRun) -> dict[str, dict[str, int]]:
    """Problems by code and feature. A pointer may hold what a caller made up: only the model's own names are kept."""
    found: dict[str, dict[str, int]] = {}
    for problem in problems:
        name = problem.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        feature = run.schema.names.get(name, "")
        by_feature = found.setdefault(problem.code, {})
        by_feature[feature] = by_feature.get(feature, 0) + 1
    return found
