"""A model's card as a value: what it is for, of what it was made, how well it serves whom, and where it ends.

Written by training as `card.json` and `card.html`; serving adds the verdict and who promoted it.
"""

from datetime import datetime
from typing import Any

from shared.documents import DatasetInfo, Document


class Estimate(Document, frozen=True, kw_only=True):
    """A figure with its 95 % interval, where there are rows enough for one."""

    value: float
    low: float | None = None
    high: float | None = None


class CardGroup(Document, frozen=True, kw_only=True):
    """How a group of rows held out is served."""

    feature: str
    group: str
    rows: int
    mae: Estimate
    bias: Estimate
    covered: Estimate | None = None


class Leading(Document, frozen=True, kw_only=True):
    """A feature and the mean size of its effect on a prediction."""

    feature: str
    mean_size: float


class Card(Document, frozen=True, kw_only=True):
    """`use`, `not_for` and `contact` are the words of the spec; everything else was measured or is what was done.

    `scores`: R², MAE and RMSE on the rows held out. `coverage`: of the interval, which promises `level`; `width`: why
    it has one width or many. `slices`: the groups that the spec names, else the worst served ones. `limits`: sentences.
    """

    schema_version: int
    run_id: str
    name: str
    target: str
    created_at: datetime
    algorithm: str
    params: dict[str, Any]
    code: str
    dataset: DatasetInfo
    scores: dict[str, Estimate]
    level: float
    coverage: Estimate
    width: str
    leading: tuple[Leading, ...]
    slices: tuple[CardGroup, ...]
    limits: tuple[str, ...]
    use: str = ""
    not_for: str = ""
    contact: str = ""
