"""The story of a training run: ingest → split → search → select → export → report → publish → track."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from functions.train.candidate.trained import Trained
from functions.train.inputs import RunInputs, keep, read_inputs
from functions.train.lease import Taken, claim, forced_at
from functions.train.publish import publish
from functions.train.search.progress import LogLines, Progress, Silence
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import SearchSettings, TrainSettings
from functions.train.stages import Before, documents, find, prepare, stage
from functions.train.tracking.record import tracked_run
from functions.train.tracking.trackers import Tracker
from shared import layout, logs
from shared.clock import utc_now
from shared.codec import decode
from shared.dataset import DatasetSpec
from shared.deployment import of_another_table, staging_serves
from shared.errors import IntegrityError, InvalidDataset, InvalidDocument, ObjectMissing
from shared.profiles import Profile
from shared.run_files import promised, verified
from shared.store import Store


@dataclass(frozen=True)
class Summary:
    """What a call answers."""

    status: Literal["trained", "unchanged", "in_progress"]
    run_id: str
    algorithm: str | None = None
    cv_r2: float | None = None
    holdout_r2: float | None = None
    seconds: float | None = None


def run(
    store: Store,
    tracker: Tracker,
    settings: TrainSettings,
    dataset: str,
    *,
    force: bool,
    zoo: Sequence[Algorithm] = MODEL_ZOO,
) -> Summary:
    """Train on `dataset` (a gs:// address in the bucket), once per content.

    Raises InvalidDataset, NoSelectableModel, TransientError.
    """
    began = time.monotonic()
    inputs = read_inputs(store, settings.bucket, dataset, memory_bytes=settings.search.memory_mib * 2**20)
    _require_same_table(store, inputs.spec)
    run_id = layout.new_run_id(utc_now())
    lease = claim(store, inputs.fingerprint, run_id, settings.lease_seconds, force=force, forced_at=forced_at(store))
    if isinstance(lease, Taken):
        logs.info(f"{lease.status}: run {lease.run_id}", status=lease.status, run_id=lease.run_id)
        return Summary(lease.status, lease.run_id)
    lines = LogLines(run_id)
    lease.progress = lambda: lines.said
    with lease:
        trained = train(inputs, settings.search, run_id, zoo, lines, _served(store))
        lease.require()
        with stage("publish", run_id):
            keep(store, settings.bucket, dataset, inputs)
            publish(store, trained.manifest, trained.files)
    summary = _summary(run_id, trained, time.monotonic() - began)
    logs.info(f"trained {run_id}: {summary.algorithm}, CV R² {summary.cv_r2:.4f}", status="trained", run_id=run_id)
    with stage("track", run_id):
        tracker.track(tracked_run(trained))
    return summary


def _summary(run_id: str, trained: Trained, seconds: float) -> Summary:
    selected = trained.selected
    return Summary(
        status="trained",
        run_id=run_id,
        algorithm=selected.result.name,
        cv_r2=selected.best.r2_mean,
        holdout_r2=selected.holdout.r2,
        seconds=seconds,
    )


def _served(store: Store) -> Before | None:
    """The run that staging serves, and what it was trained on; None where there is none that can be read."""
    manifest = staging_serves(store)
    if manifest is None:
        return None
    key = layout.staged("staging", manifest.run_id, layout.PROFILE)
    try:
        return manifest.run_id, decode(verified(store, key, promised(manifest, layout.PROFILE)), Profile, key)
    except (ObjectMissing, IntegrityError, InvalidDocument):
        return None


def train(
    inputs: RunInputs,
    settings: SearchSettings,
    run_id: str,
    zoo: Sequence[Algorithm] = MODEL_ZOO,
    progress: Progress | None = None,
    before: Before | None = None,
) -> Trained:
    """Everything between reading and publishing; touches no storage. Raises InvalidDataset, NoSelectableModel.

    `before`: the run that staging serves and its profile, with which the rows are compared.
    """
    began = time.monotonic()
    material = prepare(inputs, settings, run_id, zoo)
    found = find(material, settings, run_id, progress or Silence(), began)
    with stage("report", run_id):
        return documents(inputs, settings, run_id, material, found, before)


def _require_same_table(store: Store, spec: DatasetSpec) -> None:
    """Raise InvalidDataset for another table than the one that staging serves: the gate would refuse its model, an hour
    later.
    """
    served = staging_serves(store)
    problem = of_another_table(spec.name, spec.gate, served) if served else ""
    if problem:
        raise InvalidDataset([problem])
