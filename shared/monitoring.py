"""The JSON documents about a model that serves: counters of live rows, daily looks, alarms, performance on labels.

None of them holds a value of a row: counts by the bins and categories of the run's own profile, figures of many rows.
"""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from shared.documents import Document
from shared.layout import Stage

OTHER_BELOW = 5
"""A category seen fewer times than this in a block counts as `other` there."""
LATENCY_US = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
"""Upper edges of the bins of a latency, in µs; one more bin is beyond the last."""

DIFFERENCES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Upper edges of the bins of a shadow's difference, in half widths of the champion's interval; one more is beyond."""

NOTHING_SERVES = "nothing_serves"
"""Why a file of labels is refused where no run has served yet: there is nothing wrong with the file."""

AlarmKind = Literal["drift", "refusals", "faults", "silence", "performance"]


class FeatureCounts(Document, frozen=True, kw_only=True, omit_defaults=True):
    """Live rows of one feature. `bins` as the profile's histogram has them, `counts` in the order of the categories.

    `unknown`: texts that training did not see. `other`: categories that are too rare in the block to be told.
    """

    missing: int = 0
    below: int = 0
    above: int = 0
    bins: tuple[int, ...] = ()
    unknown: int = 0
    other: int = 0
    counts: tuple[int, ...] = ()


class ShadowCounts(Document, frozen=True, kw_only=True):
    """The champion's rows, run through the challenger after the fact: how far apart both are, by DIFFERENCES, and the
    rows on which the challenger failed.
    """

    rows: int = 0
    faults: int = 0
    differences: tuple[int, ...] = ()


class LiveBlock(Document, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """What one serving process counted between two moments.

    `refused`: problems by code and feature, "" where it was the request as a whole. `answers`: requests by class of
    status; `fault`: those that a challenger owed and the champion answered. `lost`: rows that were counted nowhere,
    since the bucket did not take them.
    """

    on_one_line: ClassVar[bool] = True

    schema_version: int
    run_id: str
    since: datetime
    until: datetime
    requests: int
    rows: int
    features: dict[str, FeatureCounts]
    prediction: FeatureCounts
    refused: dict[str, dict[str, int]]
    answers: dict[str, int]
    latency_us: tuple[int, ...]
    lost: int = 0
    shadow: ShadowCounts | None = None


class Share(Document, frozen=True, kw_only=True):
    """One cell of a feature: its name for people, and its share of the rows at training and live."""

    cell: str
    trained: float
    live: float


class FeatureLook(Document, frozen=True, kw_only=True):
    """What a look says of one feature, of the rows since the day `since`.

    `p` is for all features together, None where there were too few rows; `moved` is the largest change of a share.
    `usual`: such weekdays were always so, and the weeks as a whole are as training saw them.
    """

    name: str
    since: str
    rows: int
    effective: float
    design_effect: float
    moved: float
    alarms: bool
    p: float | None = None
    usual: bool = False
    shares: tuple[Share, ...] = ()


class StandingAlarm(Document, frozen=True, kw_only=True):
    """An alarm that has not ended."""

    kind: AlarmKind
    subject: str
    raised_at: datetime
    key: str


class Traffic(Document, frozen=True, kw_only=True):
    """One day of one run: how much was asked and how it was answered."""

    on: str
    requests: int
    rows: int
    refused: int
    faults: int
    lost: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class WatchReport(Document, frozen=True, kw_only=True):
    """The daily look: the day `on` of the run that the stage served at its end.

    `counted`: that day's rows of each feature, by the cells of the run's profile, for the looks of the weeks after.
    """

    on_one_line: ClassVar[bool] = True

    schema_version: int
    stage: Stage
    on: str
    looked_at: datetime
    run_id: str | None
    traffic: tuple[Traffic, ...] = ()
    features: tuple[FeatureLook, ...] = ()
    alarms: tuple[StandingAlarm, ...] = ()
    notes: tuple[str, ...] = ()
    counted: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)


class Alarm(Document, frozen=True, kw_only=True):
    """Something that a person should look at: a sentence, and the figures behind it."""

    on_one_line: ClassVar[bool] = True

    schema_version: int
    kind: AlarmKind
    stage: Stage
    subject: str
    run_id: str
    raised_at: datetime
    message: str
    figures: dict[str, float]


class Estimate(Document, frozen=True, kw_only=True):
    """A figure with the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


class Scores(Document, frozen=True, kw_only=True):
    """A run on labelled rows. `bias` is the mean of target − predicted; `coverage` that of the interval."""

    rows: int
    r2: Estimate | None
    mae: Estimate
    bias: Estimate
    coverage: Estimate


class BetState(Document, frozen=True, kw_only=True):
    """The bet against a run's promise: its wealth now and at its highest, of 1; it alarms at 200."""

    stream: str
    labels: int
    wealth: float
    highest: float
    alarmed: bool


class RunPerformance(Document, frozen=True, kw_only=True):
    """One run on its fair rows: all of them, and those that it answered itself.

    `beside`: by how much its mean absolute error is above that of the run that serves, on the `shared` rows that are
    fair for both; None of that run itself.
    """

    run_id: str
    promised_mae: float
    promised_r2: float
    level: float
    fair: Scores | None
    answered: Scores | None
    slices: dict[str, dict[str, Scores]] = msgspec.field(default_factory=dict)
    bets: tuple[BetState, ...] = ()
    shared: int = 0
    beside: Estimate | None = None


class Unlike(Document, frozen=True, kw_only=True):
    """A feature of which labelled rows are others than live ones: the cell whose share differs most, with both shares,
    and the p-value for all features together.
    """

    name: str
    cell: str
    labelled: float
    live: float
    p: float

    @property
    def moved(self) -> float:
        """The difference of the shares."""
        return abs(self.labelled - self.live)


class Likeness(Document, frozen=True, kw_only=True):
    """Labelled rows beside the live ones of the last weeks, by the profile of one run; `compared`: features and the
    prediction.
    """

    run_id: str
    rows: int
    live_rows: int
    compared: int
    unlike: tuple[Unlike, ...] = ()


class Performance(Document, frozen=True, kw_only=True):
    """How runs fare on all labelled rows, each row once.

    `unattributed`: rows within a minute of a swap. `contradicting`: rows that say the same of another target.
    """

    on_one_line: ClassVar[bool] = True

    schema_version: int
    updated_at: datetime
    files: int
    rows: int
    repeated: int
    unattributed: int
    contradicting: int
    runs: tuple[RunPerformance, ...]
    notes: tuple[str, ...] = ()
    likeness: Likeness | None = None


class Course(Document, frozen=True, kw_only=True):
    """What the judge of a challenge saw: the loss of R² with its interval, after so many labels each."""

    schema_version: int
    run_id: str
    started_at: datetime
    updated_at: datetime
    points: tuple[tuple[int, float, float, float], ...]


class LabelRejection(Document, frozen=True, kw_only=True):
    """Why a file of labels was refused."""

    schema_version: int
    rejected_at: datetime
    name: str
    generation: int
    reason: str
    problems: tuple[str, ...]


class Retraining(Document, frozen=True, kw_only=True):
    """The alarm that asks for the training of its day."""

    alarm: str
    asked_at: datetime
