"""What runs say of labelled rows: the predictions that were served, computed again from the run's own files.

A run never changes and history says what served when, so nothing needed to be kept of the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from functions.watch.counts import by_block, cells_of
from functions.watch.held_out import held_out
from functions.watch.labels import Labelled
from shared import challenges, layout, pointers
from shared.arrays import Vector
from shared.decisions import Pointer
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing
from shared.layout import Stage
from shared.problems import Refusal
from shared.serving.loaded_model import VerifiedRun, verified_run
from shared.serving.reading import ModelInput
from shared.serving.table_rows import read_table
from shared.serving.tally import Tally
from shared.store import Store

NEWEST = 3


@dataclass(frozen=True)
class Replay:
    """One run on the rows of a file: residuals target − predicted (n,), NaN where it refuses the row, and whether the
    interval held the target (n,). `refused`: how many rows it refuses. `held_out` (n,): on that side of its own split.
    `counted`: the rows that are new, by the cells of its profile, for each feature.
    """

    residuals: Vector
    covered: NDArray[np.bool_]
    refused: int
    held_out: NDArray[np.bool_]
    counted: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Runs:
    """Runs by their id, with where they serve now, and the challenger.

    `history` is that of the stage whose callers are asked about. `newest`: the last runs that the gate let into
    staging, whoever serves now: a shadow after the fact."""

    stage: Stage
    history: tuple[Pointer, ...]
    current: dict[Stage, Pointer]
    pointers: dict[str, Pointer]
    tried: str | None = None
    newest: tuple[str, ...] = ()


def known_runs(store: Store) -> Runs:
    """Every run that served. The callers who matter are production's, and staging's until there are some."""
    kept = {stage: tuple(entry.pointer for entry in pointers.history(store, stage)) for stage in layout.STAGES}
    stage: Stage = "production" if kept["production"] else "staging"
    current = {name: found.pointer for name in layout.STAGES if (found := pointers.read_current(store, name)).pointer}
    by_id = {pointer.run_id: pointer for name in layout.STAGES for pointer in kept[name]}
    challenge = challenges.read_current(store).challenge
    tried = challenge.run_id if challenge is not None and challenge.ended is None else None
    newest = tuple(sorted({pointer.run_id for pointer in kept["staging"]})[-NEWEST:])
    return Runs(stage, kept[stage], {name: p for name, p in current.items() if p}, by_id, tried, newest)


def load_run(store: Store, pointer: Pointer) -> VerifiedRun | None:
    """The run that a pointer names; None where its files are gone or damaged."""
    try:
        return verified_run(store, pointer.stage, pointer.run_id, pointer.manifest_sha256)
    except (ObjectMissing, IntegrityError, InvalidDocument):
        return None


def replay(run: VerifiedRun, labelled: Labelled, new: NDArray[np.bool_]) -> Replay:
    """The run on the rows, of which those that are `new` (n,) are counted. Raises Refusal where it has no use for the
    columns."""
    read = read_table(run.schema, labelled.table, each=True)
    residuals = np.full(len(labelled), np.nan)
    covered = np.zeros(len(labelled), dtype=bool)
    answered = np.array([place for place in range(len(labelled)) if place not in read.refused], dtype=np.intp)
    counted: Mapping[str, Sequence[float]] = {}
    if len(answered):
        found = run.assessor.assess_columns(run.model.run(read.numeric, read.categorical))
        targets = np.array(labelled.targets)[answered]
        residuals[answered] = targets - found.predictions
        covered[answered] = (targets >= found.lows) & (targets <= found.highs)
        counted = _counted(run, read, found.predictions, new[answered])
    return Replay(residuals, covered, len(read.refused), held_out(run.manifest, labelled), counted)


def _counted(
    run: VerifiedRun, read: ModelInput, predictions: Vector, new: NDArray[np.bool_]
) -> dict[str, Sequence[float]]:
    """The new rows by the cells of the run's profile, as serving counts live ones: rare categories among the others."""
    moment = datetime.now(UTC)
    tally = Tally(run, moment)
    rows = ModelInput(read.numeric[new], read.categorical[new], int(new.sum()))
    tally.add_input(rows, predictions[new].tolist())
    block = tally.take(moment, last=True)
    cells = cells_of(run.manifest, run.profile)
    return {name: by_block(name, entry, [block])[0].tolist() for name, entry in cells.items()}


def replay_all(
    store: Store, wanted: dict[str, Pointer], labelled: Labelled, new: NDArray[np.bool_]
) -> tuple[dict[str, Replay], list[str]]:
    """Every run that can be asked, by its id, and a sentence for each that cannot."""
    found, notes = {}, []
    for run_id, pointer in wanted.items():
        run = load_run(store, pointer)
        if run is None:
            notes.append(f"run {run_id} is gone or damaged, and was not asked")
            continue
        try:
            found[run_id] = replay(run, labelled, new)
        except Refusal as refusal:
            notes.append(f"run {run_id} has no use for these columns: {_in_words(refusal)}")
    return found, notes


def _in_words(refusal: Refusal) -> str:
    """The problems, each by the column that it is about."""
    return "; ".join(
        f"{problem.pointer.removeprefix('/')!r}: {problem.message}" if problem.pointer else problem.message
        for problem in refusal.problems
    )
