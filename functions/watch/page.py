"""`watch/<stage>/index.html`: what the last look found and how the runs fare on labels, readable on a phone, no script.

Numbers and shares of many rows only. It is made anew after every look and every file of labels.
"""

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from functions.watch import tried
from shared import layout
from shared.documents import SCHEMA_VERSION
from shared.errors import PreconditionFailed
from shared.layout import Stage
from shared.metrics import significant
from shared.monitoring import (
    Alarm,
    BetState,
    Estimate,
    FeatureLook,
    Performance,
    RunPerformance,
    Scores,
    Share,
    Traffic,
    WatchReport,
)
from shared.store import CREATE_ONLY, Store
from shared.stored import find_document

SHOWN_ALARMS = 20
SHOWN_DAYS = 28
ATTEMPTS = 5


def publish_page(store: Store, report: WatchReport) -> None:
    """Replace the stage's page, unless one of a later day is there. A lost race is no loss: the winner's is as new."""
    key = layout.watch_page(report.stage)
    beside = tried.section(store, report.looked_at) if report.stage == "production" else ""
    page = render(report, newest_performance(store), newest_alarms(store, report.stage), beside).encode()
    for _ in range(ATTEMPTS):
        info = store.stat(key)
        if info is not None and (info.metadata.get("day") or "") > report.on:
            return
        generation = info.generation if info else CREATE_ONLY
        try:
            store.write(
                key,
                page,
                if_generation=generation,
                content_type="text/html; charset=utf-8",
                metadata={"day": report.on},
            )
        except PreconditionFailed:
            continue
        return


def refresh_page(store: Store, stage: Stage, run_id: str, now: datetime) -> None:
    """Make the page anew from the newest report, or without one where no look was at the run `run_id` that serves."""
    keys = [info.name for info in store.list(layout.watch_report(stage)) if info.name.endswith(".json")]
    for key in reversed(keys):
        report = find_document(store, key, WatchReport)
        if report is not None:
            publish_page(store, report if report.run_id == run_id else _before_its_look(stage, run_id, now, report))
            return
    publish_page(store, _before_its_look(stage, run_id, now))


def _before_its_look(stage: Stage, run_id: str, now: datetime, other: WatchReport | None = None) -> WatchReport:
    """Labels may come, and alarms with them, on the day of a promotion. `other`: the last look, at another run."""
    return WatchReport(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        on=layout.day(now - timedelta(days=1)),
        looked_at=now,
        run_id=run_id,
        traffic=other.traffic if other else (),
        notes=("what was asked of this run has not been looked at yet; it is every morning, for the day before",),
    )


def newest_performance(store: Store) -> Performance | None:
    """How the runs fare by the newest account; None without any."""
    for info in reversed(store.list(layout.performance())):
        performance = find_document(store, info.name, Performance)
        if performance is not None:
            return performance
    return None


def newest_alarms(store: Store, stage: Stage) -> list[Alarm]:
    """The stage's last alarms, the newest first."""
    newest = reversed(store.list(layout.alarms_folder(stage))[-SHOWN_ALARMS:])
    found = (find_document(store, info.name, Alarm) for info in newest)
    return [alarm for alarm in found if alarm is not None]


def render(report: WatchReport, performance: Performance | None, alarms: Sequence[Alarm], beside: str = "") -> str:
    """The page; `beside` is the part about the challenger."""
    run = next((r for r in performance.runs if r.run_id == report.run_id), None) if performance else None
    standing = {entry.key for entry in report.alarms}
    won = {(bet.stream, run.run_id) for bet in run.bets if bet.alarmed} if run else set()
    looked = [entry for entry in report.features if entry.p is not None]
    return _PAGE.format(
        stage=report.stage,
        on=layout.day_shown(report.on),
        run_id=html.escape(report.run_id or "nothing"),
        state=_state(report, run),
        looked=f"{len(looked)} of {len(report.features)}",
        traffic=_traffic(report.traffic[-SHOWN_DAYS:]),
        performance=_performance(performance, run),
        beside=beside,
        features="".join(_feature(entry) for entry in sorted(report.features, key=lambda f: (not f.alarms, -f.moved))),
        alarms="".join(_alarm(alarm, _stands(alarm, standing, won)) for alarm in alarms) or "<li>none</li>",
        notes="".join(f"<li>{html.escape(note)}</li>" for note in report.notes) or "<li>none</li>",
    )


