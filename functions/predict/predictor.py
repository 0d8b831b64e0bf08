"""From the stage's pointer to a verified model in hand, and to the next one while the first still serves.

A model is verified before it is constructed: pointer → manifest digest → digests of the files that serving loads →
golden rows reproduced. The model in hand is one reference: a request sees the old one or the new one, never a mixture.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from functions.predict.assessment import Assessor, Outcome
from functions.predict.schema import Inputs, RequestSchema
from shared import layout, logs
from shared.errors import IntegrityError, ObjectMissing, PermanentError, TransientError
from shared.layout import Stage
from shared.manifest import Golden, Manifest, Pointer, Profile, decode, digest, utc_now
from shared.model_runtime import Model, require_golden
from shared.store import Store

SERVED = (layout.MODEL, layout.GOLDEN, layout.PROFILE)
"""The files of a run that serving loads, and so verifies."""

FIRST_MODEL_WAIT = 10.0
"""Seconds that a request waits for the first model before it is told to come back."""

LONGEST_BACK_OFF = 60.0


class NothingPromoted(ObjectMissing):
    """The stage has no pointer: expected before the first promotion."""


@dataclass(frozen=True)
class LoadedModel:
    """A verified model with everything that its answers need."""

    pointer: Pointer
    pointer_generation: int
    manifest: Manifest
    model: Model
    schema: RequestSchema
    assessor: Assessor

    def outcomes(self, inputs: Inputs) -> list[Outcome]:
        """One outcome per row of `inputs`."""
        if not inputs.rows:
            return []
        predictions: list[float] = self.model.run(inputs.numeric, inputs.categorical).tolist()
        return [self.assessor.assess(prediction) for prediction in predictions]


@dataclass(frozen=True)
class Refresh:
    """What the looks at the pointer have found. `failure` is the last look's, None where it succeeded."""

    looked_at: datetime | None = None
    succeeded_at: datetime | None = None
    failure: str | None = None
    detail: str | None = None
    failures: int = 0


def load(store: Store, stage: Stage, current: LoadedModel | None = None) -> LoadedModel:
    """What the stage's pointer names, verified; `current` itself where the pointer has not moved.

    Raises NothingPromoted, ObjectMissing, IntegrityError, InvalidDocument, StorageUnavailable.
    """
    where = layout.pointer(stage)
    try:
        download = store.read(where)
    except ObjectMissing as error:
        raise NothingPromoted(str(error)) from error
    if current is not None and current.pointer_generation == download.generation:
        return current
    pointer = decode(download.data, Pointer, where)
    if pointer.stage != stage:
        raise IntegrityError(f"{where} is a pointer of {pointer.stage!r}, expected one of {stage!r}")
    if current is not None and current.pointer.manifest_sha256 == pointer.manifest_sha256:
        return replace(current, pointer=pointer, pointer_generation=download.generation)
    return _verified(store, pointer, download.generation)


