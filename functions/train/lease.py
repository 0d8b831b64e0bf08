"""One run per (data, spec, code): a create-only lease in the bucket, renewed while the run lives.

A scheduler's retry or a double delivery finds the run under way or its result. A run that dies stops renewing, and the
next call takes over after the expiry.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Literal

from shared import layout, logs
from shared.clock import utc_now
from shared.codec import encode
from shared.documents import Document
from shared.errors import (
    PipelineError,
    PreconditionFailed,
    TransientError,
)
from shared.media_types import JSON
from shared.store import Store
from shared.stored import find_document, read_to_replace

ATTEMPTS = 5
RENEWALS_PER_TERM = 3
FORCE_HOLDS = timedelta(days=1)
LONGEST_TERM = timedelta(hours=1)
"""No lease is given for longer (`LEASE_SECONDS`): one that expires later was written by a clock that was wrong, and
would keep everybody from training until then."""
AHEAD = timedelta(minutes=10)
"""The clock of whoever asks for a training may be ahead of ours by this much."""


class LeaseLost(TransientError):
    """Another call took the run over; nothing may be published any more."""


class Lease(Document, frozen=True, kw_only=True):
    """`owner` is the run's id, so that the lease of a finished run leads to its result. `progress`: how far it is."""

    owner: str
    started_at: datetime
    expires_at: datetime
    progress: str = ""


class Force(Document, frozen=True, kw_only=True):
    """Somebody wants the next call to train, whatever was trained on before: `make retrain FORCE=1` writes it."""

    asked_at: datetime


@dataclass(frozen=True)
class Taken:
    """The run need not be done: another one did it or is doing it."""

    status: Literal["unchanged", "in_progress"]
    run_id: str


def fingerprint(*parts: bytes) -> str:
    """SHA-256 over the parts, each with its length, so that no two sequences of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def forced_at(store: Store) -> datetime | None:
    """The moment before which finished runs do not count, where somebody asked for that within a day; else None.

    Raises TransientError.
    """
    force = find_document(store, layout.FORCE, Force)
    if force is None:
        return None
    asked_at = _zoned(force.asked_at)
    return asked_at if -AHEAD < utc_now() - asked_at < FORCE_HOLDS else None


def claim(
    store: Store,
    fingerprint: str,
    run_id: str,
    seconds: float,
    *,
    force: bool = False,
    forced_at: datetime | None = None,
) -> "Held | Taken":
    """The lease, or who has it. Raises TransientError.

    A finished run does not count with `force`, nor where it began before `forced_at`.
    """
    name = layout.lease(fingerprint)
    for _ in range(ATTEMPTS):
        generation, present = read_to_replace(store, name, Lease)
        if present is not None and present.owner != run_id:
            taken = _taken(store, present, force or (forced_at is not None and _zoned(present.started_at) < forced_at))
            if taken is not None:
                return taken
            logs.info("taking the lease over", stage="lease", run_id=run_id, previous=present.owner)
        try:
            return Held(store, name, run_id, seconds, generation)
        except PreconditionFailed:
            continue
    raise LeaseLost(f"{name} changed hands {ATTEMPTS} times while it was being claimed")


class Held:
    """A lease in hand: renewed by a thread until the `with` block ends, released where it ends with an error."""

    def __init__(self, store: Store, name: str, run_id: str, seconds: float, generation: int) -> None:
        """Write the lease over `generation`. Raises PreconditionFailed."""
        self.progress: Callable[[], str] = str
        """Asked at every renewal how far the run is."""
        self._store, self._name, self._run_id, self._seconds = store, name, run_id, seconds
        self._started_at = utc_now()
        self._generation = self._written(generation)
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Held":
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewer.join()
        if kind is not None:
            self._release()

    def require(self) -> None:
        """Raises LeaseLost where another call has taken over."""
        if self._lost.is_set():
            raise LeaseLost(f"another call took over {self._name}; this run publishes nothing")

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / RENEWALS_PER_TERM):
            try:
                self._generation = self._written(self._generation)
            except PreconditionFailed:
                generation, present = read_to_replace(self._store, self._name, Lease)
                if present is None or present.owner != self._run_id:
                    self._lost.set()
                    return
                self._generation = generation  # our own write, whose answer was lost
            except TransientError as error:
                logs.warning(f"the lease was not renewed: {type(error).__name__}", run_id=self._run_id)

    def _release(self) -> None:
        """Let it expire now. If it were deleted, its own first write, which is create-only, could bring it back."""
        try:
            self._written(self._generation, seconds=0.0)
        except PipelineError as error:  # it expires by itself
            logs.warning(f"the lease was not released: {type(error).__name__}", run_id=self._run_id)

    def _written(self, generation: int, seconds: float | None = None) -> int:
        """Write the lease over `generation`, to expire in `seconds` (by default a whole term); its new generation."""
        lease = Lease(
            owner=self._run_id,
            started_at=self._started_at,
            expires_at=utc_now() + timedelta(seconds=self._seconds if seconds is None else seconds),
            progress=self.progress(),
        )
        info = self._store.write(self._name, encode(lease), if_generation=generation, content_type=JSON)
        return info.generation


def _taken(store: Store, lease: Lease, force: bool) -> Taken | None:
    finished = layout.is_run_id(lease.owner) and store.stat(layout.candidate(lease.owner, layout.MANIFEST)) is not None
    if finished:
        return None if force else Taken("unchanged", lease.owner)
    left = _zoned(lease.expires_at) - utc_now()
    return Taken("in_progress", lease.owner) if timedelta() < left <= LONGEST_TERM + AHEAD else None


def _zoned(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
