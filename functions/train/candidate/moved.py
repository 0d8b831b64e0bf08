"""What moved since the run that staging serves: the rows to train on now against those that it was trained on.

Pure. The same rule as the watch's for live rows: surely another distribution, and a share that moved by 0.05.
"""

from collections.abc import Sequence

import numpy as np

from functions.train.candidate.selection import Rows
from shared.documents import Feature, Profile
from shared.histogram import counted
from shared.two_samples import Counts, holm, two_sample_p

SURE = 1e-4
SHARE = 0.05


def moved(before: Profile, run_id: str, features: Sequence[Feature], training: Rows) -> list[str]:
    """A sentence for each feature whose rows are others than those of `run_id`, which `before` describes."""
    found = {feature.name: cells for feature in features if (cells := _cells(before, feature, training)) is not None}
    ps = holm([two_sample_p(old, new) for _, old, new in found.values()])
    told = []
    for p, (name, (labels, old, new)) in zip(ps, found.items(), strict=True):
        shares = new / new.sum(), old / old.sum()
        place = int(np.abs(shares[0] - shares[1]).argmax())
        now, then = (float(share[place]) for share in shares)
        if p < SURE and abs(now - then) >= SHARE:
            told.append(
                f"feature {name!r}: {labels[place]!r} is {now:.0%} of the rows, and was {then:.0%} in run {run_id}"
            )
    return told


def _cells(before: Profile, feature: Feature, training: Rows) -> tuple[list[str], Counts, Counts] | None:
    """Names of the cells of a feature, rows then and rows now; None where the two cannot be compared."""
    if feature.kind == "date" or feature.name not in training.features:
        return None  # time goes on
    values = training.features[feature.name]
    if feature.kind == "categorical":
        known = before.categorical.get(feature.name)
        if known is None:
            return None
        present = values.dropna().map(str).value_counts()
        names = sorted({*known.counts, *present.index})
        then = [*(known.counts.get(name, 0) for name in names), known.missing]
        now = [*(int(present.get(name, 0)) for name in names), int(values.isna().sum())]
        return [*names, "missing"], np.array(then, dtype=np.float64), np.array(now, dtype=np.float64)
    numbers = before.numeric.get(feature.name)
    if numbers is None or numbers.histogram is None or not numbers.histogram.uppers:
        return None
    uppers = np.array(numbers.histogram.uppers)
    below, bins, above = counted(values.dropna().to_numpy(dtype=np.float64), uppers)
    names = [
        f"below {uppers[0]:.4g}",
        *(f"up to {upper:.4g}" for upper in uppers),
        f"above {uppers[-1]:.4g}",
        "missing",
    ]
    then = [0, *numbers.histogram.counts, 0, numbers.missing]
    now = [below, *bins.tolist(), above, int(values.isna().sum())]
    return names, np.array(then, dtype=np.float64), np.array(now, dtype=np.float64)
