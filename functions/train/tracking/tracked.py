"""What a tracker is told of a training run, as one document: handed to MLflow's process, or kept in the bucket."""

from datetime import datetime
from typing import Any

import msgspec

from shared.documents import Cell, Feature
from shared.layout import STAGES, is_plain_name, is_run_id

VERDICT, FAILED_CHECKS, REASONS = "verdict", "failed_checks", "reasons"
OUR_TAGS = frozenset(
    (VERDICT, FAILED_CHECKS, REASONS, *(f"{s}_{word}" for s in STAGES for word in ("since", "until", "by", "why")))
)
"""The tags of a version that follow what becomes of its run."""


class TrackedAlgorithm(msgspec.Struct, frozen=True, kw_only=True):
    """One algorithm's best setting with its scores; `folds` holds the R² of each. `error` where it has none."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, float]
    folds: tuple[float, ...] = ()
    error: str | None = None


class TrackedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """The table that a run was trained on; its columns are those of the model, and the target."""

    name: str
    uri: str
    sha256: str
    rows: int
    target: str


class TrackedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The winner twice: the fitted pipeline, pickled, and the graph that serves. `example`: rows of a request."""

    features: tuple[Feature, ...]
    example: tuple[dict[str, Cell], ...]
    pipeline: bytes
    graph: bytes
    libraries: dict[str, str]


class TrackedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of one training run. `files` are kept with it, by name."""

    experiment: str
    run_id: str
    ended: datetime
    params: dict[str, Any]
    metrics: dict[str, float]
    folds: tuple[float, ...]
    tags: dict[str, str]
    dataset: TrackedDataset
    model: TrackedModel
    algorithms: tuple[TrackedAlgorithm, ...]
    files: dict[str, bytes]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What became of runs: the one that each stage serves, and the tags of each run's version, such as its verdict."""

    serving: dict[str, str | None]
    tags: dict[str, dict[str, str]] = {}


def encode_run(run: TrackedRun) -> bytes:
    """MessagePack, since a run holds bytes."""
    return msgspec.msgpack.encode(run)


def decode_run(data: bytes) -> TrackedRun:
    """Raises msgspec.MsgspecError for anything else, such as a run with a name that is no plain name of a file."""
    run = msgspec.msgpack.decode(data, type=TrackedRun)
    strange = [name for name in run.files if not is_plain_name(name)]
    if strange or not is_run_id(run.run_id):  # both become names of files on the computer that records the run
        raise msgspec.ValidationError("a run's files have plain names, and a run its id")
    return run
