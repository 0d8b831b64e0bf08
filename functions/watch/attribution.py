"""Which run answered a labelled row: the one that it names, or what served at its moment.

Pure. Instances follow their pointer within 15 s, and wait up to 60 s where a look fails: rows so near to a swap belong
to nobody for sure.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.decisions import Pointer

NEAR_A_SWAP = timedelta(seconds=60)


@dataclass(frozen=True)
class ServingSpan:
    """The run that served from `since` on."""

    since: datetime
    run_id: str


def served(pointers: Sequence[Pointer]) -> tuple[ServingSpan, ...]:
    """The runs that served, oldest first; a pointer that names the run before it is no swap."""
    found: list[ServingSpan] = []
    for pointer in sorted(pointers, key=lambda entry: entry.promoted_at):
        if not found or found[-1].run_id != pointer.run_id:
            found.append(ServingSpan(pointer.promoted_at, pointer.run_id))
    return tuple(found)


def run_at(history: Sequence[ServingSpan], moment: datetime) -> str | None:
    """The run that answered at `moment`; None near a swap, and before anything served."""
    place = bisect_right([entry.since for entry in history], moment) - 1
    if place < 0:
        return None
    swaps = [entry.since for entry in history[max(place, 1) : place + 2]]
    return None if any(abs(moment - swap) <= NEAR_A_SWAP for swap in swaps) else history[place].run_id
