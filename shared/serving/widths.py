"""How wide the interval is and how probable a risk: from the residuals of all rows, or of the row's own kind.

Most models have one width for all rows. Where the training rows have shown that it is not fair, the profile's `spread`
says how residuals differ: their typical size at a prediction (normalised conformal; Papadopoulos, Gammerman and Vovk,
2008), residuals of groups (Mondrian conformal; Vovk, Gammerman and Shafer, 2005), or both.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.documents import Interval
from shared.errors import IntegrityError
from shared.profiles import Residuals, Spread
from shared.serving.quantiles import shares_below, usable


class Span(msgspec.Struct, frozen=True):
    """How wide intervals are, in the target's unit, before they are clipped to the target's range."""

    narrowest: float
    widest: float


class AtPrediction(msgspec.Struct, frozen=True):
    """How wide the interval of most rows is at a prediction."""

    prediction: float
    width: float


class ByGroup(msgspec.Struct, frozen=True):
    """How wide the intervals of the categories of `feature` are; `others`: of all that have no width of their own."""

    feature: str
    groups: dict[str, Span]
    others: Span


class WidthsInNumbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """How wide intervals are over all rows, and what the width follows, where it is not one for all of them."""

    narrowest: float
    widest: float
    by_prediction: tuple[AtPrediction, ...] = ()
    by_group: ByGroup | None = None


class Widths:
    """The residuals that count for each row of one model."""

    def __init__(self, interval: Interval, quantiles: tuple[float, ...], spread: Spread | None) -> None:
        """Raises IntegrityError for a spread that cannot be used."""
        plain = Residuals(low=interval.low_residual, high=interval.high_residual, quantiles=quantiles)
        self._rest = spread.rest if spread else plain
        self._groups = dict(spread.groups) if spread else {}
        self._at = np.array(spread.at if spread else (), dtype=np.float64)
        self._scale = np.array(spread.scale if spread else (), dtype=np.float64)
        self.column = spread.column if spread else None
        if spread is not None:
            _require_usable(spread)

    def bounds(self, numbers: Vector, groups: Sequence[str] | None) -> tuple[Vector, Vector]:
        """The residuals (n,) at both ends of the intervals around `numbers` (n,), rows of `groups`."""
        low, high = np.full(len(numbers), self._rest.low), np.full(len(numbers), self._rest.high)
        for rows, held in self._own(groups):
            low[rows], high[rows] = held.low, held.high
        scale = self._scales(numbers)
        return low * scale, high * scale

    def shares_below(self, limit: float, numbers: Vector, groups: Sequence[str] | None) -> Vector:
        """How probable (n,) it is that the target is below `limit`."""
        thresholds = (limit - numbers) / self._scales(numbers)
        shares = shares_below(thresholds, self._rest.quantiles)
        for rows, held in self._own(groups):
            shares[rows] = shares_below(thresholds[rows], held.quantiles)
        return shares

    def described(self) -> WidthsInNumbers:
        """The widths in numbers, for people who ask how sure the model is."""
        groups = {name: self._span(held) for name, held in self._groups.items()}
        rest = self._span(self._rest)
        spans = [*groups.values(), rest]
        plain = self._rest.high - self._rest.low
        return WidthsInNumbers(
            narrowest=min(span.narrowest for span in spans),
            widest=max(span.widest for span in spans),
            by_prediction=tuple(
                AtPrediction(float(at), plain * float(scale)) for at, scale in zip(self._at, self._scale, strict=True)
            ),
            by_group=None if self.column is None else ByGroup(self.column, groups, rest),
        )

    def _span(self, held: Residuals) -> Span:
        width = held.high - held.low
        scales = self._scale if self._scale.size else np.ones(1)
        return Span(width * float(scales.min()), width * float(scales.max()))

    def _own(self, groups: Sequence[str] | None) -> list[tuple[NDArray[np.bool_], Residuals]]:
        if not self._groups:
            return []
        if groups is None:
            raise ValueError(f"the interval differs by {self.column}, and its cells were not given")
        named = np.array(groups, dtype=object)
        return [(named == name, held) for name, held in self._groups.items()]

    def _scales(self, numbers: Vector) -> Vector:
        if not self._at.size:
            return np.ones(len(numbers))
        return np.interp(numbers, self._at, self._scale)


def _require_usable(spread: Spread) -> None:
    held = [spread.rest, *spread.groups.values()]
    at, scale = spread.at, spread.scale
    sound = (
        all(usable(residuals.quantiles) and residuals.low <= residuals.high for residuals in held)
        and len(at) == len(scale)
        and all(np.isfinite(at))
        and list(at) == sorted(at)
        and all(0 < size < float("inf") for size in scale)
        and (spread.column is not None or not spread.groups)
    )
    if not sound:
        raise IntegrityError(
            "the profile's spread must hold residuals in order and sizes above 0 at rising predictions"
        )
