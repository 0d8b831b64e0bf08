"""The JSON documents of the bucket as frozen, strictly typed values: what all share, and the manifest of a run.

`decisions` has what is decided of runs, `profiles` the rows and distributions that go with one.

`codec.decode` refuses a document of a newer `SCHEMA_VERSION`. To bump it: raise the number, keep reading every older
version here (fields that are new get defaults), deploy predict and validate first, train last. A new optional field is
no bump.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec

SCHEMA_VERSION = 1

Kind = Literal["numeric", "categorical", "boolean", "date"]
Cell = bool | float | str | None
Reaction = Literal["refuse", "warn"]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values below: immutable, built by keyword, unknown JSON fields ignored.

    `on_one_line`: written as a line, since SQL over the bucket reads a row from each line of a file; the others are
    indented for whoever opens them.
    """

    on_one_line: ClassVar[bool] = False


class FileDigest(Document, frozen=True, kw_only=True):
    """What a file must be: lower-case hex SHA-256 and size in bytes."""

    sha256: str
    size: int


class DatasetInfo(Document, frozen=True, kw_only=True):
    """The data a run was trained on; `sha256` and `generation` are of the data object."""

    name: str
    uri: str
    generation: int
    sha256: str
    rows: int
    holdout_rows: int


class CodeInfo(Document, frozen=True, kw_only=True):
    """The code a run was trained by. `digest`: hex SHA-256 of its sources and libraries; older runs have none."""

    version: str
    git_sha: str
    digest: str = ""


class TrainingInfo(Document, frozen=True, kw_only=True):
    """How a run was made, so that it can be made again: the spec whole, with its split, search and seeds, and what
    bounded the search. Spec and data are kept under `data/snapshots/` by their SHA-256.
    """

    spec: dict[str, Any]
    spec_sha256: str
    budget_seconds: float
    jobs: int
    backend: str
    full: bool = False


class CvScores(Document, frozen=True, kw_only=True):
    """R² over the folds, and the score by which the model was chosen where that is another."""

    r2_mean: float
    r2_std: float
    folds: int
    score_mean: float | None = None
    score_std: float | None = None


class HoldoutScores(Document, frozen=True, kw_only=True):
    """Scores on the rows held out, in the target's units; the trainer's own claim, re-scored by validate."""

    r2: float
    mae: float
    rmse: float


class ModelInfo(Document, frozen=True, kw_only=True):
    """The selected algorithm. `scoring`: the score by which it was chosen and is judged, of `shared.metrics`."""

    algorithm: str
    params: dict[str, Any]
    cv: CvScores
    holdout: HoldoutScores
    scoring: str = "r2"


class CellFormat(Document, frozen=True, kw_only=True):
    """How the cells of a column are written in a text file, where not as programs do; `shared.cells` reads them.

    `missing`: words that mean no value. `thousands` and `decimal` part the digits of numbers, `unit` may stand before
    or after them; `signs`: U+2212 and accounting's brackets are minus signs. `date_format` as strptime has it. `true`
    and `false`: words for them, in any case.
    """

    missing: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    signs: bool = False
    date_format: str | None = None
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


class Feature(Document, frozen=True, kw_only=True):
    """One input column. `categories` in trained spelling, or `min`/`max` as seen (or as the spec limits them).

    A date's `min`, `max` and limits are days since 1970-01-01. `format`: how a text file writes the column.

    `nullable`: training saw missing values. `imputed`: what a missing value is replaced with. `lowest`/`highest`: a
    number beyond is refused, one between them and `min`/`max` is answered with a warning; where absent, `min`/`max`
    are the limits. `on_unknown`: whether a category that training has not seen is refused or answered with a warning.
    """

    name: str
    kind: Kind
    nullable: bool
    imputed: bool | float | str
    categories: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None
    lowest: float | None = None
    highest: float | None = None
    on_unknown: Reaction = "refuse"
    format: CellFormat = CellFormat()


class TargetRange(Document, frozen=True, kw_only=True):
    """Bounds that predictions and intervals are clipped to."""

    min: float | None = None
    max: float | None = None


class Tiers(Document, frozen=True, kw_only=True):
    """Risk probabilities from which a tier begins."""

    medium: float
    high: float


class Bands(Document, frozen=True, kw_only=True):
    """Predictions below `low` are low, below `medium` medium, else high."""

    low: float
    medium: float


class Assessment(Document, frozen=True, kw_only=True):
    """The notion of risk, where a target has one."""

    at_risk_below: float
    tiers: Tiers
    bands: Bands


class Interval(Document, frozen=True, kw_only=True):
    """Split-conformal: prediction + low_residual … prediction + high_residual covers `level` of new rows."""

    level: float
    low_residual: float
    high_residual: float


class GateSettings(Document, frozen=True, kw_only=True):
    """Thresholds frozen at training, so that a later edit of the spec never judges an old candidate.

    `accepts`: what callers of the model of now may meet, by the codes that a refusal prints. `replaces`: the run, or
    the name of the table, that this one takes the place of whatever it breaks. `requires`: how many different people
    ask for a promotion to production.

    `min_score` and `max_drop` are in the score that chooses the model: for an error, the largest one that passes and by
    how much it may grow. Without them, R² has `min_r2`, and the drop is `max_r2_drop` of the error that the mean makes.
    """

    min_r2: float = 0.10
    max_r2_drop: float = 0.02
    min_score: float | None = None
    max_drop: float | None = None
    accepts: tuple[str, ...] = ()
    replaces: str | None = None
    requires: int = 1


class SliceSettings(Document, frozen=True, kw_only=True):
    """Columns whose groups of rows are judged each for itself: in none may a candidate's mean absolute error surely be
    larger than that of the model of now, and by more than the share `max_drop`. Slices of fewer rows are not judged.
    """

    by: tuple[str, ...] = ()
    max_drop: float = 0.05
    min_rows: int = 30


class Manifest(Document, frozen=True, kw_only=True):
    """A run, complete: written last, so that its presence means that everything it names is there."""

    on_one_line: ClassVar[bool] = True

    schema_version: int
    run_id: str
    created_at: datetime
    dataset: DatasetInfo
    code: CodeInfo
    libraries: dict[str, str]
    model: ModelInfo
    features: tuple[Feature, ...]
    target: str
    target_range: TargetRange
    assessment: Assessment | None
    interval: Interval
    gate: GateSettings
    files: dict[str, FileDigest]
    aliases: dict[str, str] = {}
    dropped: tuple[str, ...] = ()
    training: TrainingInfo | None = None
    slices: SliceSettings = SliceSettings()
