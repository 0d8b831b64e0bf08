"""A file of labels comes: its rows are scored by the runs that served, the ledger grows, and the promise is judged.

Every step can be repeated: the ledger's file is written once for each generation of the file of labels, and what
follows from the whole ledger is the same for the same ledger.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from functions.watch.alarms import Listeners, raise_alarm
from functions.watch.attribution import ServingSpan, run_at, served
from functions.watch.challenger import judge_quality
from functions.watch.counts import cells_of
from functions.watch.daily import past_looks
from functions.watch.labels import MAX_LABEL_BYTES, TOO_LARGE, Labelled, read_labels
from functions.watch.ledger import Ledger, as_parquet, combined, is_ledger_file, rows_in
from functions.watch.likeness import likeness
from functions.watch.look import day_before
from functions.watch.page import refresh_page
from functions.watch.performance import Bets, bets, judge
from functions.watch.replay import Runs, known_runs, load_run, replay_all
from shared import layout, logs
from shared.codec import encode
from shared.decisions import Pointer
from shared.documents import SCHEMA_VERSION, Document
from shared.errors import (
    IntegrityError,
    InvalidDataset,
    ObjectMissing,
    ObjectTooLarge,
    PermanentError,
    PipelineError,
    PreconditionFailed,
    TransientError,
)
from shared.events import StorageEvent
from shared.layout import Stage
from shared.media_types import JSON, PARQUET
from shared.monitoring import NOTHING_SERVES, Alarm, LabelRejection, Likeness, Performance
from shared.run_files import staged_manifest
from shared.serving.loaded_model import VerifiedRun
from shared.store import CREATE_ONLY, Store
from shared.stored import read_to_replace
from shared.tables.cells import in_lines

ATTEMPTS = 8
Found = TypeVar("Found", bound=Document)


class NothingServes(InvalidDataset):
    """Labels came before there was anything to compare them with: training may learn from the file all the same."""

    reason = NOTHING_SERVES

    def __init__(self) -> None:
        super().__init__(
            ["no run has served here yet, so that there is nothing to compare labels with; promote one first"]
        )


class LabelsGone(PipelineError):
    """The file of the event is not there any more."""


class LedgerFiles:
    """The files of the ledger, each read once: none of them ever changes."""

    def __init__(self) -> None:
        self._read: dict[str, bytes | None] = {}

    def now(self, store: Store) -> list[bytes]:
        """All that there are; only those that came since are read."""
        keys = [info.name for info in store.list(layout.LEDGER)]
        self._read |= {key: _ledger_file(store, key) for key in keys if key not in self._read}
        return [data for key in keys if (data := self._read[key]) is not None]


def take_labels(store: Store, event: StorageEvent, arrived: datetime, listeners: Listeners) -> Performance | None:
    """Take in the file of the event; None where it was refused, with the reasons beside it, or replaced meanwhile.

    Raises TransientError.
    """
    try:
        runs, files = known_runs(store), LedgerFiles()
        if not _in_ledger(store, event.generation):
            _enter(store, event, runs, arrived, files)
    except LabelsGone:
        logs.info("the file was replaced or removed; what is there now has an event of its own", reason="label_gone")
        return None
    except ObjectMissing as error:
        _reject(store, event, IntegrityError(f"a file of the run that serves is gone: {error}"), arrived)
        return None
    except PermanentError as error:
        _reject(store, event, error, arrived)
        return None
    except MemoryError:
        _reject(store, event, InvalidDataset([TOO_LARGE]), arrived)
        return None
    return update(store, runs, arrived, listeners, files)


def update(store: Store, runs: Runs, now: datetime, listeners: Listeners, files: LedgerFiles) -> Performance:
    """Judge every run that serves, or answered labelled rows, by the whole ledger."""
    ledger = combined(files.now(store))
    wanted = _wanted(runs, [str(run) for run in set(ledger.runs.tolist()) if run])
    loaded = {run_id: run for run_id, pointer in wanted.items() if (run := load_run(store, pointer)) is not None}
    held = {run_id: bets(ledger, run) for run_id, run in loaded.items() if run_id in ledger.residuals}
    pointer = runs.current.get(runs.stage)
    serving = loaded.get(pointer.run_id) if pointer else None
    alike = _likeness(store, runs.stage, serving, ledger, now) if serving else None
    performance = judge(ledger, loaded, held, now, pointer.run_id if pointer else None, alike)
    _write_newest(store, performance, now)
    judge_quality(store, ledger, {run_id: run.manifest for run_id, run in loaded.items()}, now)
    alarmed: set[str] = set()
    for stage, pointer in sorted(runs.current.items()):  # a run in both stages alarms as production's
        if pointer.run_id in held and pointer.run_id not in alarmed:
            alarmed.add(pointer.run_id)
            _raise_alarms(store, stage, pointer.run_id, held[pointer.run_id], listeners)
    for stage, pointer in runs.current.items():
        refresh_page(store, stage, pointer.run_id, now)
    return performance


def _likeness(store: Store, stage: Stage, serving: VerifiedRun, ledger: Ledger, now: datetime) -> Likeness | None:
    """Whether labelled rows look like those that the run was asked, by the looks of the last weeks."""
    run_id = serving.manifest.run_id
    looks = past_looks(store, stage, run_id, day_before(layout.day(now), -1))
    return likeness(run_id, cells_of(serving.manifest, serving.profile), ledger.counted.get(run_id, {}), looks)


# ---- the ledger -----------------------------------------------------------------------------------------------------


def _ledger_file(store: Store, key: str) -> bytes | None:
    """None for what is gone by now, or is no file of the ledger: the labels of the others go on."""
    try:
        data = store.read(key, max_bytes=MAX_LABEL_BYTES).data
    except ObjectMissing:
        return None
    except ObjectTooLarge:
        data = b""
    if is_ledger_file(data):
        return data
    logs.error(f"{key} is no file of the ledger: move it away, and drop its labels once more", reason="integrity")
    return None


def _in_ledger(store: Store, generation: int) -> bool:
    return any(info.name == layout.ledger(generation) for info in store.list(layout.ledger(generation)))


def _enter(store: Store, event: StorageEvent, runs: Runs, arrived: datetime, files: LedgerFiles) -> None:
    pointer = runs.current.get(runs.stage) or (runs.history[-1] if runs.history else None)
    if pointer is None:
        raise NothingServes
    manifest, _ = staged_manifest(store, pointer.stage, pointer.run_id, pointer.manifest_sha256)
    try:
        data = store.read(event.name, event.generation, max_bytes=MAX_LABEL_BYTES).data
    except ObjectMissing as error:
        raise LabelsGone(str(error)) from None
    except ObjectTooLarge:
        limit = f"{MAX_LABEL_BYTES // 2**20} MB"
        raise InvalidDataset(
            [f"the file is larger than {limit}; divide it: each row counts once, whatever the file"]
        ) from None
    labelled = read_labels(data, event.name, manifest, arrived, runs.pointers)
    answered = _answered_by(labelled, served(runs.history), pointer.run_id)
    wanted = _wanted(runs, [run for run in set(answered) if run])
    known = rows_in(files.now(store))
    new = np.array([row not in known for row in labelled.hashes], dtype=bool)
    replays, notes = replay_all(store, wanted, labelled, new)
    _require_answers(labelled, pointer.run_id, replays, notes)
    said = {"name": event.name, "generation": event.generation, "unlabelled": labelled.unlabelled, "notes": notes}
    file = as_parquet(labelled, answered, replays, arrived, said)
    try:
        store.write(layout.ledger(event.generation), file, if_generation=CREATE_ONLY, content_type=PARQUET)
    except PreconditionFailed:
        return  # another delivery was quicker
    logs.info(
        f"{len(labelled)} labelled rows taken in, scored by {len(replays)} run(s)",
        reason="labels",
        rows=len(labelled),
        unlabelled=labelled.unlabelled,
        unattributed=sum(run is None for run in answered),
    )


def _answered_by(labelled: Labelled, history: Sequence[ServingSpan], serving: str) -> list[str | None]:
    """Who answered each row. Raises InvalidDataset for moments before anything served."""
    early = [
        line
        for line, moment, run in zip(labelled.lines, labelled.served_at, labelled.run_ids, strict=True)
        if run is None and moment is not None and (not history or moment < history[0].since)
    ]
    if early:
        raise InvalidDataset([f"served_at lies before anything served here in {in_lines(sorted(early))}"])
    return [
        run or (serving if moment is None else run_at(history, moment))
        for moment, run in zip(labelled.served_at, labelled.run_ids, strict=True)
    ]


def _wanted(runs: Runs, answered: Sequence[str]) -> dict[str, Pointer]:
    """The runs to ask: those that serve, the newest, and those that answered."""
    serving = (pointer.run_id for pointer in runs.current.values())
    wanted = [*serving, *runs.newest, *([runs.tried] if runs.tried else [])]
    return {run_id: runs.pointers[run_id] for run_id in dict.fromkeys([*wanted, *answered]) if run_id in runs.pointers}


def _require_answers(labelled: Labelled, serving: str, replays: Mapping[str, object], notes: Sequence[str]) -> None:
    """Raises InvalidDataset where the run that serves can answer no row of the file."""
    found = replays.get(serving)
    if found is None:
        raise InvalidDataset([note for note in notes if serving in note] or [f"run {serving} cannot be asked"])
    if getattr(found, "refused", 0) == len(labelled):
        raise InvalidDataset(
            [f"run {serving}, which serves, refuses every row: see its /schema for what a row must hold"]
        )


def _reject(store: Store, event: StorageEvent, error: PermanentError, now: datetime) -> None:
    """Leave the reasons beside the file, unless those of a newer one are there. Raises TransientError."""
    problems = error.problems if isinstance(error, InvalidDataset) else (str(error),)
    rejection = LabelRejection(
        schema_version=SCHEMA_VERSION,
        rejected_at=now,
        name=event.name,
        generation=event.generation,
        reason=error.reason,
        problems=problems[:100],
    )
    # where nothing serves yet there is nothing for a person to mend, and nobody is to be woken
    log = logs.warning if isinstance(error, NothingServes) else logs.error
    log(f"a file of labels was refused: {'; '.join(problems)[:2000]}", reason="labels_refused", name=event.name)
    key = layout.label_rejection(event.name)
    _replace(store, key, LabelRejection, rejection, lambda present: present.generation >= event.generation)


def _replace(store: Store, key: str, kind: type[Found], document: Found, stays: Callable[[Found], bool]) -> None:
    """Put `document` at `key` unless what is there `stays`; what does not parse never does. Raises TransientError."""
    for _ in range(ATTEMPTS):
        generation, present = read_to_replace(store, key, kind)
        if present is not None and stays(present):
            return
        try:
            store.write(key, encode(document), if_generation=generation, content_type=JSON)
        except PreconditionFailed:
            continue
        return
    raise TransientError(f"{key} was replaced {ATTEMPTS} times by others; the next delivery tries again")


# ---- what follows from it -------------------------------------------------------------------------------------------


def _write_newest(store: Store, performance: Performance, now: datetime) -> None:
    """Replace the day's performance, unless that of more files is there. Raises TransientError."""
    key = layout.performance(layout.day(now))
    _replace(store, key, Performance, performance, lambda present: present.files > performance.files)


def _raise_alarms(store: Store, stage: Stage, run_id: str, held: Bets, listeners: Listeners) -> None:
    """One alarm for each bet that was won against the run, at the moment at which the deciding label came."""
    for stream, (bet, arrived) in held.items():
        if bet.alarm is None:
            continue
        moment = datetime.fromtimestamp(float(arrived[bet.alarm]), UTC)
        said = {
            "bias": "predictions are too high or too low by more than training promised",
            "spread": "errors are larger than training promised",
        }[stream]
        alarm = Alarm(
            schema_version=SCHEMA_VERSION,
            kind="performance",
            stage=stage,
            subject=stream,
            run_id=run_id,
            raised_at=moment,
            message=f"labels say of run {run_id}: {said} (after {bet.alarm + 1} labels)",
            figures={"labels": bet.alarm + 1, "wealth": bet.wealth},
        )
        raise_alarm(store, layout.alarm(stage, moment, "performance", f"{stream}-{run_id}"), alarm, listeners)