def _state(report: WatchReport, run: RunPerformance | None) -> str:
    won = [bet for bet in (run.bets if run else ()) if bet.alarmed]
    count = len(report.alarms) + len(won)
    if not report.run_id:
        return '<p class="calm">This stage serves nothing.</p>'
    if count:
        return f'<p class="alarm">{count} alarm{"s" if count > 1 else ""} stand{"" if count > 1 else "s"}.</p>'
    return '<p class="calm">No alarm stands.</p>'


def _traffic(days: Sequence[Traffic]) -> str:
    if not days:
        return "<p>Nothing was counted yet.</p>"
    most = max(1, *(day.rows + day.refused for day in days))
    width = 100 / len(days)
    bars = "".join(
        f'<rect x="{place * width:.2f}" y="{30 - 30 * day.rows / most:.2f}" width="{width * 0.8:.2f}"'
        f' height="{30 * day.rows / most:.2f}"><title>{layout.day_shown(day.on)}: {day.rows:,} rows</title></rect>'
        for place, day in enumerate(days)
    )
    last = days[-1]
    speed = f", half within {last.p50_ms:g} ms, 99 % within {last.p99_ms:g} ms" if last.p50_ms and last.p99_ms else ""
    lost = f", {last.lost:,} rows lost to an outage" if last.lost else ""
    said = (
        f"{layout.day_shown(last.on)}: {last.rows:,} rows in {last.requests:,} requests, {last.refused:,} refused,"
        f" {last.faults:,} failed{speed}{lost}."
    )
    return (
        f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="Rows by day, at most {most:,}">'
        f"{bars}</svg><p>{said}</p>"
    )


def _performance(performance: Performance | None, run: RunPerformance | None) -> str:
    if performance is None or run is None or run.fair is None:
        return (
            "<p>No labelled rows of this run yet. Drop a file with the data's columns and the target below"
            " <code>labels/</code>, or <code>make label FILE=…</code>.</p>"
        )
    scores = run.answered or run.fair
    whose = "that it answered itself" if run.answered else "that are younger than it is"
    rows = [
        ("Mean absolute error", _interval(scores.mae), significant(run.promised_mae)),
        ("R²", _interval(scores.r2) if scores.r2 else "–", f"{run.promised_r2:.3f}"),
        ("Bias (actual − predicted)", _interval(scores.bias), "0"),
        ("Inside the interval", _percent(scores.coverage), f"{run.level:.0%}"),
    ]
    bets = "".join(f"<li>{_bet(bet)} after {bet.labels:,} labels</li>" for bet in run.bets)
    left = f" {performance.unattributed:,} rows lie within a minute of a swap and count for nobody." * bool(
        performance.unattributed
    )
    return (
        f"<p>{scores.rows:,} labelled rows {whose}, of {performance.rows:,} in {performance.files:,} file(s).{left}</p>"
        + _table(("", "On labels (95 %)", "Promised"), "".join(f"<tr>{_cells(row)}</tr>" for row in rows))
        + f"<ul>{bets}</ul>"
        + _likeness(performance)
        + _others(performance, run)
        + "".join(_slices(name, groups) for name, groups in run.slices.items())
    )


def _likeness(performance: Performance) -> str:
    """Whether labelled rows look like live ones: else the figures are of other callers than those who ask."""
    found = performance.likeness
    if found is None:
        return "<p>Whether these rows look like live ones is not known: none of both was counted yet.</p>"
    compared = f"{found.rows:,} labelled rows beside {found.live_rows:,} live ones of the last weeks"
    if not found.unlike:
        return f"<p>They look like live ones ({compared}).</p>"
    cells = "; ".join(
        f"{html.escape(u.name)}: {html.escape(u.cell)} {u.labelled:.0%}, and {u.live:.0%} of the live rows"
        for u in found.unlike
    )
    return f'<p class="alarm">They do not look like live ones ({compared}): {cells}.</p>'


def _others(performance: Performance, run: RunPerformance) -> str:
    """Other runs on the same rows: those that served, and the newest that the gate let into staging."""
    rows = "".join(
        f"<tr><td><code>{other.run_id}</code></td><td>{other.shared:,}</td><td>{_signed(other.beside)}</td></tr>"
        for other in performance.runs
        if other.beside is not None and other.run_id != run.run_id
    )
    return _table(("Beside it, on rows fair for both", "Rows", "Mean absolute error (95 %)"), rows) if rows else ""


def _slices(name: str, groups: Mapping[str, Scores]) -> str:
    """The groups of one column, by how far off the run is for them."""
    ranked = sorted(groups.items(), key=lambda entry: -entry[1].mae.value)
    rows = "".join(
        f"<tr>{_cells((html.escape(group), f'{found.rows:,}', _interval(found.mae), _interval(found.bias)))}</tr>"
        for group, found in ranked
    )
    return _table((html.escape(name), "Rows", "Mean absolute error", "Bias"), rows) if rows else ""


