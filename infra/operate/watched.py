"""What the watch knows of a stage, for `make status`: drift, performance against promise, and the alarms that stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from infra.operate.served import document, shown
from shared import layout
from shared.layout import Stage
from shared.metrics import significant
from shared.monitoring import Alarm, Performance, RunPerformance, WatchReport
from shared.store import Store

MOST_SHOWN = 5
T = TypeVar("T", WatchReport, Performance)


@dataclass(frozen=True)
class WatchStatus:
    """`looked_on`: the last day that was looked at. `features` of it had rows enough, `drifting` are those that alarm.

    `labels`: rows by which `mae` and `promised_mae` are told, of the run that serves; `unlike`: features of which these
    rows are others than live ones. `alarms`: a sentence each.
    """

    stage: str
    looked_on: str | None = None
    rows: int = 0
    features: int = 0
    looked: int = 0
    drifting: tuple[str, ...] = ()
    labels: int = 0
    mae: float | None = None
    mae_low: float | None = None
    mae_high: float | None = None
    promised_mae: float | None = None
    unlike: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    page: str | None = None


def watched(store: Store, stage: Stage, run_id: str | None) -> WatchStatus:
    """What the newest report and the newest account of labels say of the run that serves."""
    report = _newest(store, layout.watch_report(stage), WatchReport)
    current = report if report is not None and report.run_id == run_id else None
    performance = _newest(store, layout.performance(), Performance)
    run = next((run for run in performance.runs if run.run_id == run_id), None) if performance else None
    scores = (run.answered or run.fair) if run else None
    features = current.features if current else ()
    likeness = performance.likeness if performance and performance.likeness else None
    return WatchStatus(
        stage=stage,
        looked_on=report.on if report else None,
        rows=current.traffic[-1].rows if current and current.traffic else 0,
        features=len(features),
        looked=sum(entry.p is not None for entry in features),
        drifting=tuple(entry.name for entry in features if entry.alarms),
        labels=scores.rows if scores else 0,
        mae=scores.mae.value if scores else None,
        mae_low=scores.mae.low if scores else None,
        mae_high=scores.mae.high if scores else None,
        promised_mae=run.promised_mae if run and scores else None,
        unlike=tuple(entry.name for entry in likeness.unlike) if likeness and likeness.run_id == run_id else (),
        alarms=tuple(_standing(store, stage, current, run)),
        page=layout.watch_page(stage) if report else None,
    )


def _newest(store: Store, prefix: str, kind: type[T]) -> T | None:
    keys = [info.name for info in store.list(prefix) if info.name.endswith(".json")]
    return document(store, keys[-1], kind) if keys else None


def _standing(store: Store, stage: Stage, report: WatchReport | None, run: RunPerformance | None) -> Iterator[str]:
    keys = [entry.key for entry in report.alarms] if report else []
    won = {bet.stream for bet in run.bets if bet.alarmed} if run else set()
    if run and won:
        keys += [info.name for info in store.list(layout.alarms_folder(stage)) if f"-{run.run_id}.json" in info.name]
    for key in keys:
        alarm = document(store, key, Alarm)
        if alarm is not None:
            yield f"{alarm.kind} since {shown(alarm.raised_at)}: {alarm.message}"


def lines(found: Sequence[WatchStatus], bucket: str) -> Iterator[str]:
    """What to print of each stage; nothing of one that was never looked at, or served nothing then."""
    for stage in found:
        if stage.looked_on is not None and stage.features:
            drift = f"drift in {', '.join(stage.drifting)}" if stage.drifting else "no drift"
            enough = f"{stage.looked} of {stage.features} with rows enough"
            on = layout.day_shown(stage.looked_on)
            yield f"{'live rows':<13} {stage.stage}: {drift} ({enough}; {stage.rows:,} rows on {on})"
        known = [end for end in (stage.mae, stage.mae_low, stage.mae_high, stage.promised_mae) if end is not None]
        if len(known) == 4:
            mae, low, high, promised = map(significant, known)
            unlike = f"; unlike live rows in {', '.join(stage.unlike)}" if stage.unlike else ""
            off = f"off by {mae} ({low} to {high}) on {stage.labels:,} rows"
            yield f"{'labels':<13} {stage.stage}: {off}, promised {promised}{unlike}"
        for alarm in stage.alarms[:MOST_SHOWN]:
            yield f"{'ALARM':<13} {stage.stage}: {alarm}"
        if stage.alarms and stage.page:
            yield f"{'':<13} {layout.address(bucket, stage.page)} shows all of it"


def what_next(found: Sequence[WatchStatus]) -> str | None:
    """What the alarms ask of a person; None where none stands."""
    alarmed = [stage.stage for stage in found if stage.alarms]
    if not alarmed:
        return None
    return f"look at the alarms of {' and '.join(alarmed)}: an alarm has asked for a training where new data may end it"
