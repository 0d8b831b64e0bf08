"""What a person wants to know of a run: every algorithm's row, the search, what the data checks warned about."""

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functions.train.candidate import plots
from functions.train.candidate.choice import why
from functions.train.candidate.effects_section import effects_section
from functions.train.candidate.moved import moved_section
from functions.train.candidate.rule import width_rule
from functions.train.candidate.selection import Result, Selected
from functions.train.search.searched import Candidate
from shared.documents import Interval
from shared.metrics import R2, SCORINGS, Scoring, significant

SHOWN_CANDIDATES = 12


def report_document(
    run_id: str,
    results: Sequence[Result],
    selected: Selected,
    warnings: Sequence[str],
    interval: Interval,
    findings: dict[str, Any],
    scoring: str = R2.name,
    *,
    target: str = "target",
    weight: str | None = None,
    effects: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The report as plain values; numbers that are not finite are null.

    `findings`: the diagnosis of the winner; `scoring`: the score that chose it; `weight`: the column by which rows
    count; `effects`: what it leans on, by its explanations; `before`: the rows beside those of the run that serves.
    """
    document = {
        "run_id": run_id,
        "selected": selected.result.name,
        "scoring": scoring,
        "algorithms": [_row(result, SCORINGS[scoring]) for result in results],
        "interval": {"level": interval.level, "low": interval.low_residual, "high": interval.high_residual},
        "target": target,
        "weight": weight,
        "holdout": findings,
        "effects": effects,
        "before": before,
        "warnings": list(warnings),
    }
    return {**document, "why": why(document)}


def report_json(document: dict[str, Any]) -> bytes:
    """Indented JSON."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def report_page(document: dict[str, Any]) -> bytes:
    """A page that needs no network: its plots are inside."""
    algorithms, held, interval = document["algorithms"], document["holdout"], document["interval"]
    winner = next(row for row in algorithms if row["name"] == document["selected"])
    scoring = SCORINGS[document["scoring"]]
    ranked = sorted(algorithms, key=lambda row: -_gain(row["cv"], scoring))
    around = sorted(winner["search"], key=lambda candidate: -_gain(candidate, scoring))
    return _PAGE.format(
        run_id=html.escape(document["run_id"]),
        selected=html.escape(document["selected"]),
        params=html.escape(json.dumps(winner["params"], ensure_ascii=False)),
        why=html.escape(document["why"]),
        r2=_shown(winner["holdout"]["r2"]),
        mae=_figure(winner["holdout"]["mae"]),
        rows=held["rows"],
        weighed=_weighed(document.get("weight")),
        leaderboard=plots.leaderboard(ranked, document["selected"], scoring),
        score_heading="" if scoring is R2 else f"<th>CV {scoring.label} (mean ± sd)</th>",
        algorithms="".join(_table_row(row, row["name"] == document["selected"], scoring) for row in ranked),
        scatter=plots.predicted_against_actual(held["actual"], held["predicted"]),
        residuals=plots.residuals(held["actual"], held["predicted"], interval["low"], interval["high"]),
        level=f"{interval['level']:.0%}",
        share=f"{held['coverage']['share']:.1%}",
        width_rule=html.escape(width_rule(held["coverage"].get("rule"))),
        coverage="".join(_coverage_row(part) for part in held["coverage"]["by_prediction"]),
        importance=plots.importance(held["importance"]),
        shuffles=_shuffles(held),
        grouped=f" Groups are those of {held['grouped']} of {held['features']} features, which matter most."
        if held["grouped"] < held["features"]
        else "",
        effects=effects_section(document["effects"], document["target"]),
        risk_heading="<th>Missed</th><th>False alarms</th>" if "missed" in (held["groups"] or [{}])[0] else "",
        groups="".join(_group_row(group) for group in held["groups"]),
        search=plots.search(winner["search"], scoring),
        score_label=scoring.label,
        candidates="".join(_candidate_row(candidate, scoring) for candidate in around[:SHOWN_CANDIDATES]),
        candidate_count=len(around),
        before=moved_section(document.get("before")),
        warnings="".join(f"<li>{html.escape(warning)}</li>" for warning in document["warnings"]) or "<li>none</li>",
    ).encode()


def _weighed(weight: str | None) -> str:
    """Where rows count by their weight, and where they do not."""
    if weight is None:
        return ""
    return (
        f"<p>Rows count by <code>{html.escape(weight)}</code> in the fit of every algorithm but KNN, in every score, "
        "and in the errors of groups. They count alike in intervals, in what those cover, and in effects.</p>"
    )


def _shuffles(held: dict[str, Any]) -> str:
    """How surely the importances are known, and which of them are shown."""
    entries, features = held["importance"], held["features"]
    counts = {entry["shuffles"] for entry in entries}
    times = " to ".join(map(str, dict.fromkeys([min(counts), max(counts)])))
    shown = f"; the first {plots.MOST_FEATURES} of {features} features" if features > plots.MOST_FEATURES else ""
    late = f"; for {features - len(entries)} there was no time" if len(entries) < features else ""
    return f"Mean of {times} shuffles of each, the line is their standard deviation{shown}{late}."


def _gain(scores: dict[str, Any] | None, scoring: Scoring) -> float:
    """The mean score turned so that more is better; the least of all where there is none."""
    mean = (scores or {}).get("score_mean")
    return -math.inf if mean is None else scoring.sign * float(mean)


def _coverage_row(part: dict[str, Any]) -> str:
    span = f"{significant(part['from'])} to {significant(part['to'])}"
    return _cells(span, str(part["rows"]), _share(part["within"]))


def _group_row(group: dict[str, Any]) -> str:
    figures = [_within(group[name], group[f"{name}_within"]) for name in ("mae", "bias")]
    shares = [_share(group[name]) for name in ("covered", "missed", "alarmed") if name in group]
    return _cells(group["feature"], group["group"], str(group["rows"]), _shown(group["r2"]), *figures, *shares)


def _within(value: float, ends: list[float] | None) -> str:
    return _figure(value) if ends is None else f"{_figure(value)} ({_figure(ends[0])} to {_figure(ends[1])})"


def _share(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    ends = "" if found["low"] is None else f" ({found['low']:.0%} to {found['high']:.0%})"
    return f"{found['value']:.0%}{ends}"


def _candidate_row(candidate: dict[str, Any], scoring: Scoring) -> str:
    return _cells(candidate["stage"], json.dumps(candidate["params"], ensure_ascii=False), _score(candidate, scoring))


def _cells(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _row(result: Result, scoring: Scoring) -> dict[str, Any]:
    best, holdout = result.best, result.holdout
    return {
        "name": result.name,
        "selectable": result.selectable,
        "error": result.error,
        "note": result.searched.note,
        "params": best.params if best else None,
        "cv": _cv(best, scoring) if best else None,
        "holdout": {"r2": _finite(holdout.r2), "mae": holdout.mae, "rmse": holdout.rmse} if holdout else None,
        "fit_seconds": result.fit_seconds,
        "search_seconds": sum(candidate.seconds for candidate in result.searched.candidates),
        "parity": result.parity,
        "search": [
            {"stage": candidate.stage, "params": candidate.params, **_cv(candidate, scoring)}
            for candidate in result.searched.candidates
        ],
    }


def _cv(candidate: Candidate, scoring: Scoring) -> dict[str, Any]:
    return {
        "score_mean": _finite(scoring.sign * candidate.mean),
        "score_std": _finite(np.std(candidate.scores)),
        "r2_mean": _finite(candidate.r2_mean),
        "r2_std": _finite(candidate.r2_std),
        "r2": [_finite(value) for value in candidate.r2],
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _table_row(row: dict[str, Any], chosen: bool, scoring: Scoring) -> str:
    cv, holdout = row["cv"] or {}, row["holdout"] or {}
    cells = [
        f"{row['name']}{' (selected)' if chosen else ''}",
        *([] if scoring is R2 else [_score(cv, scoring)]),
        f"{_shown(cv['r2_mean'])} ± {_shown(cv['r2_std'])}" if cv.get("r2_mean") is not None else "–",
        _shown(holdout.get("r2")),
        *(_figure(holdout.get(name)) for name in ("mae", "rmse")),
        f"{row['fit_seconds']:.2f}",
        f"{row['search_seconds']:.1f}",
        json.dumps(row["params"], ensure_ascii=False),
        "; ".join(dict.fromkeys(filter(None, (row["error"], row["note"])))),
    ]
    return (
        f"<tr{' class=selected' if chosen else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _score(scores: dict[str, Any], scoring: Scoring) -> str:
    mean, std = scores.get("score_mean"), scores.get("score_std")
    return "–" if mean is None or std is None else f"{scoring.shown(mean)} ± {scoring.shown(std)}"


def _shown(value: float | None) -> str:
    """An R², or a share of one."""
    return "–" if value is None else f"{value:.4f}"


def _figure(value: float | None) -> str:
    """A figure in the target's unit."""
    return "–" if value is None else significant(value)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training run {run_id}</title>
<style>
:root {{ font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; }}
body {{ max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ overflow-wrap: anywhere; }} h2 {{ margin-top: 2.2rem; border-bottom: 2px solid #1565c0; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th {{ white-space: nowrap; }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top; }}
td {{ font-variant-numeric: tabular-nums; }}
.selected td {{ font-weight: 600; background: #e3f2fd; }} .pair {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
.pair figure {{ flex: 1 1 24rem; }} figure {{ margin: 1rem 0; overflow-x: auto; }}
img {{ width: 100%; min-width: 36rem; }} .pair img {{ min-width: 20rem; }}
@media screen and (max-width: 60rem) {{ .algorithms td:nth-last-child(-n+2) {{ min-width: 15rem; }} }}
@page {{ margin: 14mm; }}
@media print {{
 :root {{ font-size: 11px; color: #000; }} body {{ max-width: none; margin: 0; padding: 0; }}
 .scroll {{ overflow: visible; }} table {{ font-size: .85rem; }} thead {{ display: table-header-group; }}
 th {{ white-space: normal; }} th, td {{ padding: .2rem .3rem; }}
 td:nth-last-child(-n+2) {{ overflow-wrap: anywhere; }}
 .selected td {{ background: none; }} .pair figure {{ flex: 1 1 40%; }}
 img, .pair img {{ min-width: 0; }} figure, tr {{ break-inside: avoid; }} h2, p {{ break-after: avoid; }} }}
</style></head><body>
<h1>Training run {run_id}</h1>
<p><strong>{selected}</strong> was selected with <code>{params}</code>. On the {rows} rows held out:
R² {r2}, mean absolute error {mae}; the {level} interval covers {share} of them. In short: <a href="card.html">the
model’s card</a>.</p>
<p>{why}</p>
{weighed}
<h2>All algorithms</h2>
<figure><img alt="Cross-validated {score_label} of every algorithm" src="{leaderboard}"></figure>
<div class="scroll algorithms"><table>
<thead><tr><th>Algorithm</th>{score_heading}<th>CV R² (mean ± sd)</th><th>Holdout R²</th><th>MAE</th><th>RMSE</th>
<th>Fit (s)</th><th>Search (s)</th><th>Parameters</th><th>Note</th></tr></thead>
<tbody>{algorithms}</tbody></table></div>
<h2>Predictions of the rows held out</h2>
<div class="pair"><figure><img alt="Predicted against actual" src="{scatter}"></figure>
<figure><img alt="Residuals" src="{residuals}"></figure></div>
<h2>Interval</h2>
<p>The interval of {level} covers {share} of the rows held out. {width_rule} By quarter of the prediction:</p>
<table><thead><tr><th>Prediction</th><th>Rows</th><th>Covered</th></tr></thead><tbody>{coverage}</tbody></table>
<h2>What the model leans on</h2>
<figure><img alt="Permutation importance" src="{importance}"></figure>
<p>{shuffles}</p>
{effects}
<h2>Who is served worse</h2>
<p>The largest mean absolute error first. R² within a group is measured against that group's own mean. Bias is
actual − predicted. In brackets the 95 % interval of each figure: groups whose intervals overlap may well be served
alike.{grouped}</p>
<div class="scroll"><table>
<thead><tr><th>Feature</th><th>Group</th><th>Rows</th><th>R²</th><th>MAE</th><th>Bias</th><th>Covered</th>{risk_heading}</tr></thead>
<tbody>{groups}</tbody></table></div>
<h2>The search of {selected}</h2>
<figure><img alt="Score of every candidate" src="{search}"></figure>
<p>The best of its {candidate_count} candidates:</p>
<div class="scroll"><table><thead><tr><th>Stage</th><th>Parameters</th><th>{score_label} (mean ± sd)</th></tr></thead>
<tbody>{candidates}</tbody></table></div>
{before}
<h2>What the data checks warned about</h2><ul>{warnings}</ul>
</body></html>
"""
