"""One delivery of a file's event: what was decided before stands, what is missing is done."""

from dataclasses import dataclass

from functions.batch import dataflow
from functions.batch.dataflow import Connect
from functions.batch.outcome import decided, reject
from functions.batch.planning import plan
from functions.batch.rows import BatchRefused
from functions.batch.settings import BatchSettings
from functions.batch.stretch import gone
from functions.batch.work import work
from shared import layout
from shared.batches import BatchInput, BatchOutcome, BatchPlan
from shared.codec import encode
from shared.errors import IntegrityError, ObjectMissing, PermanentError, PreconditionFailed
from shared.events import StorageEvent
from shared.media_types import JSON
from shared.store import CREATE_ONLY, ObjectInfo, Store
from shared.stored import read_document

TOO_LARGE = (
    "rows of the file unfold to more than the memory that there is; keep fewer columns (x-goog-meta-keep), or leave out"
    " the cells that are very long"
)
LONGEST_SUFFIX = len("progress/00000.json")


@dataclass(frozen=True)
class Started:
    """The pipeline answers the file; `job` is its name on Dataflow."""

    job: str
    run_id: str


def act(
    store: Store, event: StorageEvent, settings: BatchSettings, connect: Connect = dataflow.client
) -> BatchOutcome | Started:
    """Answer the file of the event, or start what does. A refusal is written beside the answer.

    Raises TransientError, PermanentError.
    """
    _require_room(event)
    folder = layout.batch_folder(event.name, event.generation)
    ended = decided(store, folder)
    if ended is not None:
        return ended
    info = store.stat(event.name)
    size = info.size if info is not None and info.generation == event.generation else 0
    try:
        pinned = _pinned(store, event, info, settings)
        if pinned.engine == "dataflow" and settings.dataflow is not None:
            return Started(dataflow.start(settings.dataflow, settings.bucket, folder, connect), pinned.run_id)
        return work(store, pinned, settings.threads)
    except MemoryError:
        refused = BatchRefused("too_large", [TOO_LARGE])
        return reject(store, BatchInput(name=event.name, generation=event.generation, size=size), refused)
    except (PermanentError, ObjectMissing) as error:  # ObjectMissing: a file of the run is gone
        refused = error if isinstance(error, BatchRefused) else BatchRefused(_reason(error), [str(error)])
        return reject(store, BatchInput(name=event.name, generation=event.generation, size=size), refused)


def _reason(error: PermanentError | ObjectMissing) -> str:
    return error.reason if isinstance(error, PermanentError) else IntegrityError.reason


def _require_room(event: StorageEvent) -> None:
    longest = len(layout.batch_folder(event.name, event.generation).encode()) + LONGEST_SUFFIX
    if longest > layout.MAX_KEY_BYTES:
        over = longest - layout.MAX_KEY_BYTES
        message = f"the file's name is {over} bytes too long for the names of its answer; give it a shorter one"
        raise PermanentError(message, reason="name_too_long")


def _pinned(store: Store, event: StorageEvent, info: ObjectInfo | None, settings: BatchSettings) -> BatchPlan:
    """The plan that the first delivery made. Raises BatchRefused and what a damaged run raises."""
    key = layout.batch_folder(event.name, event.generation) + layout.PLAN
    found = _read(store, key)
    if found is None:
        if info is None or info.generation != event.generation:
            raise gone()
        made = plan(store, info, settings)
        try:
            store.write(key, encode(made), if_generation=CREATE_ONLY, content_type=JSON)
            return made
        except PreconditionFailed:
            found = _read(store, key)
    if found is None or found.input.name != event.name:
        raise BatchRefused("name_taken", ["another file of this name and generation has an answer; rename this one"])
    return found


def _read(store: Store, key: str) -> BatchPlan | None:
    try:
        return read_document(store, key, BatchPlan)
    except ObjectMissing:
        return None
