"""How a request to promote stands against what a stage serves: one decision for markers and candidates, and pure."""

from dataclasses import dataclass
from typing import Literal

from shared import layout
from shared.decisions import Pointer
from shared.errors import IntegrityError
from shared.layout import Stage

Standing = Literal["promoted", "confirmed", "unchanged", "superseded", "older_marker"]
"""promoted: it may take over. confirmed: the run serves already, and the newer marker is noted. unchanged: it was acted
on before. superseded: a newer run serves. older_marker: a newer marker was acted on."""


@dataclass(frozen=True)
class Asked:
    """Who is to serve a stage. `marker` is the generation of the promotion marker, for production."""

    stage: Stage
    run_id: str
    manifest_sha256: str
    marker: int | None = None


def standing(asked: Asked, pointer: Pointer | None, newest: Pointer | None) -> Standing:
    """Decide by the pointer of now and, where that is gone, the newest entry of the history.

    Raises IntegrityError where the pointer names the run with another manifest.
    """
    if asked.stage == "production":
        of_marker = marker_standing(asked.marker, pointer, newest)
        if of_marker != "newer":
            return of_marker
    elif pointer is not None and pointer.run_id > asked.run_id:
        return "superseded"
    if pointer is None or pointer.run_id != asked.run_id:
        return "promoted"
    if pointer.manifest_sha256 != asked.manifest_sha256:
        raise IntegrityError(
            f"{layout.pointer(asked.stage)} names {asked.run_id} with another manifest; a run never changes"
        )
    return "confirmed" if asked.stage == "production" else "unchanged"


def marker_standing(
    marker: int | None, pointer: Pointer | None, newest: Pointer | None
) -> Literal["older_marker", "unchanged", "newer"]:
    """Compare a marker's generation with that of the last marker acted on."""
    served = pointer or newest
    last = (served.marker_generation if served else None) or 0
    if marker is None or marker < last:
        return "older_marker"
    return "unchanged" if pointer is not None and marker == last else "newer"
