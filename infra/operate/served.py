"""What a stage served, as its history tells it: read for the commands that list it, roll back to it or wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.options import OneLineParser
from shared import layout
from shared.codec import decode
from shared.documents import Pointer
from shared.env import Environment
from shared.errors import InvalidDocument, ObjectMissing, PipelineError, SettingsError
from shared.layout import Stage
from shared.store import CloudStore, Store


class CannotTell(PipelineError):
    """The command ends here; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class Served:
    """One pointer of the history and where it is kept."""

    key: str
    pointer: Pointer


def bucket_of(parser: OneLineParser, environ: "dict[str, str]") -> str:
    """BUCKET, or the parser's error that says how to set it."""
    try:
        return Environment(environ).text("BUCKET").removeprefix("gs://").rstrip("/")
    except SettingsError:
        parser.error("BUCKET is not set: 'source .local/env' for the local cloud, or give BUCKET=your-bucket")


def store_of(bucket: str) -> Store:
    """The bucket, of the local cloud where STORAGE_EMULATOR_HOST says so."""
    return CloudStore(bucket, timeout=15.0, deadline=20.0)


def current(store: Store, stage: Stage) -> Pointer | None:
    """What the stage serves now. Raises CannotTell for a pointer that does not parse."""
    key = layout.pointer(stage)
    try:
        return decode(store.read(key).data, Pointer, key)
    except ObjectMissing:
        return None
    except InvalidDocument as error:
        raise CannotTell(f"{error}; copy the newest entry of {layout.history_folder(stage)} over it") from error


def history(store: Store, stage: Stage) -> list[Served]:
    """Every pointer that served, oldest first, up to the one of now. Objects that are no pointers are passed over.

    An entry is written just before its pointer; one that is newer than the pointer has not served.
    """
    now = current(store, stage)
    entries = []
    for info in store.list(layout.history_folder(stage)):
        try:
            pointer = decode(store.read(info.name).data, Pointer, info.name)
        except (ObjectMissing, InvalidDocument):
            continue
        if now is None or pointer.promoted_at <= now.promoted_at:
            entries.append(Served(info.name, pointer))
    return entries


def at(entries: Sequence[Served], moment: datetime) -> Served | None:
    """What served at that moment."""
    return next((entry for entry in reversed(entries) if entry.pointer.promoted_at <= moment), None)


def shown(moment: datetime) -> str:
    """UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
