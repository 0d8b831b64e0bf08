"""The model in hand, and the look for the next one while the first still serves.

The model in hand is one reference: a request sees the old one or the new one, never a mixture. Whatever fails keeps it.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from functions.predict.challenger import Challengers
from shared import logs
from shared.clock import utc_now
from shared.errors import ObjectMissing, PermanentError, TransientError
from shared.layout import Stage
from shared.run_files import MAX_FILE_BYTES
from shared.serving.loaded_model import LoadedModel, NothingPromoted, load
from shared.store import Store

FIRST_MODEL_WAIT = 10.0
"""Seconds that a request waits for the first model before it is told to come back."""

AFTER_PAUSE_WAIT = 0.3
"""Seconds that the first request after a pause waits for the look at the pointer before it gets the model in hand."""

LONGEST_BACK_OFF = 25.0
"""Seconds between the beginnings of two looks after failures: storage that is well again is seen within them, since a
look that fails ends before (`main.STORAGE_DEADLINE`)."""

LEAST_PAUSE = 1.0
"""Seconds between a failure and the next look, however long the failure took."""

LONGEST_LOOK = 30.0
"""Seconds after which a look that has not ended counts as a failure, whatever it waits for. A last success that is so
much older than a look should be makes the model in hand stale, whatever became of the looks since."""

HANGING = ("look_hangs", "")


@dataclass(frozen=True)
class Refresh:
    """What the looks at the pointer have found. `failure` is the last look's, None where it succeeded."""

    looked_at: datetime | None = None
    succeeded_at: datetime | None = None
    failure: str | None = None
    detail: str | None = None
    failures: int = 0


class Predictor:
    """Holds the model in hand and looks for the next one, one look at a time, in a thread of its own."""

    def __init__(
        self,
        store: Store,
        stage: Stage,
        refresh_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_first_model: Callable[[], None] = lambda: None,
        most_graph_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """`on_first_model` is called once, in the look's thread, before the first model answers."""
        self.stage = stage
        self._refresh = Refresh()
        self._began = math.inf
        self._succeeded_at = math.inf
        self.challengers = Challengers(store, stage)
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._most_graph_bytes = most_graph_bytes
        self._on_first_model = on_first_model
        self._current: LoadedModel | None = None
        self._due = -math.inf
        self._lock = threading.Lock()
        self._look: Future[None] | None = None
        self._reported: tuple[str, str] | None = None
        self._asked = math.inf
        self._awaited: Future[None] | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The model in hand, without a look."""
        return self._current

    @property
    def refresh(self) -> Refresh:
        """What the looks have found. One that does not end has failed; so has a success that is too long ago."""
        if self._hangs():
            return replace(self._refresh, failure="look_hangs", detail="the look at the pointer does not end")
        age = self._clock() - self._succeeded_at
        if self._refresh.failure is None and age > self._refresh_seconds + LONGEST_LOOK:
            detail = f"the last look at the pointer that succeeded is {age:.0f} s old"
            return replace(self._refresh, failure="look_overdue", detail=detail)
        return self._refresh

    async def model(self) -> LoadedModel | None:
        """The model in hand, at once; the first one is waited for. A look that is due starts in the background.

        Where nobody asked for as long as a look may be old, the look that is due then is waited for, for a moment: else
        the first answer after a rollback could be of the model that was withdrawn while nobody asked.
        """
        now = self._clock()
        paused, self._asked = now - self._asked > self._refresh_seconds, now
        if self._current is None:
            await self._within(FIRST_MODEL_WAIT, self.look())
        elif now >= self._due:
            look = self.look()
            self._awaited = look if paused else self._awaited
        if self._awaited is not None:
            await self._within(AFTER_PAUSE_WAIT, self._awaited)
            self._awaited = None
        return self._current

    async def _within(self, seconds: float, look: "Future[None]") -> None:
        if not look.done():
            await asyncio.wait([asyncio.wrap_future(look)], timeout=seconds)

    def look(self) -> "Future[None]":
        """Start a look at the pointer, unless one is under way; the future ends with it and never raises."""
        with self._lock:
            if self._look is None or self._look.done():
                look: Future[None] = Future()
                self._began = self._clock()
                self._due = self._began + self._refresh_seconds
                threading.Thread(target=self._run, args=(look,), name="look", daemon=True).start()
                self._look = look  # only now: a thread that cannot start must not count as a look under way
            elif self._hangs() and self._reported != HANGING:
                self._reported = HANGING
                logs.error("the look at the pointer does not end", reason="look_hangs", stage=self.stage)
            return self._look

    def _hangs(self) -> bool:
        under_way = self._look is not None and not self._look.done()
        return under_way and self._clock() - self._began > LONGEST_LOOK

    def _run(self, look: "Future[None]") -> None:
        try:
            found = load(self._store, self.stage, self._current, self._most_graph_bytes)
        except Exception as error:  # noqa: BLE001 - whatever fails, the model in hand keeps serving
            self._failed(error)
        else:
            self._succeeded(found)
            self.challengers.look(found)
        finally:
            look.set_result(None)

    def _succeeded(self, found: LoadedModel) -> None:
        if found is not self._current:
            run_id, generation = found.manifest.run_id, found.pointer_generation
            logs.info("model loaded", stage=self.stage, run_id=run_id, generation=generation)
        elif self._refresh.failure:
            logs.info("the pointer can be followed again", stage=self.stage, run_id=found.manifest.run_id)
        if self._current is None:
            self._on_first_model()
        now = utc_now()
        self._current = found
        self._reported = None
        self._refresh = Refresh(looked_at=now, succeeded_at=now)
        self._succeeded_at = self._clock()
        self._due = self._succeeded_at + self._refresh_seconds

    def _failed(self, error: Exception) -> None:
        reason, detail = _reason(error), _detail(error)
        if self._reported != (reason, detail):
            self._reported = (reason, detail)
            self._report(error, reason)
        failures = self._refresh.failures + 1
        self._refresh = Refresh(utc_now(), self._refresh.succeeded_at, reason, detail, failures)
        self._due = max(self._began + self._back_off(failures), self._clock() + LEAST_PAUSE)

    def _report(self, error: Exception, reason: str) -> None:
        if self._current is None and isinstance(error, NothingPromoted):
            logs.info("no model is promoted yet", stage=self.stage)
            return
        serving = self._current.manifest.run_id if self._current else None
        message = f"the pointer cannot be followed: {_logged(error)}"
        logs.error(message, reason=reason, stage=self.stage, serving=serving)

    def _back_off(self, failures: int) -> float:
        longest = max(self._refresh_seconds, LONGEST_BACK_OFF)
        return float(min(self._refresh_seconds * 2 ** min(failures, 16), longest))


def _reason(error: Exception) -> str:
    if isinstance(error, PermanentError):
        return error.reason
    if isinstance(error, ObjectMissing):
        return "nothing_promoted" if isinstance(error, NothingPromoted) else "object_missing"
    return "storage_unavailable" if isinstance(error, TransientError) else "unexpected"


def _detail(error: Exception) -> str:
    """The failure in words that may be shown to anybody: names of objects, no addresses."""
    if isinstance(error, PermanentError):
        return str(error)
    if isinstance(error, NothingPromoted):
        return "the stage has no pointer"
    if isinstance(error, ObjectMissing):
        return "a file that the pointer leads to is missing"
    return "Cloud Storage does not answer" if isinstance(error, TransientError) else type(error).__name__


def _logged(error: Exception) -> str:
    known = isinstance(error, PermanentError | ObjectMissing | TransientError)
    return str(error) if known else type(error).__name__
