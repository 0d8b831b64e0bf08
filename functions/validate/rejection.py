"""Why the last marker was refused, beside it in the bucket, for the person who wrote it."""

from functions.validate.promotion import ATTEMPTS
from shared.codec import decode, encode
from shared.documents import Rejection
from shared.errors import InvalidDocument, ObjectMissing, ObjectTooLarge, PreconditionFailed, TransientError
from shared.pointers import JSON
from shared.store import CREATE_ONLY, Store

MAX_REJECTION_BYTES = 2**20


def keep_newest(store: Store, key: str, rejection: Rejection) -> bool:
    """Replace the refusal that is there, unless it is of a newer marker; whether it says anything that an older one
    did not: a marker that was merely written again is refused again, for the same reasons. Raises TransientError.

    The write names the generation that it replaces: one that arrives late replaces nothing.
    """
    for _ in range(ATTEMPTS):
        generation, present = _last_rejection(store, key)
        if present == rejection or (present and present.marker_generation > rejection.marker_generation):
            return True
        try:
            store.write(key, encode(rejection), if_generation=generation, content_type=JSON)
            return present is None or (present.reason, present.problems) != (rejection.reason, rejection.problems)
        except PreconditionFailed:
            continue
    raise TransientError(f"{key} was replaced {ATTEMPTS} times by others; the next delivery tries again")


def _last_rejection(store: Store, key: str) -> tuple[int, Rejection | None]:
    """Its generation and value; one that does not parse counts as none, and is replaced."""
    try:
        found = store.read(key, max_bytes=MAX_REJECTION_BYTES)
    except ObjectMissing:
        return CREATE_ONLY, None
    except ObjectTooLarge:
        info = store.stat(key)
        return (info.generation if info else CREATE_ONLY), None
    try:
        return found.generation, decode(found.data, Rejection, key)
    except InvalidDocument:
        return found.generation, None
