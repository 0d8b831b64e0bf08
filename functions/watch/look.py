"""The daily look at one stage: yesterday's counts, and those before that no look has used yet, against training.

Pure. Arrives: the run that served, its blocks by day, the report before. Leaves: the report of the day, with the alarms
that stand. A feature's rows gather until there are enough for a look, and a look begins them anew.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np

from functions.watch.counts import (
    FAULTS,
    REFUSALS,
    Cells,
    by_block,
    cells_of,
    faults_by_block,
    quantile_ms,
    refusal_codes,
    refusals_by_block,
)
from functions.watch.drift import CellCounts, Comparison, compare_all, silence_p
from functions.watch.habit import Habit, habit
from shared import layout
from shared.arrays import Counts
from shared.documents import SCHEMA_VERSION, Manifest
from shared.layout import Stage
from shared.monitoring import (
    LATENCY_US,
    AlarmKind,
    FeatureLook,
    LiveBlock,
    Share,
    StandingAlarm,
    Traffic,
    WatchReport,
)
from shared.profiles import Profile
from shared.two_samples import ALARM_P

DAY = "%Y%m%d"
HISTORY_DAYS = 28
FIRST_WEEK = 7
"""Days of a run after which refusals and faults are compared with those of these days."""

Count = Callable[[Sequence[LiveBlock]], Counts]
Blocks = Mapping[str, Sequence[LiveBlock]]
"""Blocks by day (20260105), of the last 28 days and of the run's first week."""


@dataclass(frozen=True)
class Watched:
    """What a look is at. `began`: the first day of the run that has counts. `past`: of earlier looks at the run, by
    day, the rows of each feature by cell."""

    stage: Stage
    on: str
    manifest: Manifest
    profile: Profile
    blocks: Blocks
    began: str | None
    previous: WatchReport | None
    notes: tuple[str, ...] = ()
    past: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)


def day_before(on: str, days: int = 1) -> str:
    """The day so many days before."""
    return (_date(on) - timedelta(days=days)).strftime(DAY)


def look(watched: Watched, traffic: Traffic, now: datetime) -> WatchReport:
    """The report of the day; `traffic` is that of the day."""
    run_id = watched.manifest.run_id
    previous = watched.previous if watched.previous and watched.previous.run_id == run_id else None
    since = _windows(watched, previous)
    evidence, cells = _evidence(watched, since)
    found = compare_all(evidence)
    features = tuple(_feature_look(name, found[name], evidence[name], cells[name], since) for name in evidence)
    history = (*(watched.previous.traffic if watched.previous else ()), traffic)[-HISTORY_DAYS - 1 :]
    effect = max((entry.design_effect for entry in found.values()), default=1.0)
    alarms = [*_standing(watched, previous, features, now), *_silence(watched, history, effect, now)]
    return WatchReport(
        schema_version=SCHEMA_VERSION,
        stage=watched.stage,
        on=watched.on,
        looked_at=now,
        run_id=run_id,
        traffic=history,
        features=features,
        alarms=tuple(alarms),
        notes=watched.notes,
        counted={
            name: tuple(round(rows, 2) for rows in entry.on(int(watched.on)).tolist())
            for name, entry in evidence.items()
            if kind_of(name) == "drift"
        },
    )


def nothing_served(stage: Stage, on: str, now: datetime, previous: WatchReport | None) -> WatchReport:
    """The report of a day on which the stage served no run."""
    return WatchReport(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        on=on,
        looked_at=now,
        run_id=None,
        traffic=previous.traffic if previous else (),
        notes=("the stage serves nothing",),
    )


def traffic_of(on: str, blocks: Sequence[LiveBlock]) -> Traffic:
    """How much was asked on a day, and how it was answered."""
    latency: Counter[int] = Counter()
    for block in blocks:
        latency.update(dict(enumerate(block.latency_us)))
    return Traffic(
        on=on,
        requests=sum(block.requests for block in blocks),
        rows=sum(block.rows for block in blocks),
        refused=sum(sum(fields.values()) for block in blocks for fields in block.refused.values()),
        faults=sum(block.answers.get("5xx", 0) for block in blocks),
        lost=sum(block.lost for block in blocks),
        p50_ms=quantile_ms(latency, 0.5, LATENCY_US),
        p99_ms=quantile_ms(latency, 0.99, LATENCY_US),
    )


# ---- what is compared -----------------------------------------------------------------------------------------------


def _windows(watched: Watched, previous: WatchReport | None) -> dict[str, str]:
    """The day since which each feature's rows gather: the day after the last look that had enough of them."""
    oldest = day_before(watched.on, HISTORY_DAYS - 1)
    if previous is None:
        return {}
    begun = {
        entry.name: day_before(previous.on, -1) if entry.p is not None else entry.since for entry in previous.features
    }
    return {name: max(day, oldest) for name, day in begun.items()}


def _evidence(watched: Watched, since: dict[str, str]) -> tuple[dict[str, CellCounts], dict[str, Cells]]:
    """What is known of each feature, the prediction, refusals and faults; fills in windows that begin now."""
    first = max(watched.began or watched.on, day_before(watched.on, HISTORY_DAYS - 1))
    cells = cells_of(watched.manifest, watched.profile)
    evidence = {}
    for name, entry in cells.items():
        start = since.setdefault(name, first)
        found = _cell_counts(watched, partial(by_block, name, entry), entry.trained, start, entry.ordered)
        evidence[name] = replace(found, habit=_habit(watched, name, found))
    for name, made in _answers(watched, since).items():
        evidence[name], cells[name] = made
    return evidence, cells


