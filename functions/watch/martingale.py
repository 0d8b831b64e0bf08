"""Whether labels still agree with what training promised: a bet against it, which grows only where it is broken.

Pure. Each new residual has a p-value among those of training and those that came before it. While nothing has changed,
such p-values are uniform and independent, and a bettor's wealth exceeds 200 with a probability of at most 1/200 over
the whole life of a run, however often one looks (Ville's inequality).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ALARM_WEALTH = 200.0
"""Two bets are held, of signed and of absolute residuals: together at most 1 % false alarms."""
JUMP = 0.001
"""The share of the wealth that is dealt out at every label, to all bets alike. A tenth of the source's: changes are
seen sooner (labels to a bias of 0.36 sd, median and 90 %: 102 and 211, with the source's choice 120 and 242)."""
ASLEEP = 0.1
"""The share of the first wealth that is not staked, and is there for a change that comes late."""

CHUNK = 500

SIGNED = {-1.0: 0.35, -0.5: 0.1, 0.0: ASLEEP, 0.5: 0.1, 1.0: 0.35}
"""Stakes, with their share of the first wealth, on residuals that are too high or too low: a bias either way. The
smaller ones see a small bias: one of 0.2 sd after 656 labels in the median; stakes of 1 alone miss half of them."""
ABSOLUTE = {-1.0: 0.7, -0.5: 0.2, 0.0: ASLEEP}
"""Stakes on errors that are too large. Smaller errors than were promised alarm nobody."""


@dataclass(frozen=True)
class Bet:
    """How a bet went. `alarm`: the position of the label at which the wealth reached ALARM_WEALTH, if it did."""

    labels: int
    wealth: float
    highest: float
    alarm: int | None


class SimpleJumper:
    """The Simple Jumper martingale over p-values; `stakes` come with their shares of the first wealth, 1 together.

    Source: Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, Retrain or not retrain: conformal test
    martingales for change-point detection, 2021, algorithm 1.
    """

    def __init__(self, stakes: Mapping[float, float]) -> None:
        self._stakes = tuple(stakes)
        self._wealths = list(stakes.values())

    def bet(self, p: float) -> float:
        """The wealth after the p-value `p`."""
        whole = sum(self._wealths)
        share = JUMP * whole / len(self._stakes)
        self._wealths = [
            ((1 - JUMP) * held + share) * (1 + stake * (p - 0.5))
            for stake, held in zip(self._stakes, self._wealths, strict=True)
        ]
        return sum(self._wealths)


def follow(promised: Sequence[float], residuals: Sequence[float], stakes: Mapping[float, float], seed: str) -> Bet:
    """Bet on each of `residuals` in turn, with p-values among the `promised` ones and those before it.

    Ties are broken at random, by `seed`, so that the same labels always give the same wealth. It ends at an alarm.
    """
    jumper = SimpleJumper(stakes)
    wealth, highest, labels = 1.0, 1.0, 0
    for labels, p in enumerate(p_values(promised, residuals, seed), 1):
        wealth = jumper.bet(p)
        highest = max(highest, wealth)
        if wealth >= ALARM_WEALTH:
            return Bet(labels, wealth, highest, labels - 1)
    return Bet(labels, wealth, highest, None)


def p_values(promised: Sequence[float], residuals: Sequence[float], seed: str) -> Iterator[float]:
    """The p-value of each residual: how many of the promised ones and of those before it are larger, ties at random.

    In chunks: against what was seen before a chunk by its order, within it each against each.
    """
    generator = random.Random(seed)  # noqa: S311 - breaks ties, keeps no secret
    seen = np.sort(np.array(promised, dtype=np.float64))
    for start in range(0, len(residuals), CHUNK):
        chunk = np.array(residuals[start : start + CHUNK], dtype=np.float64)
        below, upto = np.searchsorted(seen, chunk, "left"), np.searchsorted(seen, chunk, "right")
        earlier = np.tril(np.ones((len(chunk), len(chunk)), dtype=bool), -1)
        larger = len(seen) - upto + ((chunk[None, :] > chunk[:, None]) & earlier).sum(axis=1)
        equal = upto - below + ((chunk[None, :] == chunk[:, None]) & earlier).sum(axis=1)
        for place, (more, ties) in enumerate(zip(larger.tolist(), equal.tolist(), strict=True)):
            yield (more + generator.random() * (ties + 1)) / (len(seen) + place + 1)
        seen = np.sort(np.concatenate([seen, chunk]))


def signed_and_absolute(promised: Sequence[float], residuals: Sequence[float], seed: str) -> dict[str, Bet]:
    """Both bets of a run on its labels: `bias` of the signed residuals, `spread` of the absolute ones."""
    return {
        "bias": follow(promised, residuals, SIGNED, f"{seed}/bias"),
        "spread": follow([abs(r) for r in promised], [abs(r) for r in residuals], ABSOLUTE, f"{seed}/spread"),
    }
