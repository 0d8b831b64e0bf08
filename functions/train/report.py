"""What a person wants to know of a run: every algorithm's row, the search, what the data checks warned about."""

import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from functions.train.selection import Result, Selected
from functions.train.tuner import Candidate


def report_document(
    run_id: str, results: Sequence[Result], selected: Selected, warnings: Sequence[str]
) -> dict[str, Any]:
    """The report as plain values; numbers that are not finite are null."""
    return {
        "run_id": run_id,
        "selected": selected.result.name,
        "algorithms": [_row(result) for result in results],
        "warnings": list(warnings),
    }


def report_json(document: dict[str, Any]) -> bytes:
    """Indented JSON."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def report_page(document: dict[str, Any]) -> bytes:
    """A page that needs no network."""
    rows = "".join(_table_row(row, row["name"] == document["selected"]) for row in document["algorithms"])
    warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in document["warnings"]) or "<li>none</li>"
    return _PAGE.format(run_id=html.escape(document["run_id"]), rows=rows, warnings=warnings).encode()


def _row(result: Result) -> dict[str, Any]:
    best, holdout = result.best, result.holdout
    return {
        "name": result.name,
        "selectable": result.selectable,
        "error": result.error,
        "note": result.searched.note,
        "params": best.params if best else None,
        "cv": _cv(best) if best else None,
        "holdout": {"r2": _finite(holdout.r2), "mae": holdout.mae, "rmse": holdout.rmse} if holdout else None,
        "fit_seconds": result.fit_seconds,
        "search_seconds": sum(candidate.seconds for candidate in result.searched.candidates),
        "parity": result.parity,
        "search": [
            {"stage": c.stage, "params": c.params, "mean": _finite(c.mean), **_cv(c)}
            for c in result.searched.candidates
        ],
    }


def _cv(candidate: Candidate) -> dict[str, Any]:
    return {
        "r2_mean": _finite(np.mean(candidate.r2)),
        "r2_std": _finite(np.std(candidate.r2)),
        "r2": [_finite(value) for value in candidate.r2],
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _table_row(row: dict[str, Any], chosen: bool) -> str:
    cv, holdout = row["cv"] or {}, row["holdout"] or {}
    cells = [
        f"{row['name']}{' (selected)' if chosen else ''}",
        f"{_shown(cv.get('r2_mean'))} ± {_shown(cv.get('r2_std'))}",
        *(_shown(holdout.get(name)) for name in ("r2", "mae", "rmse")),
        f"{row['fit_seconds']:.2f}",
        json.dumps(row["params"], ensure_ascii=False),
        "; ".join(filter(None, (row["error"], row["note"]))),
    ]
    return (
        f"<tr{' class=selected' if chosen else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training run {run_id}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #8884; }}
.selected {{ font-weight: 600; }}
</style></head><body>
<h1>Training run {run_id}</h1>
<div class="scroll"><table>
<thead><tr><th>Algorithm</th><th>CV R² (mean ± sd)</th><th>Holdout R²</th><th>Holdout MAE</th><th>Holdout RMSE</th>
<th>Fit (s)</th><th>Parameters</th><th>Note</th></tr></thead>
<tbody>{rows}</tbody></table></div>
<h2>What the data checks warned about</h2><ul>{warnings}</ul>
</body></html>
"""
