"""An event that was given up too often is decided: coming again it would be given up again, for a day.

Each time leaves a note beside the candidate, so that another instance, or the next one after a restart, counts on.
"""

from functions.validate.promotion import Clock
from shared import layout
from shared.codec import encode
from shared.decisions import GivenUp
from shared.errors import PreconditionFailed
from shared.store import CREATE_ONLY, Store

ATTEMPTS = 3


def give_up(store: Store, run_id: str, reason: str, clock: Clock) -> bool:
    """Note that the process of a candidate was ended; whether that was the last attempt."""
    note = encode(GivenUp(given_up_at=clock(), reason=reason))
    for attempt in range(1, ATTEMPTS):
        try:
            store.write(
                layout.given_up(run_id, attempt), note, if_generation=CREATE_ONLY, content_type="application/json"
            )
        except PreconditionFailed:
            continue
        return False
    return True