def _table(heads: Sequence[str], rows: str) -> str:
    """A table that a phone scrolls by itself where it is wider than the page."""
    head = "".join(f"<th>{said}</th>" for said in heads)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"<td>{text}</td>" for text in texts)


_BETS = {
    "bias": "The bet against it that predictions are too high or too low",
    "spread": "The bet that errors are larger",
}


def _bet(bet: BetState) -> str:
    return f"{_BETS[bet.stream]}: {'won' if bet.alarmed else f'{bet.wealth:.3g} of 200'}"


def _feature(entry: FeatureLook) -> str:
    said = (
        f"p {entry.p:.2g}, the largest share moved by {entry.moved:.1%}"
        if entry.p is not None
        else f"not enough rows yet: {entry.effective:,.0f} of 200 that count"
    )
    said += ", as on such weekdays of the eight weeks before" * entry.usual
    worth = f", worth {entry.effective:,.0f} independent ones" if entry.design_effect > 1.05 else ""
    shares = "".join(map(_share, entry.shares))
    return (
        f'<details{" open" if entry.alarms else ""}><summary class="{"alarm" if entry.alarms else ""}">'
        f"{html.escape(entry.name)} <span>{said}</span></summary>"
        f"<p>{entry.rows:,} rows since {layout.day_shown(entry.since)}{worth}.</p>"
        f"{_table(('', '', 'Training', 'Live'), shares)}</details>"
    )


def _share(share: Share) -> str:
    bars = f'<i style="width:{share.trained:.1%}"></i><i class="live" style="width:{share.live:.1%}"></i>'
    cells = f"<td>{share.trained:.1%}</td><td>{share.live:.1%}</td>"
    return f'<tr><td>{html.escape(share.cell)}</td><td class="bar">{bars}</td>{cells}</tr>'


def _stands(alarm: Alarm, standing: Collection[str], won: Collection[tuple[str, str]]) -> bool:
    """Whether the last look, or the labels of the run that serves, still say so."""
    key = layout.alarm(alarm.stage, alarm.raised_at, alarm.kind, alarm.subject)
    return key in standing or (alarm.kind == "performance" and (alarm.subject, alarm.run_id) in won)


def _alarm(alarm: Alarm, stands: bool) -> str:
    moment = alarm.raised_at.strftime("%Y-%m-%d %H:%M UTC")
    return f"<li>{'<strong>stands</strong> ' * stands}{moment}, {alarm.kind}: {html.escape(alarm.message)}</li>"


def _interval(found: Estimate) -> str:
    return f"{significant(found.value)} ({significant(found.low)} to {significant(found.high)})"


def _signed(found: Estimate) -> str:
    value, low, high = ("+" * (end > 0) + significant(end) for end in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _percent(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Watch of {stage}, {on}</title>
<style>
:root {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; color-scheme: light; }}
body {{ max-width: 48rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: break-word; }}
h1 {{ font-size: 1.5rem; }} h2 {{ margin-top: 2rem; border-bottom: 2px solid #1565c0; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th, td {{ text-align: left; padding: .3rem .4rem; border-bottom: 1px solid #d9e2ec; }}
th {{ white-space: nowrap; }}
td {{ font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
td:first-child {{ min-width: 6.5em; }} td:nth-child(n+3) {{ white-space: nowrap; overflow-wrap: normal; }}
.alarm {{ color: #a61b1b; font-weight: 600; }} .calm {{ color: #0b6e4f; font-weight: 600; }}
svg {{ width: 100%; height: 5rem; fill: #1565c0; }}
details {{ border-bottom: 1px solid #d9e2ec; padding: .4rem 0; }} summary {{ cursor: pointer; }}
summary span {{ color: #52606d; font-weight: 400; }}
.bar {{ width: 35%; min-width: 4rem; }} .bar i {{ display: block; height: .45rem; background: #9fb3c8; margin: 2px 0; }}
.bar i.live {{ background: #1565c0; }}
</style></head><body><main>
<h1>Watch of {stage}, {on}</h1>
{state}
<p>Served: <code>{run_id}</code></p>
<h2>What was asked</h2>{traffic}
<h2>Are the rows those of training?</h2>
<p>{looked} had enough rows for a look. Grey is training, blue is live.</p>
{features}
<h2>Is it right?</h2>{performance}
{beside}
<h2>Alarms</h2><ul>{alarms}</ul>
<h2>Notes</h2><ul>{notes}</ul>
</main></body></html>
"""
