"""What a hyper-parameter may be: values to draw from, and a refinement around the best inside the legal domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Params = dict[str, Any]


class Space(Protocol):
    """The values of one hyper-parameter."""

    @property
    def options(self) -> Sequence[Any]:
        """Values of the first, random stage."""

    def around(self, best: Any) -> list[Any]:
        """Values of the second stage, `best` among them, each legal, none twice."""


@dataclass(frozen=True)
class Choices:
    """Named values without an order: the refinement keeps the best, or with `refined` tries them all again."""

    options: tuple[Any, ...]
    refined: bool = False

    def around(self, best: Any) -> list[Any]:
        """All values again where they are `refined`, else the best alone."""
        return list(self.options) if self.refined else [best]


@dataclass(frozen=True)
class LogWindow:
    """A positive number on a logarithmic scale, refined by factors."""

    options: tuple[float, ...]
    factors: tuple[float, ...]
    low: float = 0.0
    high: float = float("inf")

    def around(self, best: float) -> list[float]:
        """The best times each factor, within the domain."""
        return _legal([float(f"{best * factor:.12g}") for factor in self.factors], self.low, self.high)


@dataclass(frozen=True)
class FloatWindow:
    """A number on a linear scale, refined by steps."""

    options: tuple[float, ...]
    steps: tuple[float, ...]
    low: float
    high: float

    def around(self, best: float) -> list[float]:
        """The best plus each step, within the domain."""
        return _legal([round(best + step, 10) for step in self.steps], self.low, self.high)


@dataclass(frozen=True)
class IntWindow:
    """A whole number refined by steps and factors; None, where it is an option, means unlimited and stays."""

    options: tuple[int | None, ...]
    steps: tuple[int, ...] = (0,)
    low: int = 1
    high: int = 1_000_000
    factors: tuple[float, ...] = (1.0,)

    def around(self, best: int | None) -> list[int | None]:
        """The best times each factor plus each step, within the domain; no limit stays no limit."""
        if best is None:
            return [None]
        moved = [round(best * factor) + step for factor in self.factors for step in self.steps]
        return _legal(moved, self.low, self.high)


def grid_around(space: Mapping[str, Space], best: Params) -> dict[str, list[Any]]:
    """The second stage's grid: for every hyper-parameter, the values around its best."""
    return {name: values.around(best[name]) for name, values in space.items()}


def _legal(values: Sequence[Any], low: float, high: float) -> list[Any]:
    """`values` clamped to the domain, in order, without repetition."""
    return sorted({min(max(value, low), high) for value in values})
