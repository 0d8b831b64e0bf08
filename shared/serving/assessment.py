"""A predicted number as an answer: clipped, with its interval, its risk and its band."""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.documents import Assessment, Manifest, TargetRange
from shared.errors import IntegrityError
from shared.profiles import Profile
from shared.serving.quantiles import share_below, shares_below, usable
from shared.serving.widths import Widths, WidthsInNumbers

MANY = 64
"""From this many rows on, arrays are quicker than a row at a time."""

TIERS = ("low", "medium", "high")
BANDS = ("low", "medium", "high")


Positions = NDArray[np.int8]
Words = NDArray[np.object_]


class Range(msgspec.Struct, frozen=True, gc=False):
    """Covers `level` of new rows."""

    level: float
    low: float
    high: float


class Risk(msgspec.Struct, frozen=True, gc=False):
    """How probable it is that the target is below the threshold, and the tier of that probability."""

    probability: float
    tier: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is answered for one row; risk and band only for targets that have such a notion."""

    prediction: float
    interval: Range
    risk: Risk | None = None
    band: str | None = None


@dataclass(frozen=True)
class Assessed:
    """Many answers as columns (n,): what `Answer` holds of one row. The last three only for targets with such a notion.

    `tiers` and `bands` are positions in TIERS and BANDS.
    """

    predictions: Vector
    lows: Vector
    highs: Vector
    probabilities: Vector | None = None
    tiers: Positions | None = None
    bands: Positions | None = None


class Assessor:
    """Turns predictions of one model into answers."""

    def __init__(self, manifest: Manifest, profile: Profile) -> None:
        """Raises IntegrityError where the residuals cannot tell a probability."""
        self._interval = manifest.interval
        self._low, self._high = _bounds(manifest.target_range)
        self._assessment = manifest.assessment
        self._residuals = profile.residual_quantiles
        if self._assessment is not None and not usable(self._residuals):
            raise IntegrityError("the profile's residual quantiles must be at least two, finite and in order")
        self._widths = Widths(manifest.interval, self._residuals, profile.spread) if profile.spread else None
        texts = [feature.name for feature in manifest.features if feature.kind == "categorical"]
        column = self._widths.column if self._widths else None
        if column is not None and column not in texts:
            raise IntegrityError(f"the interval differs by {column}, which is no categorical feature")
        self._place = None if column is None else texts.index(column)

    @property
    def widths(self) -> WidthsInNumbers:
        """How wide the intervals are, of all rows or by what they differ."""
        return (self._widths or Widths(self._interval, self._residuals, None)).described()

    def assess(self, predicted: float) -> Answer:
        """The answer for what the graph said of a row, where one width holds for all of them.

        Raises IntegrityError where that is not a finite number.
        """
        if not math.isfinite(predicted):
            raise IntegrityError("the model predicted a number that is not finite")
        prediction = self._clipped(predicted)
        interval = Range(
            self._interval.level,
            self._clipped(prediction + self._interval.low_residual),
            self._clipped(prediction + self._interval.high_residual),
        )
        if self._assessment is None:
            return Answer(prediction, interval)
        probability = share_below(self._assessment.at_risk_below - prediction, self._residuals)
        risk = Risk(probability, tier(probability, self._assessment))
        return Answer(prediction, interval, risk, band(prediction, self._assessment))

    def assess_all(self, predicted: NDArray[np.float64], words: Words | None = None) -> list[Answer]:
        """The answers for what the graph said of many rows (n,), each as alone, to the last digit.

        `words` (n, c) are the rows' categories as the graph read them, which the width may differ by.
        """
        if len(predicted) < MANY and self._widths is None:
            return [self.assess(number) for number in predicted.tolist()]
        found, level = self.assess_columns(predicted, words), self._interval.level
        ranges = zip(found.predictions.tolist(), found.lows.tolist(), found.highs.tolist(), strict=True)
        if found.probabilities is None or found.tiers is None or found.bands is None:
            return [Answer(number, Range(level, low, high)) for number, low, high in ranges]
        risks = zip(found.probabilities.tolist(), found.tiers.tolist(), found.bands.tolist(), strict=True)
        return [
            Answer(number, Range(level, low, high), Risk(share, TIERS[tier]), BANDS[band])
            for (number, low, high), (share, tier, band) in zip(ranges, risks, strict=True)
        ]

    def assess_columns(self, predicted: Vector, words: Words | None = None) -> Assessed:
        """The answers for what the graph said of many rows (n,), by column. Raises IntegrityError as `assess` does."""
        if not np.isfinite(predicted).all():
            raise IntegrityError("the model predicted a number that is not finite")
        numbers = np.clip(predicted, self._low, self._high) + 0.0
        below, above = self._bounds(numbers, words)
        lows = np.clip(numbers + below, self._low, self._high) + 0.0
        highs = np.clip(numbers + above, self._low, self._high) + 0.0
        found = self._assessment
        if found is None:
            return Assessed(numbers, lows, highs)
        shares = self._shares(found.at_risk_below, numbers, words)
        tiers = np.where(shares >= found.tiers.high, 2, np.where(shares >= found.tiers.medium, 1, 0))
        bands = np.where(numbers < found.bands.low, 0, np.where(numbers < found.bands.medium, 1, 2))
        return Assessed(numbers, lows, highs, shares, tiers.astype(np.int8), bands.astype(np.int8))

    def _bounds(self, numbers: Vector, words: Words | None) -> tuple[Vector | float, Vector | float]:
        if self._widths is None:
            return self._interval.low_residual, self._interval.high_residual
        return self._widths.bounds(numbers, self._groups(words))

    def _shares(self, limit: float, numbers: Vector, words: Words | None) -> Vector:
        if self._widths is None:
            return shares_below(limit - numbers, self._residuals)
        return self._widths.shares_below(limit, numbers, self._groups(words))

    def _groups(self, words: Words | None) -> list[str] | None:
        return None if words is None or self._place is None else words[:, self._place].tolist()

    def _clipped(self, value: float) -> float:
        return min(max(value, self._low), self._high) + 0.0  # no negative zero


def tier(probability: float, assessment: Assessment) -> str:
    """low < medium ≤ … < high ≤ …, by the thresholds frozen at training."""
    if probability >= assessment.tiers.high:
        return "high"
    return "medium" if probability >= assessment.tiers.medium else "low"


def band(prediction: float, assessment: Assessment) -> str:
    """low < `bands.low` ≤ medium < `bands.medium` ≤ high."""
    if prediction < assessment.bands.low:
        return "low"
    return "medium" if prediction < assessment.bands.medium else "high"


def _bounds(target_range: TargetRange) -> tuple[float, float]:
    low, high = target_range.min, target_range.max
    return (-math.inf if low is None else low, math.inf if high is None else high)
