"""Documents of a run's rows: those that prove it (golden, holdout), that explain it, and how they are distributed.

Train writes them; validate judges by them, predict explains and warns by them, watch compares live rows with them.
"""

import msgspec

from shared.documents import Cell, Document


class Golden(Document, frozen=True, kw_only=True):
    """Rows with the predictions that the serving runtime must reproduce, missing values included."""

    rows: tuple[dict[str, Cell], ...]
    predictions: tuple[float, ...]


class Holdout(Document, frozen=True, kw_only=True, omit_defaults=True):
    """The rows held out, by column; every column and the target have the same length.

    `weights`: how much each row counts, above 0; none where all count alike.
    """

    columns: dict[str, list[Cell]]
    target: list[float]
    weights: list[float] | None = None


class Background(Document, frozen=True, kw_only=True):
    """Rows that stand for the training rows when a prediction is explained; `counts`: for how many each of them stands.

    `additive`: the graph adds up one function of each feature, so that effects have a closed form.
    """

    rows: tuple[dict[str, Cell], ...]
    counts: tuple[int, ...]
    additive: bool = False


class Histogram(Document, frozen=True, kw_only=True):
    """Counts of a number: of each bin its upper edge, and how many were in it (`shared/histogram.py`)."""

    uppers: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


class NumericProfile(Document, frozen=True, kw_only=True):
    """Distribution of a numeric feature over the training rows; `quantiles` at 0, 0.05, … 1.

    Runs of before live rows were counted have no `histogram`.
    """

    missing: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    histogram: Histogram | None = None


class CategoricalProfile(Document, frozen=True, kw_only=True):
    """Counts of a categorical feature's values over the training rows."""

    missing: int
    counts: dict[str, int]


class Residuals(Document, frozen=True, kw_only=True):
    """Bounds that cover the interval's level, and evenly spaced quantiles (0 to 1), of residuals target − predicted."""

    low: float
    high: float
    quantiles: tuple[float, ...]


class Spread(Document, frozen=True, kw_only=True):
    """How residuals differ from row to row. `scale`: their typical size at the predictions `at`, between which it is
    interpolated; all residuals here are in units of it, of 1 where there is none. `groups`: those of the categories of
    the feature `column` that have enough rows; `rest`: those of all others.
    """

    rest: Residuals
    column: str | None = None
    groups: dict[str, Residuals] = msgspec.field(default_factory=dict)
    at: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


class Profile(Document, frozen=True, kw_only=True):
    """Training distributions, and evenly spaced quantiles (0 to 1) of the out-of-fold residuals target − predicted.

    `residuals`: the residuals themselves, up to 5,000, in no order. `predictions`: what the model predicts for the rows
    held out, as it is answered. `spread`: where one distribution of residuals for all rows is not fair, how it differs.
    """

    rows: int
    numeric: dict[str, NumericProfile]
    categorical: dict[str, CategoricalProfile]
    residual_quantiles: tuple[float, ...]
    residuals: tuple[float, ...] = ()
    predictions: Histogram | None = None
    spread: Spread | None = None
