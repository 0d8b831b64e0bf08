"""Why the last marker was refused, beside it in the bucket, for the person who wrote it."""

from functions.validate.promotion import ATTEMPTS
from shared.codec import encode
from shared.decisions import Rejection
from shared.errors import PreconditionFailed, TransientError
from shared.media_types import JSON
from shared.store import Store
from shared.stored import most_bytes, read_to_replace

MAX_REJECTION_BYTES = most_bytes(Rejection)


def keep_newest(store: Store, key: str, rejection: Rejection) -> bool:
    """Replace the refusal that is there, unless it is of a newer marker; whether it says anything that an older one
    did not: a marker that was merely written again is refused again, for the same reasons. Raises TransientError.

    The write names the generation that it replaces: one that arrives late replaces nothing.
    """
    for _ in range(ATTEMPTS):
        generation, present = read_to_replace(store, key, Rejection)
        if present == rejection or (present and present.marker_generation > rejection.marker_generation):
            return True
        try:
            store.write(key, encode(rejection), if_generation=generation, content_type=JSON)
            return present is None or (present.reason, present.problems) != (rejection.reason, rejection.problems)
        except PreconditionFailed:
            continue
    raise TransientError(f"{key} was replaced {ATTEMPTS} times by others; the next delivery tries again")
