"""The report's section on effects, as HTML: what the winner leans on, how surely, and in which direction."""

import html
from typing import Any

from functions.train.candidate import plots
from shared.metrics import significant

SHOWN = 60


def effects_section(found: dict[str, Any] | None, target: str) -> str:
    """The section; empty for a report without effects."""
    if found is None:
        return ""
    ranks = (found["stability"] or {}).get("ranks", {})
    rows = "".join(
        _cells(
            entry["feature"],
            significant(entry["mean_size"]),
            significant(entry["spread"]),
            _ranks(ranks.get(entry["feature"])),
        )
        for entry in found["features"][:SHOWN]
    )
    left = len(found["features"]) - SHOWN
    further = f"<p>And {left} more in report.json, which move it less.</p>" if left > 0 else ""
    curves = found["dependence"]
    dependence = (
        f'<figure><img alt="Partial dependence" src="{plots.dependence(curves, target)}"></figure>'
        "<p>The mean prediction where one feature of all rows has the same value; the band holds the middle 80 % of "
        "them. The model sees what goes together, and this does not say what causes what.</p>"
        if curves
        else ""
    )
    return (
        "<h2>How much each feature moves a prediction</h2>"
        f"<p>Mean size of the effects ({found['method']} Shapley values through the serving graph, as /explain answers "
        f"them) over {found['rows']} rows held out. {_stability(found['stability'])}</p>"
        f'<figure><img alt="Mean size of the effects" src="{plots.effects(found["features"])}"></figure>'
        '<div class="scroll"><table><thead><tr><th>Feature</th><th>Mean size</th><th>Standard deviation</th>'
        f"<th>Rank in the folds</th></tr></thead><tbody>{rows}</tbody></table></div>{further}{dependence}"
    )


def _stability(found: dict[str, Any] | None) -> str:
    if found is None:
        return "How stable the ranking is was not measured: fitting anew in every fold would have taken too long."
    if found["rank_correlation"] is None:
        return ""
    return (
        f"Models of {found['folds']} folds rank the features alike with a rank correlation of "
        f"{found['rank_correlation']:.2f}."
    )


def _ranks(found: dict[str, int] | None) -> str:
    if found is None:
        return "–"
    return str(found["best"]) if found["best"] == found["worst"] else f"{found['best']} to {found['worst']}"


def _cells(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
