"""Documents as the bucket holds them: read within the size that their kind may have, whoever put them there.

A document costs memory many times its size to parse, and a `current.json` of 600 MB would end the process that reads
it. So every kind has a limit, far above what this system writes, and beyond it no more is read: such an object is no
document of its kind, and whoever passes over broken ones passes over it too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from shared.batches import BatchOutcome, BatchPlan, PartDone
from shared.codec import decode
from shared.decisions import Approval, Challenge, Decision, Rejection
from shared.documents import Document, Manifest
from shared.errors import InvalidDocument, ObjectMissing, ObjectTooLarge
from shared.monitoring import Course, LabelRejection, LiveBlock, Performance, WatchReport
from shared.store import CREATE_ONLY, Download, Store

MEBIBYTE = 2**20
OTHERS = 256 * 2**10
"""Pointers, leases and whatever else holds names and moments only."""

LIMITS: Mapping[type[Document], int] = MappingProxyType(
    {
        Approval: 16 * 2**10,
        BatchOutcome: 32 * MEBIBYTE,
        BatchPlan: 8 * MEBIBYTE,
        Challenge: 64 * 2**10,
        Course: 8 * MEBIBYTE,
        Decision: 8 * MEBIBYTE,
        LabelRejection: MEBIBYTE,
        LiveBlock: 4 * MEBIBYTE,
        Manifest: 8 * MEBIBYTE,
        PartDone: 32 * MEBIBYTE,
        Performance: 16 * MEBIBYTE,
        Rejection: MEBIBYTE,
        WatchReport: 16 * MEBIBYTE,
    }
)
"""Bytes of each kind of document that may be larger than `OTHERS`, or that has to be smaller."""

T = TypeVar("T", bound=Document)


def most_bytes(kind: type[Document]) -> int:
    """Bytes that a document of this kind has at the most."""
    return LIMITS.get(kind, OTHERS)


def read_bytes(store: Store, key: str, kind: type[Document], generation: int | None = None) -> Download:
    """What is at `key`, of a size that a `kind` may have.

    Raises ObjectMissing; InvalidDocument for a larger object, of which no more than that is read.
    """
    try:
        return store.read(key, generation, max_bytes=most_bytes(kind))
    except ObjectTooLarge as error:
        raise InvalidDocument(f"{error}: not a {kind.__name__}") from None


def read_document(store: Store, key: str, kind: type[T]) -> T:
    """The `kind` at `key`. Raises ObjectMissing; InvalidDocument where it does not parse or is too large to be one."""
    return decode(read_bytes(store, key, kind).data, kind, key)


def find_document(store: Store, key: str, kind: type[T]) -> T | None:
    """The `kind` at `key`; None where nothing is there, or nothing that is one: somebody else's, or broken."""
    try:
        return read_document(store, key, kind)
    except (ObjectMissing, InvalidDocument):
        return None


def read_to_replace(store: Store, key: str, kind: type[T]) -> tuple[int, T | None]:
    """The generation at `key`, CREATE_ONLY where nothing is there, and its document; None for one that does not parse.

    For a document that its writer replaces: what is no document is replaced too.
    """
    try:
        found = read_bytes(store, key, kind)
    except ObjectMissing:
        return CREATE_ONLY, None
    except InvalidDocument:
        info = store.stat(key)
        return (info.generation if info else CREATE_ONLY), None
    try:
        return found.generation, decode(found.data, kind, key)
    except InvalidDocument:
        return found.generation, None
