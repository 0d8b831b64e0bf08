"""What a search has found of one algorithm, and whether the algorithm can still win."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from functions.train.search.blend import BLEND, MEMBERS
from functions.train.search.space import Params
from functions.train.search.zoo import Algorithm
from shared.metrics import significant

SearchStage = Literal["random", "grid", "blend"]

SURE = 2.0
"""Standard errors of the difference over the folds by which an algorithm must be behind."""
REACH_SHARE = 0.02
"""What more candidates may still gain: this share of what the leader leaves unexplained, or of its error …"""
REACH_OF_FEW = 0.1
"""… more, where there are too few to show how much the settings matter …"""
FEW = 3
REACH_OF_DRAWS = 0.5
"""… and half of the distance between the best and the third best draw, which shows how much the settings matter."""
LINEAR_SECONDS = 3.0
TREES_SECONDS = 12.0
"""What explaining, drawing and reporting take of a model that adds up, and of trees."""


@dataclass(frozen=True)
class Candidate:
    """One setting of one algorithm with its score per fold, where more is better: an error is negative. `r2` beside it,
    NaN in a fold whose target is constant. `outside`: what it predicted for the rows (n,) that each fold tests; kept of
    the best alone, and empty elsewhere."""

    stage: SearchStage
    params: Params
    scores: tuple[float, ...]
    r2: tuple[float, ...]
    seconds: float
    outside: tuple[NDArray[np.float64], ...] = field(default=(), compare=False, repr=False)

    @property
    def refit_seconds(self) -> float:
        """About what a fit on all rows takes, which are more than those of a fold."""
        folds = len(self.scores)
        return self.seconds / max(folds - 1, 1)

    @property
    def mean(self) -> float:
        """The mean score over the folds."""
        return float(np.mean(self.scores))

    @property
    def r2_mean(self) -> float:
        """The mean R² over the folds that have one; NaN where none has."""
        return float(np.nanmean(self.r2)) if np.isfinite(self.r2).any() else float("nan")

    @property
    def r2_std(self) -> float:
        """The standard deviation of R² over the folds that have one; NaN where none has."""
        return float(np.nanstd(self.r2)) if np.isfinite(self.r2).any() else float("nan")

    def on_folds(self, count: int) -> "Candidate":
        """The same on the first `count` folds."""
        share = count / len(self.scores)
        return replace(
            self,
            scores=self.scores[:count],
            r2=self.r2[:count],
            seconds=self.seconds * share,
            outside=self.outside[:count],
        )


@dataclass
class Searched:
    """An algorithm's search: its candidates, how many of them failed and with what, how many were cut by the time.

    `without_r2` counts the folds that score nothing, since all of their tested rows have the same target; `skipped`,
    those that there was no time for. `ended` counts fits that were ended since they took many times what was expected;
    `behind` is how far the algorithm was behind when it gave its time to the others, and after how many candidates.
    `remark` says what else there is to know.
    """

    algorithm: Algorithm
    candidates: list[Candidate] = field(default_factory=list)
    error: str | None = None
    failed: int = 0
    cut: int = 0
    ended: int = 0
    left_out: int = 0
    without_r2: int = 0
    skipped: int = 0
    behind: tuple[float, int] | None = None
    remark: str | None = None

    @property
    def note(self) -> str | None:
        """What a reader of its scores must know: candidates that failed, or that there was no time for."""
        sentences = [self.remark] if self.remark else []
        if self.failed:
            sentences.append(f"{self.failed} of {len(self.candidates)} candidates failed: {self.error}")
        if self.ended:
            sentences.append(f"fits ended since they took many times longer than expected: {self.ended}")
        if self.cut:
            sentences.append(f"candidates cut by the time budget: {self.cut}")
        if self.behind:
            gap, after = self.behind
            sentences.append(f"it gave its time to the others, {significant(gap, 3)} behind after {after} candidates")
        if self.left_out:
            sentences.append(
                f"its grid moves at most two parameters at a time: {self.left_out} candidates were left out"
            )
        if self.without_r2:
            sentences.append(f"folds without a score, since their target is constant: {self.without_r2}")
        if self.skipped:
            sentences.append(f"folds skipped, since the time budget is short: {self.skipped}")
        return "; ".join(sentences) or None

    @property
    def best(self) -> Candidate | None:
        """The candidate with the highest mean score; None where no candidate has a finite one."""
        finite = [candidate for candidate in self.candidates if np.isfinite(candidate.mean)]
        return max(finite, key=lambda candidate: candidate.mean) if finite else None


def with_the_best_ones_predictions(searched: Searched) -> None:
    """Keep what was predicted out of fold by the best candidate alone: all of it would be many times the table."""
    best = searched.best
    searched.candidates = [
        candidate if candidate is best else replace(candidate, outside=()) for candidate in searched.candidates
    ]


def far_behind(searched: Sequence[Searched], perfect: float) -> dict[str, float]:
    """How far behind each algorithm is that cannot be expected to win any more.

    `perfect`: the score of a model without error. An algorithm is far behind where the difference to the leader, over
    the same folds, is surely larger than what more candidates may gain.
    """
    leaders = [entry.best for entry in searched if entry.best and entry.algorithm.selectable]
    if not leaders:
        return {}
    leader = max(leaders, key=lambda best: best.mean)
    found = {}
    for entry in searched:
        if entry.best is None or entry.best is leader:
            continue
        gaps = np.subtract(leader.scores, entry.best.scores)
        error = float(np.std(gaps, ddof=1)) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
        share = REACH_SHARE if len(entry.candidates) >= FEW else REACH_OF_FEW
        reach = share * (perfect - leader.mean) + REACH_OF_DRAWS * _spread(entry)
        if np.mean(gaps) > SURE * error + reach:
            found[entry.algorithm.name] = float(np.mean(gaps))
    return found


def finishing_seconds(searched: Sequence[Searched], jobs: int) -> float:
    """About what finishing takes: every algorithm refitted and proved, the best five blended, the winner explained and
    reported on."""
    found = [(entry.algorithm, entry.best) for entry in searched if entry.best]
    costs = sorted((best.seconds / len(best.scores) for _, best in found), reverse=True)
    leader = max(found, key=lambda pair: pair[1].mean)[0] if found else None
    return reporting_seconds(leader) + (sum(costs) + sum(costs[:MEMBERS])) / jobs


def reporting_seconds(winner: Algorithm | None) -> float:
    """About what explaining the winner and reporting on it take."""
    linear = winner is None or (winner.rounds is None and winner.name != BLEND)
    return LINEAR_SECONDS if linear else TREES_SECONDS


def _spread(searched: Searched) -> float:
    """The distance between the best and the third best of the candidates, or of as many as there are."""
    ordered = sorted((c.mean for c in searched.candidates if np.isfinite(c.mean)), reverse=True)
    return ordered[0] - ordered[min(2, len(ordered) - 1)]
