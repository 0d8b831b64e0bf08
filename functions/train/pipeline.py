"""The story of a training run: ingest → split → search → select → export → report → publish → track."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import msgspec
import numpy as np
import pandas as pd

from functions.train import CODE_VERSION
from functions.train.candidate.background import background_document
from functions.train.candidate.blending import Blending, with_blend
from functions.train.candidate.card import build_card
from functions.train.candidate.diagnosis import Served, diagnose
from functions.train.candidate.effects import winners_effects
from functions.train.candidate.enclosures import (
    answered,
    conformal_interval,
    golden_document,
    holdout_document,
    profile_document,
)
from functions.train.candidate.manifest import Origin, Winner, build_manifest
from functions.train.candidate.moved import compared, moved
from functions.train.candidate.report import report_document, report_json, report_page
from functions.train.candidate.selection import (
    Finish,
    Rows,
    describe_features,
    finish_all,
    select,
    unseen_categories,
)
from functions.train.candidate.spread import measure
from functions.train.candidate.trained import Trained
from functions.train.data.categories import many_valued
from functions.train.data.dependence import dependence
from functions.train.data.slices import require_slices
from functions.train.data.split import fold_parts, held_out
from functions.train.data.suspicions import suspicions
from functions.train.graph.export import is_additive
from functions.train.inputs import RunInputs, keep, read_inputs
from functions.train.lease import Taken, claim, forced_at
from functions.train.publish import publish
from functions.train.search.encodings import with_target_means
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.monotone import directions, held, left_out
from functions.train.search.progress import LogLines, Progress, Silence
from functions.train.search.search import SearchPlan, search
from functions.train.search.searched import reporting_seconds
from functions.train.search.time_left import Ahead
from functions.train.search.zoo import MODEL_ZOO, Algorithm, chosen
from functions.train.settings import SearchSettings, TrainSettings
from functions.train.tracking.record import tracked_run
from functions.train.tracking.trackers import Tracker
from shared import layout, logs
from shared.card_page import card_page
from shared.clock import utc_now
from shared.codec import decode, digest, encode, encode_gzip
from shared.dataset import DatasetSpec
from shared.deployment import of_another_table, staging_serves
from shared.documents import CodeInfo, DatasetInfo, Profile, TrainingInfo
from shared.errors import IntegrityError, InvalidDataset, InvalidDocument, ObjectMissing
from shared.run_files import promised, verified
from shared.store import Store
from shared.tables.reading import Table

SEARCH_SHARE = 0.8
"""The search takes this share of the time budget; the rest is for refitting, export and proof."""
FINISH_SHARE = 0.95
"""Algorithms are finished, the best first, until this share is used; the rest is for the report and publishing."""
SEARCH_LEAVES = (26.0, 0.4)
FINISH_LEAVES = (12.0, 0.2)
"""What they leave at least: so many seconds, which the report and the proofs take of any table, but no more than this
share of a budget that is shorter than that."""


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
        with _stage("publish", run_id):
            keep(store, settings.bucket, dataset, inputs)
            publish(store, trained.manifest, trained.files)
    selected = trained.selected
    summary = Summary(
        status="trained",
        run_id=run_id,
        algorithm=selected.result.name,
        cv_r2=selected.best.r2_mean,
        holdout_r2=selected.holdout.r2,
        seconds=time.monotonic() - began,
    )
    logs.info(f"trained {run_id}: {summary.algorithm}, CV R² {summary.cv_r2:.4f}", status="trained", run_id=run_id)
    with _stage("track", run_id):
        tracker.track(tracked_run(trained))
    return summary


def _served(store: Store) -> tuple[str, Profile] | None:
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
    before: tuple[str, Profile] | None = None,
) -> Trained:
    """Everything between reading and publishing; touches no storage. Raises InvalidDataset, NoSelectableModel.

    `before`: the run that staging serves and its profile, with which the rows are compared.
    """
    spec = inputs.spec
    zoo, seed = chosen(zoo, spec.algorithms), spec.split.seed
    began = time.monotonic()
    deadline, ends = (began + seconds for seconds in ends_after(settings.budget_seconds))
    with _stage("ingest", run_id):
        table = inputs.table(settings.memory_mib * 2**20)
        require_slices(table, spec)
    with _stage("split", run_id):
        training, holdout = split(table, spec)
        parts = fold_parts(table, spec)
        dependent = dependence(table, spec, seed)
        features = describe_features(table.columns, training, spec)
        asked = directions(table.columns, spec)
        ways = with_target_means(zoo, many_valued(table.columns, training.features))
        zoo, unable = held(ways, table.columns, asked)
    with settings.workers.pool(partial(load, zoo)) as pool:
        with _stage("search", run_id):
            folds = make_folds(
                training.features, training.target, table.columns, spec.tuning.folds, seed, parts, training.weights
            )
            plan = SearchPlan(spec.tuning, seed, pool, deadline, progress or Silence(), settings.full)
            searched = search(zoo, folds, plan)
        with _stage("select", run_id):
            kept = folds[: len(folds) - searched[0].skipped]
            finish = Finish(table.columns, features, training, holdout, seed, ends, asked)
            blending = Blending(kept, plan, finish)
            results = with_blend(finish_all(searched, finish, pool), blending, spec.algorithms)
            selected = select(results, features)
            outside = blending.in_time(selected.result)
            told = np.flatnonzero(np.isfinite(outside))
            residuals = training.target[told] - outside[told]
            widths = measure(outside[told], residuals, training.features.iloc[told], features)
        plan.progress.expect(Ahead(finishing=reporting_seconds(selected.result.searched.algorithm)))
        with _stage("explain", run_id):
            background = background_document(
                training, additive=is_additive(selected.result.searched.algorithm.make(seed)), seed=seed
            )
            effects = winners_effects(selected, finish, background, spec.target_range, kept, pool)
    with _stage("report", run_id):
        winner = Winner(features, selected, conformal_interval(residuals))
        profile = profile_document(
            features, training, residuals, answered(selected.model, holdout, spec.target_range), seed, widths.spread
        )
        served = Served(winner.interval, spec.target_range, spec.assessment, profile)
        findings = diagnose(selected.model, features, holdout, served, seed, slices=spec.slices.by)
        findings["coverage"]["rule"] = widths.figures
        since = compared(before[1], before[0], features, training) if before else None
        warnings = (
            *inputs.notes,
            *table.warnings,
            *suspicions(table, seed),
            *dependent,
            *unseen_categories(features, holdout),
            *left_out(unable, asked),
            *(moved(since) if since else ()),
        )
        report = report_document(
            run_id,
            results,
            selected,
            warnings,
            winner.interval,
            findings,
            spec.tuning.scoring,
            target=spec.target,
            weight=None if training.weights is None else spec.weight,
            effects=effects,
            before=since,
        )
        code = CodeInfo(version=CODE_VERSION, git_sha=settings.git_sha, digest=inputs.code)
        origin = Origin(run_id, _dataset(inputs, table, holdout), code, _training(inputs, settings))
        card = build_card(origin, spec, selected, features, report, table.dropped)
        golden = golden_document(selected.model, features, training)
        files = {
            layout.MODEL: selected.graph,
            layout.HOLDOUT: encode_gzip(holdout_document(features, holdout, seed)),
            layout.GOLDEN: encode(golden),
            layout.PROFILE: encode(profile),
            layout.BACKGROUND: encode(background),
            layout.REPORT: report_json(report),
            layout.REPORT_PAGE: report_page(report),
            layout.CARD: encode(card),
            layout.CARD_PAGE: card_page(card),
        }
    manifest = build_manifest(origin, spec, table, winner, files)
    return Trained(manifest, files, golden, results, selected, warnings)


def ends_after(budget: float) -> tuple[float, float]:
    """The seconds of a budget after which the search ends, and after which nothing more is finished."""
    search, finish = (
        (share, *leaves) for share, leaves in ((SEARCH_SHARE, SEARCH_LEAVES), (FINISH_SHARE, FINISH_LEAVES))
    )
    after = [min(share * budget, budget - min(seconds, most * budget)) for share, seconds, most in (search, finish)]
    return after[0], after[1]


def _require_same_table(store: Store, spec: DatasetSpec) -> None:
    """Before an hour is spent: the gate would refuse a model of another table than the one that staging serves."""
    served = staging_serves(store)
    problem = of_another_table(spec.name, spec.gate, served) if served else ""
    if problem:
        raise InvalidDataset([problem])


def split(table: Table, spec: DatasetSpec) -> tuple[Rows, Rows]:
    """The rows to train on and those held out. Raises InvalidDataset where either would be empty."""
    out = held_out(table, spec.split.holdout, spec.split.seed)
    target = table.target.to_numpy(dtype=np.float64)
    if not out.any() or out.all():
        raise InvalidDataset(["the rows are so alike that none, or all, would be held out: add rows that differ"])
    rows = Rows(table.features, target, table.others, table.weights)
    return replace(rows.at(~out), others=pd.DataFrame()), rows.at(out)


def _dataset(inputs: RunInputs, table: Table, holdout: Rows) -> DatasetInfo:
    return DatasetInfo(
        name=inputs.spec.name,
        uri=inputs.source_uri,
        generation=inputs.source.generation,
        sha256=digest(inputs.source.data).sha256,
        rows=len(table.target),
        holdout_rows=len(holdout.target),
    )


def _training(inputs: RunInputs, settings: SearchSettings) -> TrainingInfo:
    return TrainingInfo(
        spec=msgspec.to_builtins(inputs.spec),
        spec_sha256=digest(inputs.spec_object.data).sha256,
        budget_seconds=settings.budget_seconds,
        jobs=settings.jobs,
        backend=settings.backend,
        full=settings.full,
    )


@contextmanager
def _stage(name: str, run_id: str) -> Iterator[None]:
    """Log at the end of a stage how many seconds it took."""
    began = time.monotonic()
    yield
    seconds = round(time.monotonic() - began, 2)
    logs.info(f"{name} {seconds:.1f} s", stage=name, run_id=run_id, seconds=seconds)
