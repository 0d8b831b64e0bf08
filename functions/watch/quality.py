"""Whether a challenger is worse than the champion, judged on labelled rows that both have predicted. Pure.

The two squared errors of a row are paired, and their difference over the target's variance is the row's part in the
difference of R². An asymptotic confidence sequence holds at every number of labels at once, so that looking after each
label is as good as looking once: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and
asymptotic confidence sequences, https://arxiv.org/abs/2103.06476, equation for the two-sided boundary of Theorem 2.2.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.01
"""The chance that a challenger which is as good is ever withdrawn."""
LEAST_LABELS = 50
"""The fewest labels for a verdict: with fewer, the variance of the differences is not known well enough."""
TIGHTEST_AT = 500
"""The number of labels at which the sequence is tightest; models differ visibly after about so many."""


@dataclass(frozen=True)
class Look:
    """What is known of the loss of R² (champion minus challenger; positive is worse) after `labels` labels."""

    labels: int
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """The first verdict that the labels allow, None while they allow none, with its look or else the last one.

    `course` (labels, 3): loss, low and high after each label up to there, for the plot.
    """

    verdict: Literal["worse", "not_worse"] | None
    look: Look | None
    course: NDArray[np.float64]


def differences(champion: NDArray[np.float64], challenger: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """Each row's part in the loss of R², from the residuals (n,) of both on the same rows, in the target's units.

    `variance` is the target's; it must be the same at every look. Raises ValueError where it is not positive.
    """
    if not variance > 0 or not math.isfinite(variance):
        raise ValueError(f"expected the target's variance as a positive number, found {variance}")
    if champion.shape != challenger.shape:
        raise ValueError(f"expected paired residuals, found {champion.shape} and {challenger.shape}")
    return (challenger**2 - champion**2) / variance


def judge(losses: NDArray[np.float64], max_drop: float, *, alpha: float = ALPHA) -> Judgement:
    """The first verdict along `losses` (n,), in the order in which the labels arrived.

    worse: the whole interval is above 0. not_worse: it is below `max_drop`, the loss of R² that the gate allows.
    """
    if len(losses) == 0:
        return Judgement(None, None, np.empty((0, 3)))
    count = np.arange(1, len(losses) + 1, dtype=np.float64)
    mean = np.cumsum(losses) / count
    variance = np.maximum(np.cumsum(losses**2) / count - mean**2, 1e-12)
    width = _width(count, np.sqrt(variance), alpha)
    low, high = mean - width, mean + width
    enough = count >= LEAST_LABELS
    ends = {"worse": _first(enough & (low > 0)), "not_worse": _first(enough & (high < max_drop))}
    course = np.column_stack([mean, low, high])
    place = min(*ends.values(), len(losses) - 1)
    look = Look(place + 1, *map(float, course[place]))
    if ends["worse"] == place:
        return Judgement("worse", look, course[: place + 1])
    verdict: Literal["not_worse"] | None = "not_worse" if ends["not_worse"] == place else None
    return Judgement(verdict, look, course[: place + 1])


def _width(count: NDArray[np.float64], deviation: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    tuned = -2 * math.log(alpha)
    rho2 = (tuned + math.log(tuned + 1)) / TIGHTEST_AT
    spread = count * rho2 + 1
    width: NDArray[np.float64] = deviation * np.sqrt(2 * spread / (count**2 * rho2) * np.log(np.sqrt(spread) / alpha))
    return width


def _first(hit: NDArray[np.bool_]) -> int:
    """The first place that is true; the length where none is."""
    return int(np.argmax(hit)) if hit.any() else len(hit)
