"""Whether labelled rows look like live ones: who gets a label is often a choice, and figures are of those. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from functions.watch.counts import Cells
from shared.arrays import Vector
from shared.monitoring import Likeness, Unlike, WatchReport
from shared.two_samples import ALARM_P, ALARM_SHARE, holm, two_sample_p


def likeness(
    run_id: str, cells: Mapping[str, Cells], labelled: Mapping[str, Vector], reports: Sequence[WatchReport]
) -> Likeness | None:
    """Labelled rows against the live ones that the looks of the last weeks counted, each by the cells of the run.

    By the watch's rule for drift. None where there are no rows of one of both.
    """
    found: dict[str, tuple[Vector, Vector, float]] = {}
    for name, entry in cells.items():
        days = [report.counted[name] for report in reports if len(report.counted.get(name, ())) == len(entry.names)]
        live = np.sum(np.array(days, dtype=np.float64).reshape(len(days), len(entry.names)), axis=0)
        mine = labelled.get(name, np.zeros(0))
        if len(mine) == len(live) and mine.sum() and live.sum():
            found[name] = mine, live, _effect(reports, name)
    if not found:
        return None
    ps = holm([_p(cells[name], *counts) for name, counts in found.items()])
    unlike = [_unlike(name, cells[name], *found[name][:2], p) for p, name in zip(ps, found, strict=True)]
    return Likeness(
        run_id=run_id,
        rows=round(max(mine.sum() for mine, _, _ in found.values())),
        live_rows=round(max(live.sum() for _, live, _ in found.values())),
        compared=len(found),
        unlike=tuple(
            sorted((u for u in unlike if u.p < ALARM_P and u.moved >= ALARM_SHARE), key=lambda u: (-u.moved, u.name))
        ),
    )


def _effect(reports: Sequence[WatchReport], name: str) -> float:
    """The design effect of live rows, as the last look has it."""
    return next((f.design_effect for report in reversed(reports) for f in report.features if f.name == name), 1.0)


def _p(cells: Cells, mine: Vector, live: Vector, effect: float) -> float:
    order = np.arange(len(live)) if cells.ordered else np.argsort(live, kind="stable")
    return two_sample_p(live[order] / effect, mine[order])


def _unlike(name: str, cells: Cells, mine: Vector, live: Vector, p: float) -> Unlike:
    labelled, asked = mine / mine.sum(), live / live.sum()
    place = int(np.abs(labelled - asked).argmax())
    return Unlike(name=name, cell=cells.names[place], labelled=float(labelled[place]), live=float(asked[place]), p=p)
