"""Who is told how far a search is: nobody, a log, or a person at a terminal."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from functions.train.search.time_left import Ahead, TimeLeft, in_words
from shared import logs

PAUSE_SECONDS = 5.0
PAUSE_SHARE = 0.1
"""Between two log lines: five seconds, or a tenth of what the stage has taken: some thirty lines in twenty minutes."""


class Progress(Protocol):
    """Told of the fits of a stage, by algorithm."""

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """A stage of so many fits by algorithm begins."""

    def expect(self, ahead: Ahead) -> None:
        """What is left of the stage and of the run takes about so long."""

    def advance(self, algorithm: str, seconds: float, /) -> None:
        """One more fit is done, of which so many seconds were expected."""


class Silence:
    """Tells nobody."""

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """Nothing to show."""

    def expect(self, ahead: Ahead) -> None:
        """Nothing to show."""

    def advance(self, algorithm: str, seconds: float, /) -> None:
        """Nothing to show."""


class LogLines:
    """A log line now and then: how many fits are done, how long the run takes yet, which algorithms are through."""

    def __init__(self, run_id: str) -> None:
        self._time_left = TimeLeft(time.monotonic)
        self.said = ""
        self._run_id = run_id
        self._stage = ""
        self._fits = 0
        self._left: Counter[str] = Counter()
        self._began = self._said = time.monotonic()

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """Count from here."""
        self._time_left.begin()
        self._stage, self._left, self._fits = stage, Counter(fits), sum(fits.values())
        self._began = self._said = time.monotonic()
        self._say(f"{self._fits} fits of {len(fits)} algorithms", done=0)

    def expect(self, ahead: Ahead) -> None:
        """Estimate from here."""
        self._time_left.expect(ahead)

    def advance(self, algorithm: str, seconds: float, /) -> None:
        """One fit on; a line if the last one was some time ago."""
        self._left[algorithm] -= 1
        self._time_left.advance(seconds)
        now, done = time.monotonic(), self._fits - self._left.total()
        taken = now - self._began
        if now - self._said < max(PAUSE_SECONDS, PAUSE_SHARE * taken):
            return
        self._said = now
        through = ", ".join(name for name, left in self._left.items() if not left) or "none yet"
        ahead = self._time_left.seconds()
        left = "" if ahead is None else f"the run takes about {in_words(ahead)} yet; "
        self._say(f"{done} of {self._fits} fits; {left}through: {through}", done=done)

    def _say(self, message: str, *, done: int) -> None:
        fields = {"stage": "search", "run_id": self._run_id, "done": done, "fits": self._fits}
        self.said = f"search ({self._stage}) {message}"
        logs.info(self.said, **fields)
