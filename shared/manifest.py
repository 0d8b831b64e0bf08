"""The JSON documents of the bucket as frozen, strictly typed values: manifest, pointer, decision, golden, holdout …

`decode` refuses a document of a newer `SCHEMA_VERSION`. To bump it: raise the number, keep reading every older version
here (fields that are new get defaults), deploy predict and validate first, train last. A new optional field is no bump.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec

from shared.errors import InvalidDocument
from shared.layout import Stage, is_run_id

SCHEMA_VERSION = 1
MAX_DOCUMENT_BYTES = 64 * 2**20

Kind = Literal["numeric", "categorical"]
Cell = float | str | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values below: immutable, built by keyword, unknown JSON fields ignored."""


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
    """The code a run was trained by."""

    version: str
    git_sha: str


class CvScores(Document, frozen=True, kw_only=True):
    """R² over the folds."""

    r2_mean: float
    r2_std: float
    folds: int


class HoldoutScores(Document, frozen=True, kw_only=True):
    """Scores on the rows held out, in the target's units; the trainer's own claim, re-scored by validate."""

    r2: float
    mae: float
    rmse: float


class ModelInfo(Document, frozen=True, kw_only=True):
    """The selected algorithm."""

    algorithm: str
    params: dict[str, Any]
    cv: CvScores
    holdout: HoldoutScores


class Feature(Document, frozen=True, kw_only=True):
    """One input column. `categories` in trained spelling, or `min`/`max` as seen (or as the spec limits them).

    `nullable`: training saw missing values. `imputed`: what a missing value is replaced with.
    """

    name: str
    kind: Kind
    nullable: bool
    imputed: float | str
    categories: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None


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
    """Thresholds frozen at training, so that a later edit of the spec never judges an old candidate."""

    min_r2: float = 0.10
    max_r2_drop: float = 0.02


class Manifest(Document, frozen=True, kw_only=True):
    """A run, complete: written last, so that its presence means that everything it names is there."""

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


class Check(Document, frozen=True, kw_only=True):
    """One check of the gate: what it saw, what it asked for, and a sentence."""

    name: str
    passed: bool
    observed: float | str | None
    threshold: float | str | None
    reason: str


class Decision(Document, frozen=True, kw_only=True):
    """The gate's verdict, check by check."""

    passed: bool
    checks: tuple[Check, ...]


class Pointer(Document, frozen=True, kw_only=True):
    """What a stage serves. `marker_generation`: the promotion marker that asked for it (production only)."""

    schema_version: int
    stage: Stage
    run_id: str
    manifest_sha256: str
    promoted_at: datetime
    previous_run_id: str | None
    decision: Decision
    marker_generation: int | None = None


class Golden(Document, frozen=True, kw_only=True):
    """Rows with the predictions that the serving runtime must reproduce, missing values included."""

    rows: tuple[dict[str, Cell], ...]
    predictions: tuple[float, ...]


class Holdout(Document, frozen=True, kw_only=True):
    """The rows held out, by column; every column and the target have the same length."""

    columns: dict[str, list[Cell]]
    target: list[float]


class NumericProfile(Document, frozen=True, kw_only=True):
    """Distribution of a numeric feature over the training rows; `quantiles` at 0, 0.05, … 1."""

    missing: int
    mean: float
    std: float
    quantiles: tuple[float, ...]


class CategoricalProfile(Document, frozen=True, kw_only=True):
    """Counts of a categorical feature's values over the training rows."""

    missing: int
    counts: dict[str, int]


class Profile(Document, frozen=True, kw_only=True):
    """Training distributions, and evenly spaced quantiles (0 to 1) of the out-of-fold residuals target − predicted."""

    rows: int
    numeric: dict[str, NumericProfile]
    categorical: dict[str, CategoricalProfile]
    residual_quantiles: tuple[float, ...]


T = TypeVar("T", bound=Document)


def encode(document: Document) -> bytes:
    """Canonical JSON: two-space indent, a trailing newline. Raises ValueError for a number that is not finite."""
    plain = msgspec.to_builtins(document)
    _require_finite(plain, type(document).__name__)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(data: bytes, kind: type[T], where: str) -> T:
    """Parse `data` as a `kind`. Raises InvalidDocument naming `where`, what was expected and what was found."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidDocument(f"{where}: {len(data)} bytes is over the limit of {MAX_DOCUMENT_BYTES}")
    try:
        _refuse_newer(data, where)
        document = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"{where}: not a valid {kind.__name__}: {error}") from None
    _check(document, where)
    return document


def encode_gzip(document: Document) -> bytes:
    """`encode`, compressed; the same document gives the same bytes (no timestamp)."""
    return gzip.compress(encode(document), mtime=0)


def decode_gzip(data: bytes, kind: type[T], where: str) -> T:
    """`decode` of compressed data, bounded, so that a small file cannot unfold into all of memory."""
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(data, MAX_DOCUMENT_BYTES + 1)
    except zlib.error as error:
        raise InvalidDocument(f"{where}: not gzip: {error}") from None
    if not stream.eof and len(plain) <= MAX_DOCUMENT_BYTES:
        raise InvalidDocument(f"{where}: the gzip data ends early")
    return decode(plain, kind, where)


def digest(data: bytes) -> FileDigest:
    """Size and SHA-256 of `data`."""
    return FileDigest(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def utc_now() -> datetime:
    """The present, to the microsecond, in UTC."""
    return datetime.now(UTC)


class _Version(msgspec.Struct):
    schema_version: int | None = None


def _refuse_newer(data: bytes, where: str) -> None:
    version = msgspec.json.decode(data, type=_Version).schema_version
    if version is not None and version > SCHEMA_VERSION:
        raise InvalidDocument(
            f"{where}: schema_version {version} is newer than {SCHEMA_VERSION}, the newest read here; deploy newer code"
        )


def _check(document: Document, where: str) -> None:
    """What types alone cannot say."""
    if isinstance(document, Manifest | Pointer):
        if document.schema_version < 1:
            raise InvalidDocument(f"{where}: schema_version must be 1 or more")
        if not is_run_id(document.run_id):
            raise InvalidDocument(f"{where}: run_id is not of the form <UTC yyyymmddThhmmssZ>-<8 hex>")
    if isinstance(document, Golden) and len(document.rows) != len(document.predictions):
        raise InvalidDocument(f"{where}: {len(document.rows)} rows but {len(document.predictions)} predictions")
    if isinstance(document, Holdout) and {len(column) for column in document.columns.values()} - {len(document.target)}:
        raise InvalidDocument(f"{where}: the columns and the target differ in length")


def _require_finite(value: object, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}; JSON has no such number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _require_finite(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _require_finite(item, f"{path}[{position}]")
