"""Why the interval has one width, or one for each row, in words for the report and the card."""

from collections.abc import Mapping
from typing import Any


def width_rule(figures: Mapping[str, Any] | None) -> str:
    """What was measured on the rows that the folds left out, and what follows from it."""
    if figures is None:
        return ""
    quarters, groups = figures["quarters"], figures["groups"]
    sentences = [
        f"With one width for all, coverage by quarter of the prediction is off by {quarters['worst']:.1%} at most"
        f" (by chance: {_chance(quarters['chance'])})"
    ]
    if groups is not None:
        first = "with the width of the prediction, it" if "prediction" in figures["width"] else "it"
        sentences.append(
            f"{first} differs most surely by {groups['column']}, by {groups['apart']:.1%}"
            f" (by chance: {_chance(groups['chance'])})"
        )
    verdict = {
        "one": "so all rows have the same width",
        "by prediction": "so the width follows the prediction",
        "by group": f"so each group of {figures['column']} has its own width",
        "by prediction and by group": f"so the width follows the prediction, and that of {figures['column']}",
    }[figures["width"]]
    return "; ".join(sentences) + f"; {verdict}. It would differ from 4 points on, where chance is below 1 %."


def _chance(chance: float) -> str:
    return f"{chance:.0%}" if chance >= 0.01 else "less than 1 %"
