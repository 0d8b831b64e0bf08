"""What moved since the run that staging serves: the rows to train on now against those that it was trained on.

Pure. The same rule as the watch's for live rows: surely another distribution, and a share that moved by 0.05.
"""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from functions.train.data.rows import Rows
from shared.arrays import Counts
from shared.documents import Feature
from shared.histogram import counted
from shared.metrics import plain
from shared.profiles import Profile
from shared.two_samples import ALARM_P, ALARM_SHARE, holm, two_sample_p


def compared(before: Profile, run_id: str, features: Sequence[Feature], training: Rows) -> dict[str, Any]:
    """The rows to train on beside those of `run_id`, which `before` describes: of each feature the cell whose share
    moved most, with both shares and the p-value for all features together; what moved most first.
    """
    found = {feature.name: cells for feature in features if (cells := _cells(before, feature, training)) is not None}
    ps = holm([two_sample_p(old, new) for _, old, new in found.values()])
    entries = []
    for p, (name, (labels, old, new)) in zip(ps, found.items(), strict=True):
        shares = new / new.sum(), old / old.sum()
        place = int(np.abs(shares[0] - shares[1]).argmax())
        now, then = (float(share[place]) for share in shares)
        entry = {"feature": name, "cell": labels[place], "then": then, "now": now, "p": p}
        entries.append({**entry, "moved": p < ALARM_P and abs(now - then) >= ALARM_SHARE})
    return {
        "run_id": run_id,
        "rows_then": before.rows,
        "rows_now": len(training.features),
        "features": sorted(entries, key=lambda entry: (not entry["moved"], -abs(entry["now"] - entry["then"]))),
        "not_compared": [feature.name for feature in features if feature.name not in found],
    }


def moved(found: dict[str, Any]) -> list[str]:
    """A sentence for each feature whose rows are others than before."""
    return [
        f"feature {entry['feature']!r}: {entry['cell']!r} is {entry['now']:.0%} of the rows, and was "
        f"{entry['then']:.0%} in run {found['run_id']}"
        for entry in found["features"]
        if entry["moved"]
    ]


def moved_section(found: dict[str, Any] | None) -> str:
    """The report's section, as HTML; empty where nothing served that these rows could be compared with."""
    if found is None:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(entry['feature'])}</td><td>{html.escape(entry['cell'])}</td><td>{entry['then']:.1%}</td>"
        f"<td>{entry['now']:.1%}</td><td>{entry['p']:.2g}</td><td>{'moved' if entry['moved'] else ''}</td></tr>"
        for entry in found["features"]
    )
    left = f" Not compared: {html.escape(', '.join(found['not_compared']))}." if found["not_compared"] else ""
    return (
        "<h2>The rows of now and those of the run that serves</h2>"
        f"<p>The {found['rows_now']:,} rows to train on beside the {found['rows_then']:,} of run {found['run_id']}, by "
        f"the share that moved most of each feature. Told as moved where p, for all features together, is below "
        f"{ALARM_P:g} and the share moved by {ALARM_SHARE:g} or more.{left}</p>"
        '<div class="scroll"><table><thead><tr><th>Feature</th><th>Cell</th><th>Then</th><th>Now</th><th>p</th>'
        f"<th>Moved</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


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
        f"below {plain(uppers[0])}",
        *(f"up to {plain(upper)}" for upper in uppers),
        f"above {plain(uppers[-1])}",
        "missing",
    ]
    then = [0, *numbers.histogram.counts, 0, numbers.missing]
    now = [below, *bins.tolist(), above, int(values.isna().sum())]
    return names, np.array(then, dtype=np.float64), np.array(now, dtype=np.float64)
