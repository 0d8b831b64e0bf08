"""The report's plots as images that travel inside the page: `data:` addresses of SVG. The only home of matplotlib."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.metrics import R2, Scoring, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, ACCENT, SOFT = "#1f2933", "#1565c0", "#9aa5b1"
SIZE = (5.2, 3.9)
WIDE = 10.6
"""Inches: the page's width."""
MAX_POINTS = 2_000
MOST_FEATURES = 20


def leaderboard(rows: Sequence[Mapping[str, Any]], selected: str, scoring: Scoring) -> str:
    """Mean score of the folds of each algorithm, with its standard deviation."""
    scored = [row for row in rows if row["cv"] and row["cv"]["score_mean"] is not None][::-1]
    figure, axes = _figure((WIDE, 0.42 * len(scored) + 1.1))
    for place, row in enumerate(scored):
        colour = ACCENT if row["name"] == selected else SOFT
        axes.errorbar(row["cv"]["score_mean"], place, xerr=row["cv"]["score_std"], fmt="o", color=colour, capsize=3)
    axes.set_yticks(range(len(scored)), [row["name"] for row in scored])
    axes.set_xlabel(f"cross-validated {scoring.label}, mean ± standard deviation")
    if scoring is R2:
        axes.axvline(0, color=SOFT, linewidth=0.8)
    return _address(figure)


def predicted_against_actual(actual: Sequence[float], predicted: Sequence[float]) -> str:
    """Each row held out as a point."""
    figure, axes = _figure(SIZE)
    axes.scatter(predicted[:MAX_POINTS], actual[:MAX_POINTS], s=12, alpha=0.5, color=ACCENT, linewidths=0)
    ends = [min(*actual, *predicted), max(*actual, *predicted)]
    axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle="--")
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    return _address(figure)


def residuals(actual: Sequence[float], predicted: Sequence[float], low: float, high: float) -> str:
    """How often the target is so far from the prediction, with the interval's ends."""
    figure, axes = _figure(SIZE)
    axes.hist(np.subtract(actual, predicted), bins=30, color=ACCENT, alpha=0.8)
    for end in (low, high):
        axes.axvline(end, color=INK, linewidth=1, linestyle="--")
    axes.set_xlabel("actual − predicted (dashed: the interval's ends)")
    axes.set_ylabel("rows held out")
    return _address(figure)


def importance(found: Sequence[Mapping[str, Any]]) -> str:
    """R² lost by shuffling a feature."""
    shown = list(found[:MOST_FEATURES])[::-1]
    figure, axes = _figure((WIDE, 0.36 * len(shown) + 1.1))
    axes.barh(range(len(shown)), [row["mean"] for row in shown], xerr=[row["std"] for row in shown], color=ACCENT)
    axes.set_yticks(range(len(shown)), [_plain(row["feature"]) for row in shown])
    axes.set_xlabel("R² lost when the feature is shuffled")
    axes.axvline(0, color=SOFT, linewidth=0.8)
    return _address(figure)


def effects(found: Sequence[Mapping[str, Any]]) -> str:
    """Mean size of each feature's effect over rows held out."""
    shown = list(found[:MOST_FEATURES])[::-1]
    figure, axes = _figure((WIDE, 0.36 * len(shown) + 1.1))
    axes.barh(range(len(shown)), [entry["mean_size"] for entry in shown], color=ACCENT)
    axes.set_yticks(range(len(shown)), [_plain(entry["feature"]) for entry in shown])
    axes.set_xlabel("mean size of the effect on a prediction, in the target's unit")
    return _address(figure)


def dependence(curves: Sequence[Mapping[str, Any]], target: str) -> str:
    """The mean prediction over each leading feature's values, and the middle 80 % of the rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, 2.9 * ((len(curves) + 1) // 2)), layout="constrained")
    for place, curve in enumerate(curves):
        axes = figure.add_subplot((len(curves) + 1) // 2, 2, place + 1)
        axes.spines[["top", "right"]].set_visible(False)
        if curve["kind"] == "categorical":
            places = range(len(curve["values"]))
            axes.vlines(places, curve["low"], curve["high"], color=SOFT, linewidth=4, alpha=0.5)
            axes.scatter(places, curve["mean"], color=ACCENT, zorder=3)
            names = [_plain(str(value), 16) for value in curve["values"]]
            axes.set_xticks(
                places, names, rotation=25 if len(names) > 3 else 0, ha="right" if len(names) > 3 else "center"
            )
        else:
            axes.fill_between(curve["values"], curve["low"], curve["high"], color=SOFT, alpha=0.3, linewidth=0)
            axes.plot(curve["values"], curve["mean"], color=ACCENT)
        axes.set_title(_plain(curve["feature"]), loc="left", fontsize=10)
        axes.set_ylabel(_plain(target, 24))
    return _address(figure)


def search(candidates: Sequence[Mapping[str, Any]], scoring: Scoring) -> str:
    """Every candidate's mean score, in the order of the search."""
    figure, axes = _figure((WIDE, 2.8))
    for stage, colour in (("random", SOFT), ("grid", ACCENT), ("blend", INK)):
        points = [
            (place, candidate["score_mean"])
            for place, candidate in enumerate(candidates)
            if candidate["stage"] == stage and candidate["score_mean"] is not None
        ]
        if not points:
            continue
        axes.scatter(
            [place for place, _ in points], [mean for _, mean in points], s=18, color=colour, label=f"{stage} stage"
        )
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("candidate")
    axes.set_ylabel(f"mean {scoring.label}")
    axes.legend(frameon=False)
    return _address(figure)


def _figure(size: tuple[float, float]) -> "tuple[Any, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain(name: str, most: int = 40) -> str:
    """Shortened, and without what matplotlib takes for mathematics."""
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")


def write_ticks_plainly(figure: Any) -> None:
    """Money as `200,000`, not as 2 of 1e5. Numbers that only more digits tell apart stay as matplotlib writes them."""
    from matplotlib.ticker import FuncFormatter, ScalarFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [float(tick) for tick in axis.get_majorticklocs()]
            if isinstance(axis.get_major_formatter(), ScalarFormatter) and len(set(map(_tick, ticks))) == len(ticks):
                axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _place: int | None = None) -> str:
    return plain(float(value) + 0.0, 6).replace("-", "\N{MINUS SIGN}")


def _address(figure: Any) -> str:
    from matplotlib import rc_context

    write_ticks_plainly(figure)
    image = io.BytesIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "report"}):
        figure.savefig(image, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(image.getvalue()).decode()