class Predictor:
    """Holds the model in hand and looks for the next one, one look at a time, in a thread of its own."""

    def __init__(
        self, store: Store, stage: Stage, refresh_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stage = stage
        self.refresh = Refresh()
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._current: LoadedModel | None = None
        self._due = -math.inf
        self._lock = threading.Lock()
        self._look: Future[None] | None = None
        self._reported: tuple[str, str] | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The model in hand, without a look."""
        return self._current

    async def model(self) -> LoadedModel | None:
        """The model in hand, at once; the first one is waited for. A look that is due starts in the background."""
        if self._current is not None:
            if self._clock() >= self._due:
                self.look()
            return self._current
        await asyncio.wait([asyncio.wrap_future(self.look())], timeout=FIRST_MODEL_WAIT)
        return self._current

    def look(self) -> "Future[None]":
        """Start a look at the pointer, unless one is under way; the future ends with it and never raises."""
        with self._lock:
            if self._look is None or self._look.done():
                self._due = math.inf
                self._look = Future()
                self._look.set_running_or_notify_cancel()  # so that no waiting request can cancel it
                threading.Thread(target=self._run, args=(self._look,), name="look", daemon=True).start()
            return self._look

    def _run(self, look: "Future[None]") -> None:
        try:
            found = load(self._store, self.stage, self._current)
        except Exception as error:  # noqa: BLE001 - whatever fails, the model in hand keeps serving
            self._failed(error)
        else:
            self._succeeded(found)
        finally:
            look.set_result(None)

    def _succeeded(self, found: LoadedModel) -> None:
        if found is not self._current:
            run_id, generation = found.manifest.run_id, found.pointer_generation
            logs.info("model loaded", stage=self.stage, run_id=run_id, generation=generation)
        elif self.refresh.failure:
            logs.info("the pointer can be followed again", stage=self.stage, run_id=found.manifest.run_id)
        now = utc_now()
        self._current = found
        self._reported = None
        self.refresh = Refresh(looked_at=now, succeeded_at=now)
        self._due = self._clock() + self._refresh_seconds

    def _failed(self, error: Exception) -> None:
        reason, detail = _reason(error), _detail(error)
        if self._reported != (reason, detail):
            self._reported = (reason, detail)
            self._report(error, reason)
        failures = self.refresh.failures + 1
        self.refresh = Refresh(utc_now(), self.refresh.succeeded_at, reason, detail, failures)
        self._due = self._clock() + self._back_off(failures)

    def _report(self, error: Exception, reason: str) -> None:
        if self._current is None and isinstance(error, NothingPromoted):
            logs.info("no model is promoted yet", stage=self.stage)
            return
        serving = self._current.manifest.run_id if self._current else None
        message = f"the pointer cannot be followed: {_logged(error)}"
        logs.error(message, reason=reason, stage=self.stage, serving=serving)

    def _back_off(self, failures: int) -> float:
        longest = max(self._refresh_seconds, LONGEST_BACK_OFF)
        return float(min(self._refresh_seconds * 2 ** min(failures, 16), longest))


def _verified(store: Store, pointer: Pointer, generation: int) -> LoadedModel:
    manifest = _manifest(store, pointer)
    files = {name: _file(store, pointer, manifest, name) for name in SERVED}
    model = Model(files[layout.MODEL], manifest.features)
    require_golden(model, decode(files[layout.GOLDEN], Golden, layout.GOLDEN))
    profile = decode(files[layout.PROFILE], Profile, layout.PROFILE)
    return LoadedModel(
        pointer=pointer,
        pointer_generation=generation,
        manifest=manifest,
        model=model,
        schema=RequestSchema(manifest),
        assessor=Assessor(manifest, profile),
    )


def _manifest(store: Store, pointer: Pointer) -> Manifest:
    where = layout.staged(pointer.stage, pointer.run_id, layout.MANIFEST)
    data = store.read(where).data
    found = digest(data).sha256
    if found != pointer.manifest_sha256:
        raise IntegrityError(f"{where} has the SHA-256 {found}, the pointer expects {pointer.manifest_sha256}")
    manifest = decode(data, Manifest, where)
    if manifest.run_id != pointer.run_id:
        raise IntegrityError(f"{where} is of run {manifest.run_id}, expected {pointer.run_id}")
    return manifest


def _file(store: Store, pointer: Pointer, manifest: Manifest, name: str) -> bytes:
    where = layout.staged(pointer.stage, pointer.run_id, name)
    promised = manifest.files.get(name)
    if promised is None:
        raise IntegrityError(f"the manifest of run {manifest.run_id} does not list {name}")
    data = store.read(where).data
    found = digest(data)
    if found != promised:
        raise IntegrityError(
            f"{where} has {found.size} bytes and the SHA-256 {found.sha256}, "
            f"the manifest promises {promised.size} and {promised.sha256}"
        )
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, PermanentError):
        return error.reason
    if isinstance(error, ObjectMissing):
        return "nothing_promoted" if isinstance(error, NothingPromoted) else "object_missing"
    return "storage_unavailable" if isinstance(error, TransientError) else "unexpected"


def _detail(error: Exception) -> str:
    """The failure in words that may be shown to anybody: names of objects, no addresses."""
    if isinstance(error, PermanentError):
        return str(error)
    if isinstance(error, NothingPromoted):
        return "the stage has no pointer"
    if isinstance(error, ObjectMissing):
        return "a file that the pointer leads to is missing"
    return "Cloud Storage does not answer" if isinstance(error, TransientError) else type(error).__name__


def _logged(error: Exception) -> str:
    known = isinstance(error, PermanentError | ObjectMissing | TransientError)
    return str(error) if known else type(error).__name__
