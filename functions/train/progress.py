"""Who is told how far a search is: nobody, or a person at a terminal."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Told of the fits of a stage, by algorithm."""

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """A stage of so many fits by algorithm begins."""

    def advance(self, algorithm: str) -> None:
        """One more fit is done."""


class Silence:
    """Tells nobody."""

    def begin(self, stage: str, fits: Mapping[str, int]) -> None:
        """Nothing to show."""

    def advance(self, algorithm: str) -> None:
        """Nothing to show."""
