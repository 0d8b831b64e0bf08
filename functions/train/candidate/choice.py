"""Why the winner won, in words, from the rows of the report. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.metrics import SCORINGS, Scoring

Row = Mapping[str, Any]


def why(report: Mapping[str, Any]) -> str:
    """Sentences: by which score it was chosen, who came before it and cannot serve, who is better on the held-out
    rows and was not chosen for it."""
    rows, selected = report["algorithms"], report["selected"]
    winner = next(row for row in rows if row["name"] == selected)
    others = [row for row in rows if row["name"] != selected]
    return " ".join(_sentences(winner, others, SCORINGS[report["scoring"]]))


def _sentences(winner: Row, others: Sequence[Row], scoring: Scoring) -> Iterator[str]:
    label = scoring.label
    mean = winner["cv"]["score_mean"]
    yield f"{winner['name']} was chosen by its {label} over the folds of the training rows, {scoring.shown(mean)}."
    for row in others:
        if not row["selectable"] and row["error"] and _of_folds(row, scoring) > _of_folds(winner, scoring):
            yield f"{row['name']} has {scoring.shown(row['cv']['score_mean'])} and cannot serve: {row['error']}."
    own = _held_out(winner, scoring)
    better = [row for row in others if row["selectable"] and _held_out(row, scoring) > own]
    if better:
        best = max(better, key=lambda row: _held_out(row, scoring))
        figures = " against ".join(scoring.shown(scoring.sign * _held_out(row, scoring)) for row in (best, winner))
        yield (
            f"On the rows held out {best['name']} has the better {label}, {figures}. They decide nothing: they are the "
            f"exam, and a winner chosen by its exam would be promised a score that new rows do not give."
        )


def _of_folds(row: Row, scoring: Scoring) -> float:
    """The mean score of the folds, turned so that more is better."""
    mean = (row["cv"] or {}).get("score_mean")
    return -math.inf if mean is None else scoring.sign * float(mean)


def _held_out(row: Row, scoring: Scoring) -> float:
    """The score on the rows held out, turned so that more is better."""
    score = (row["holdout"] or {}).get(scoring.name)
    return -math.inf if score is None else scoring.sign * float(score)
