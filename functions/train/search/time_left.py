"""How long a run takes yet: all stages of the search and what comes after it, at the pace that this computer keeps.

What is ahead is told at the beginning of a stage, as it is expected by then; how much longer than that things take is
learnt within the stage, and holds for all that is ahead.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

CERTAIN_SECONDS = (3.0, 18.0)
CERTAIN_SHARE = 0.3
"""This share of a stage, within so many expected seconds, must be done before the pace that is seen weighs as much as
the one that was expected: in its first moments long fits are under way, and nothing is done."""


@dataclass(frozen=True)
class Ahead:
    """What a run has ahead of it, in expected seconds.

    `work`: of this stage, in one process, where `jobs` share it; `later`: of further stages of the search, by the
    clock; `finishing`: of all that comes after the search. `within`: the search ends after so long, come what may.
    """

    work: float = 0.0
    jobs: int = 1
    later: float = 0.0
    finishing: float = 0.0
    within: float = math.inf


class TimeLeft:
    """The time left, to be asked for at any moment; `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done, self._began = 0.0, clock()
        self._ahead: Ahead | None = None
        self._ends = math.inf

    def begin(self) -> None:
        """A stage begins, of which nothing is known yet: what is measured until then teaches no pace."""
        self._done, self._ahead = 0.0, None

    def expect(self, ahead: Ahead) -> None:
        """Say how much is ahead from now on."""
        self.begin()
        self._ahead, self._began = ahead, self._clock()
        self._tell(ahead, self._began)

    def advance(self, seconds: float) -> None:
        """Work of so many expected seconds is done."""
        if self._ahead is not None:
            self._done += seconds
            self._tell(self._ahead, self._clock())

    def seconds(self) -> float | None:
        """What is left, by the clock; None as long as nothing is known."""
        return None if self._ends == math.inf else max(self._ends - self._clock(), 0.0)

    def _tell(self, ahead: Ahead, now: float) -> None:
        stage, done, taken = ahead.work / ahead.jobs, self._done / ahead.jobs, now - self._began
        certain = min(CERTAIN_SECONDS[0] + CERTAIN_SHARE * stage, CERTAIN_SECONDS[1])
        pace = (certain + taken) / (certain + done)
        searching = min((max(stage - done, 0.0) + ahead.later) * pace, max(ahead.within - taken, 0.0))
        self._ends = now + searching + ahead.finishing * pace


def in_words(seconds: float) -> str:
    """The seconds as a person says them: 40 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