def _cell_counts(watched: Watched, counts: Count, trained: Counts, start: str, ordered: bool = False) -> CellCounts:
    """The counts of one feature, in the window since the day `start`; `counts` tells the cells of blocks."""
    recent = [
        (int(day), block)
        for day, blocks in watched.blocks.items()
        if day_before(watched.on, HISTORY_DAYS - 1) <= day <= watched.on
        for block in blocks
    ]
    days = np.array([day for day, _ in recent], dtype=np.int64)
    found = counts([block for _, block in recent])
    return CellCounts(trained, found[days >= int(start)].sum(axis=0), found, days, int(start), ordered)


def _habit(watched: Watched, name: str, found: CellCounts) -> Habit | None:
    """What the days of the window usually show of a feature."""
    past = {
        _date(day).toordinal(): np.array(counted[name], dtype=np.float64)
        for day, counted in watched.past.items()
        if len(counted.get(name, ())) == len(found.reference)
    }
    first = _date(str(found.since))
    window = [first + timedelta(days=number) for number in range((_date(watched.on) - first).days + 1)]
    return habit(past, {day.toordinal(): found.on(int(day.strftime(DAY))) for day in window})


def _answers(watched: Watched, since: dict[str, str]) -> dict[str, tuple[CellCounts, Cells]]:
    """Refusals and faults, against those of the run's first week; nothing within it."""
    week = day_before(watched.began, -FIRST_WEEK) if watched.began else watched.on
    if watched.on < week or watched.began is None:
        return {}
    before = _within(watched.blocks, watched.began, day_before(week))
    codes = refusal_codes([block for blocks in watched.blocks.values() for block in blocks])
    found = {}
    kinds: tuple[tuple[str, tuple[str, ...], Count], ...] = (
        (REFUSALS, ("answered", *codes), partial(refusals_by_block, codes)),
        (FAULTS, ("answered", "failed"), faults_by_block),
    )
    for name, names, counts in kinds:
        start = since[name] = max(since.get(name, week), week)
        trained = counts(before).sum(axis=0)
        found[name] = _cell_counts(watched, counts, trained, start), Cells(names, trained, ordered=False)
    return found


def _within(blocks: Blocks, first: str, last: str) -> list[LiveBlock]:
    return [block for day, found in blocks.items() if first <= day <= last for block in found]


def _feature_look(
    name: str, found: Comparison, evidence: CellCounts, cells: Cells, since: Mapping[str, str]
) -> FeatureLook:
    trained, live = evidence.reference, evidence.live
    shares = [
        Share(cell=cell, trained=float(old), live=float(other))
        for cell, old, other in zip(
            cells.names, trained / max(trained.sum(), 1.0), live / max(live.sum(), 1.0), strict=True
        )
        if old or other
    ]
    return FeatureLook(
        name=name,
        since=since[name],
        rows=round(found.rows),
        effective=found.effective,
        design_effect=found.design_effect,
        moved=found.moved,
        alarms=found.alarms,
        p=found.adjusted,
        usual=found.usual,
        shares=tuple(shares),
    )


# ---- what alarms ----------------------------------------------------------------------------------------------------


def kind_of(name: str) -> AlarmKind:
    """The kind of alarm that a compared thing raises."""
    kinds: dict[str, AlarmKind] = {REFUSALS: "refusals", FAULTS: "faults"}
    return kinds.get(name, "drift")


def _standing(
    watched: Watched, previous: WatchReport | None, features: Sequence[FeatureLook], now: datetime
) -> list[StandingAlarm]:
    """Alarms of this look, and those of before that no look has ended: they keep the moment of their beginning."""
    before = {entry.subject: entry for entry in (previous.alarms if previous else ()) if entry.kind != "silence"}
    found = []
    for entry in features:
        if entry.alarms or (entry.p is None and entry.name in before):
            found.append(before.get(entry.name) or _raised(watched, kind_of(entry.name), entry.name, now))
    return found


def _silence(watched: Watched, history: Sequence[Traffic], effect: float, now: datetime) -> list[StandingAlarm]:
    """The alarm that nobody asks any more; it stands until somebody does."""
    today = history[-1]
    if today.rows or today.refused:
        return []
    before = watched.previous.alarms if watched.previous else ()
    silence = next((entry for entry in before if entry.kind == "silence"), None)
    if silence is not None:
        return [silence]
    asked = {entry.on: entry.rows + entry.refused for entry in history}
    alike = [float(asked.get(day_before(watched.on, 7 * week), 0)) for week in range(1, 5)]
    if silence_p(alike, effect) < ALARM_P:
        return [_raised(watched, "silence", "requests", now)]
    return []


def _raised(watched: Watched, kind: AlarmKind, subject: str, now: datetime) -> StandingAlarm:
    key = layout.alarm(watched.stage, now, kind, subject)
    return StandingAlarm(kind=kind, subject=subject, raised_at=now, key=key)


def figures(found: FeatureLook) -> dict[str, float]:
    """What an alarm says in numbers."""
    figures = {"rows": float(found.rows), "effective": found.effective, "moved": found.moved}
    return figures if found.p is None else {**figures, "p": float(np.float64(found.p))}


def sentence(found: FeatureLook) -> str:
    """What an alarm says to a person: the cell whose share moved most, and how far. No value of a row."""
    largest = max(found.shares, key=lambda share: abs(share.live - share.trained))
    before = "training" if kind_of(found.name) == "drift" else "the run's first week"
    return (
        f"{found.name}: {largest.cell!r} is {largest.live:.0%} of {found.rows:,} live rows since "
        f"{layout.day_shown(found.since)}, and was {largest.trained:.0%} of {before}'s"
    )


def _date(on: str) -> date:
    return datetime.strptime(on, DAY).date()  # noqa: DTZ007 - a day has no zone
