"""Whether a candidate serves some group of rows surely worse than the model of now. Pure.

Each slice compares the absolute errors of candidate and champion on the same rows, by a permutation test; Holm's
correction over all slices, so that many of them do not make a refusal more likely. Doubt speaks for the candidate here:
the check of the champion has asked whether it is worse on the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from functions.validate.bootstrap import chance_of_mean
from shared.arrays import Vector
from shared.documents import Cell, SliceSettings
from shared.metrics import mean, significant
from shared.slices import labels

ALPHA = 0.05
"""The chance that any slice of a model that is as good everywhere is called surely worse. `make bench-explain
ARGS=--slices` simulates it."""

MOST_TESTED = 100
"""More slices than so many are not tested: the 100 with the most rows are. 2,000 permutations tell no more."""
MOST_TOLD = 10


@dataclass(frozen=True)
class Slice:
    """One group of rows: both mean absolute errors, in the target's unit, and whether the candidate's is too large.

    `p` is the chance to see this where the candidate is as good; None where it was not tested. `worse`: surely worse,
    and by more than is allowed.
    """

    column: str
    label: str
    rows: int
    mae: float
    served: float
    p: float | None = None
    worse: bool = False

    @property
    def increase(self) -> float:
        """How much larger the candidate's error is than the champion's, as a share of the champion's."""
        if self.served > 0:
            return self.mae / self.served - 1
        return 0.0 if self.mae == 0 else float("inf")

    @property
    def sentence(self) -> str:
        """The slice in words."""
        return (
            f"{self.column} = {self.label}: mean absolute error {significant(self.served)} → {significant(self.mae)} "
            f"({self.increase:+.0%}) on {self.rows} rows"
        )


def compare(
    columns: Mapping[str, Sequence[Cell]],
    target: Vector,
    predicted: Vector,
    served: Vector,
    settings: SliceSettings,
    weights: Vector | None = None,
) -> list[Slice]:
    """Every slice of the columns that the settings name; those with too few rows are not tested."""
    mine, theirs = np.abs(target - predicted), np.abs(target - served)
    found: list[tuple[Slice, Vector]] = []
    for column in settings.by:
        names = np.array(labels(columns[column]), dtype=object)
        for label in sorted(set(names.tolist())):
            inside = names == label
            counts = None if weights is None else weights[inside]
            compared = Slice(column, label, int(inside.sum()), mean(mine[inside], counts), mean(theirs[inside], counts))
            differences = mine[inside] - theirs[inside]
            found.append((compared, differences if counts is None else counts * differences))
    able = [place for place, (compared, _) in enumerate(found) if compared.rows >= settings.min_rows]
    tested = sorted(able, key=lambda place: -found[place][0].rows)[:MOST_TESTED]
    chances = {place: chance_of_mean(found[place][1]) for place in tested}
    sure = _holm(chances)
    return [
        replace(compared, p=chances.get(place), worse=place in sure and compared.increase > settings.max_drop)
        for place, (compared, _) in enumerate(found)
    ]


def sentence_of(slices: Sequence[Slice], settings: SliceSettings, run_id: str) -> str:
    """The verdict as one sentence, the worst slices first."""
    worse = sorted([compared for compared in slices if compared.worse], key=lambda compared: -compared.increase)
    allowed = f"worse than {run_id} and by more than {settings.max_drop:.0%}"
    if worse:
        return f"surely {allowed}: {_listed([compared.sentence for compared in worse])}"
    tested = [compared for compared in slices if compared.p is not None]
    parts = []
    if tested:
        last = max(tested, key=lambda compared: compared.increase)
        parts.append(f"of {len(tested)} slices none is surely {allowed}; the worst is {last.sentence}")
    few = [
        f"{compared.column} = {compared.label}: {compared.rows}"
        for compared in slices
        if compared.rows < settings.min_rows
    ]
    if few:
        parts.append(f"too few rows to tell, {settings.min_rows} are needed: {_listed(few)}")
    return "; ".join(parts) or "there are no slices"


def _holm(chances: Mapping[int, float]) -> frozenset[int]:
    """Which hypotheses fall at ALPHA, by Holm, Scandinavian Journal of Statistics 6, 1979."""
    fallen = []
    for rank, place in enumerate(sorted(chances, key=lambda place: chances[place])):
        if chances[place] > ALPHA / (len(chances) - rank):
            break
        fallen.append(place)
    return frozenset(fallen)


def _listed(sentences: Sequence[str]) -> str:
    rest = len(sentences) - MOST_TOLD
    return "; ".join(sentences[:MOST_TOLD]) + (f"; and {rest} more" if rest > 0 else "")
