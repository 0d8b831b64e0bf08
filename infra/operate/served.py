"""What a stage served, as its history tells it: read for the commands that list it, roll back to it or wait for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from infra.clients import past_proxies
from infra.options import OneLineParser
from shared import layout, pointers
from shared.decisions import Decision, Pointer
from shared.documents import Document, ModelInfo
from shared.env import Environment
from shared.errors import InvalidDocument, PipelineError, SettingsError
from shared.layout import Stage
from shared.metrics import R2, SCORINGS
from shared.pointers import Kept
from shared.store import CloudStore, Store
from shared.stored import find_document

T = TypeVar("T", bound=Document)


class CannotTell(PipelineError):
    """The command ends here; the message is one line that says why and what to do."""


def bucket_of(parser: OneLineParser, environ: "dict[str, str]") -> str:
    """BUCKET, or the parser's error that says how to set it."""
    try:
        return layout.bucket_name(Environment(environ).text("BUCKET"))
    except SettingsError:
        parser.error("BUCKET is not set: 'source .local/env' for the local cloud, or give BUCKET=your-bucket")


def store_of(bucket: str) -> CloudStore:
    """The bucket, of the local cloud where STORAGE_EMULATOR_HOST says so; a proxy in the environment is not asked for
    what is on this computer, by this process and those that it starts."""
    os.environ.update(past_proxies(os.environ))
    return CloudStore(bucket, timeout=15.0, deadline=20.0)


def current(store: Store, stage: Stage) -> Pointer | None:
    """What the stage serves now. Raises CannotTell for a pointer that does not parse."""
    with _readable(stage):
        return pointers.read_current(store, stage).pointer


def history(store: Store, stage: Stage) -> list[Kept]:
    """Every pointer that served, oldest first, the one of now included. Raises CannotTell as `current` does."""
    with _readable(stage):
        return pointers.history(store, stage)


def document(store: Store, key: str, kind: type[T]) -> T | None:
    """The document at `key`; None where there is none, or none that parses. Raises StorageUnavailable."""
    return find_document(store, key, kind)


def failed_checks(decision: Decision) -> tuple[str, ...]:
    """A line for each check that the candidate did not pass."""
    return tuple(f"{check.name}: {check.reason}" for check in decision.checks if check.standing == "failed")


def score_of(model: ModelInfo) -> str:
    """The score on held-out rows by which the model was chosen, and R²."""
    held = {"r2": model.holdout.r2, "mae": model.holdout.mae, "rmse": model.holdout.rmse}
    scorings = dict.fromkeys([SCORINGS.get(model.scoring, R2), R2])
    return ", ".join(f"{scoring.label} {scoring.shown(held[scoring.name])}" for scoring in scorings)


@contextmanager
def _readable(stage: Stage) -> Iterator[None]:
    try:
        yield
    except InvalidDocument as error:
        raise CannotTell(f"{error}; copy the newest entry of {layout.history_folder(stage)} over it") from error


def shown(moment: datetime) -> str:
    """UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
