"""One run per fingerprint of data, spec and code: a create-only object that its run keeps alive and marks as done.

A second call while the run lives is told so; a run that falls silent loses its lease to the next call.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from shared import layout, logs
from shared.errors import ObjectMissing, PreconditionFailed, TransientError
from shared.manifest import Document, decode, encode, utc_now
from shared.store import CREATE_ONLY, Store

JSON = "application/json"


class Record(Document, frozen=True, kw_only=True):
    """`owner`: the run. `completed`: it has published its manifest."""

    owner: str
    started_at: datetime
    expires_at: datetime
    completed: bool = False


@dataclass(frozen=True)
class Taken:
    """The fingerprint belongs to a run already: under way, or done."""

    owner: str
    completed: bool


class LeaseLost(TransientError):
    """Another call took this run for dead and took over; what this one has must not be published."""


def fingerprint(*parts: bytes) -> str:
    """SHA-256 over the parts, each with its length, so that no two sequences of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class Lease:
    """A lease in hand. `require` before anything that another owner must not see twice."""

    def __init__(self, store: Store, key: str, record: Record, generation: int, seconds: int) -> None:
        self._store = store
        self._key = key
        self._record = record
        self._generation = generation
        self._seconds = seconds
        self._lock = threading.Lock()
        self._lost = False

    def require(self) -> None:
        """Raises LeaseLost."""
        if self._lost:
            raise LeaseLost(f"the lease of {self._record.owner} was taken over")

    def complete(self) -> None:
        """The run has published: the same inputs again change nothing."""
        self._write(completed=True)

    def release(self) -> None:
        """The run has failed: the next call may try at once."""
        self._write(expires_at=utc_now())

    def renew(self) -> None:
        """Still alive. A storage fault is left to the next renewal."""
        try:
            self._write(expires_at=utc_now() + timedelta(seconds=self._seconds))
        except TransientError as error:
            logs.warning(f"the lease was not renewed: {error}", run_id=self._record.owner)

    def _write(self, **changes: object) -> None:
        with self._lock:
            if self._lost:
                return
            self._record = msgspec.structs.replace(self._record, **changes)
            try:
                info = self._store.write(
                    self._key, encode(self._record), if_generation=self._generation, content_type=JSON
                )
                self._generation = info.generation
            except PreconditionFailed:
                self._adopt_or_lose()

    def _adopt_or_lose(self) -> None:
        """A write whose answer was lost finds its own record there; anything else is another owner's."""
        try:
            present = self._store.read(self._key)
        except ObjectMissing:
            self._lost = True
            return
        self._lost = present.data != encode(self._record)
        self._generation = present.generation


def acquire(store: Store, key: str, owner: str, seconds: int, *, force: bool) -> Lease | Taken:
    """The lease, or whose it is. `force` trains again what is done, but never beside a run under way."""
    name = layout.lease(key)
    now = utc_now()
    record = Record(owner=owner, started_at=now, expires_at=now + timedelta(seconds=seconds))
    while True:
        generation = CREATE_ONLY
        try:
            present = store.read(name)
            other = decode(present.data, Record, name)
            if other.completed and not force and _published(store, other.owner):
                return Taken(other.owner, completed=True)
            if not other.completed and other.expires_at > utc_now():
                return Taken(other.owner, completed=False)
            generation = present.generation
        except ObjectMissing:
            pass
        try:
            info = store.write(name, encode(record), if_generation=generation, content_type=JSON)
        except PreconditionFailed:
            continue
        return Lease(store, name, record, info.generation, seconds)


@contextmanager
def kept_alive(lease: Lease, seconds: float) -> Iterator[None]:
    """Renew `lease` every third of `seconds` while the body runs."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 3):
            lease.renew()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _published(store: Store, run_id: str) -> bool:
    return store.stat(layout.candidate(run_id, layout.MANIFEST)) is not None
