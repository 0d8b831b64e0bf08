"""How far a training is, on a terminal: a bar for each algorithm and stage, and one time left for the whole run."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from functions.train.search.time_left import Ahead, TimeLeft, in_words


class _Count(ProgressColumn):
    """How many fits of how many are done; the whole run has no number of its own."""

    def render(self, task: Task) -> Text:
        """The time that is left, behind the bar of the whole run."""
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


class _Left(ProgressColumn):
    """Beside the bar of the whole run what is left of it."""

    def __init__(self, time_left: TimeLeft) -> None:
        super().__init__()
        self._time_left = time_left

    def render(self, task: Task) -> Text:
        """Called again and again, so that the time goes down while nothing else happens."""
        seconds = self._time_left.seconds()
        if task.total is not None or seconds is None:
            return Text("")
        return Text(f"about {in_words(seconds)} left")


class Bars:
    """A bar per algorithm and stage, and one time left for the whole run."""

    def __init__(self, console: Console) -> None:
        self._time_left = TimeLeft()
        self._shown = Progress(
            TextColumn("{task.description:32}"),
            BarColumn(),
            _Count(),
            _Left(self._time_left),
            console=console,
        )
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> "Bars":
        self._whole = self._shown.add_task("the whole run", total=None)
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.remove_task(self._whole)
        self._shown.stop()

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """Bars for a stage."""
        self._time_left.begin()
        self._bars = {name: self._shown.add_task(f"{name} ({stage})", total=count) for name, count in fits.items()}

    def expect(self, ahead: Ahead) -> None:
        """Estimate from here."""
        self._time_left.expect(ahead)
        self._shown.refresh()

    def advance(self, algorithm: str, seconds: float) -> None:
        """One fit on."""
        self._time_left.advance(seconds)
        self._shown.advance(self._bars[algorithm])
