"""The stages of a training: what is searched on, what the search leads to, and what is published of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from functions.train import CODE_VERSION
from functions.train.candidate.background import background_document
from functions.train.candidate.blending import Blending, with_blend
from functions.train.candidate.card import build_card
from functions.train.candidate.diagnosis import AnswerRules, diagnose
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
from functions.train.candidate.selection import Finish, Result, Selected, finish_all, select
from functions.train.candidate.spread import MeasuredSpread, measure
from functions.train.candidate.trained import Trained
from functions.train.data.categories import many_valued
from functions.train.data.dependence import dependence
from functions.train.data.features import describe_features, unseen_categories
from functions.train.data.rows import Rows
from functions.train.data.slices import require_slices
from functions.train.data.split import Parts, fold_parts, held_out
from functions.train.data.suspicions import suspicions
from functions.train.graph.export import is_additive
from functions.train.inputs import RunInputs
from functions.train.search.encodings import with_target_means
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.monotone import directions, held, left_out
from functions.train.search.progress import Progress
from functions.train.search.search import SearchPlan, search
from functions.train.search.searched import reporting_seconds
from functions.train.search.time_left import Ahead
from functions.train.search.zoo import Algorithm, chosen
from functions.train.settings import SearchSettings
from shared import layout, logs
from shared.card import Card
from shared.card_page import card_page
from shared.codec import digest, encode, encode_gzip
from shared.dataset import DatasetSpec
from shared.documents import CodeInfo, DatasetInfo, Feature, TrainingInfo
from shared.errors import InvalidDataset
from shared.profiles import Background, Profile
from shared.tables.reading import Table

SEARCH_SHARE = 0.8
"""The search takes this share of the time budget; the rest is for refitting, export and proof."""
FINISH_SHARE = 0.95
"""Algorithms are finished, the best first, until this share is used; the rest is for the report and publishing."""
SEARCH_LEAVES = (22.0, 0.35)
FINISH_LEAVES = (9.0, 0.15)
"""What they leave at least: so many seconds, which the report and the proofs take of any table, but no more than this
share of a budget that is shorter than that."""
FIGURES_SHARE = 0.05
"""Shuffles and explanations may each take this share of a budget, where that is less than their own bound."""

Before = tuple[str, Profile]
"""The run that staging serves, and what it was trained on: the new rows are compared with it."""


@dataclass(frozen=True)
class Material:
    """What is searched on: the rows of both sides, their features, and the algorithms that may learn from them."""

    spec: DatasetSpec
    table: Table
    training: Rows
    holdout: Rows
    parts: Parts | None
    features: tuple[Feature, ...]
    zoo: Sequence[Algorithm]
    asked: Mapping[str, int]
    warnings: tuple[str, ...]


def prepare(inputs: RunInputs, settings: SearchSettings, run_id: str, zoo: Sequence[Algorithm]) -> Material:
    """Read, check and divide the table, and choose the algorithms that the spec allows. Raises InvalidDataset."""
    spec = inputs.spec
    zoo = chosen(zoo, spec.algorithms)
    with stage("ingest", run_id):
        table = inputs.table(settings.memory_mib * 2**20)
        require_slices(table, spec)
    with stage("split", run_id):
        training, holdout = split(table, spec)
        parts = fold_parts(table, spec)
        dependent = dependence(table, spec, spec.split.seed)
        features = describe_features(table.columns, training, spec)
        asked = directions(table.columns, spec)
        many = many_valued(table.columns, training.features)
        able, unable = held(with_target_means(zoo, many), table.columns, asked)
        warnings = (
            *inputs.notes,
            *table.warnings,
            *suspicions(table, spec.split.seed),
            *dependent,
            *unseen_categories(features, holdout),
            *left_out(unable, asked),
        )
    return Material(spec, table, training, holdout, parts, features, able, asked, warnings)


@dataclass(frozen=True)
class Found:
    """What the search led to. `residuals`: of rows (n,) that the winner's fits on the folds had not seen."""

    results: tuple[Result, ...]
    selected: Selected
    residuals: NDArray[np.float64]
    widths: MeasuredSpread
    background: Background
    effects: dict[str, Any]


def find(material: Material, settings: SearchSettings, run_id: str, progress: Progress, began: float) -> Found:
    """Search, select and explain.

    `began`: monotonic seconds at which the run did; its budget is spent from then on. Raises NoSelectableModel.
    """
    spec, training, features, seed = material.spec, material.training, material.features, material.spec.split.seed
    deadline, ends = (began + seconds for seconds in ends_after(settings.budget_seconds))
    columns = material.table.columns
    with settings.workers.pool(partial(load, material.zoo)) as pool:
        with stage("search", run_id):
            folds = make_folds(
                training.features, training.target, columns, spec.tuning.folds, seed, material.parts, training.weights
            )
            plan = SearchPlan(spec.tuning, seed, pool, deadline, progress, settings.full)
            searched = search(material.zoo, folds, plan)
        with stage("select", run_id):
            kept = folds[: len(folds) - searched[0].skipped]
            finish = Finish(columns, features, training, material.holdout, seed, ends, material.asked)
            blending = Blending(kept, plan, finish)
            results = with_blend(finish_all(searched, finish, pool), blending, spec.algorithms)
            selected = select(results, features)
            outside = blending.in_time(selected.result)
            answered_rows = np.flatnonzero(np.isfinite(outside))
            residuals = training.target[answered_rows] - outside[answered_rows]
            widths = measure(outside[answered_rows], residuals, training.features.iloc[answered_rows], features)
        algorithm = selected.result.searched.algorithm
        plan.progress.expect(Ahead(finishing=reporting_seconds(algorithm)))
        with stage("explain", run_id):
            background = background_document(training, additive=is_additive(algorithm.make(seed)), seed=seed)
            figures = FIGURES_SHARE * settings.budget_seconds
            effects = winners_effects(selected, finish, background, spec.target_range, kept, pool, figures)
    return Found(results, selected, residuals, widths, background, effects)


def ends_after(budget: float) -> tuple[float, float]:
    """The seconds of a budget after which the search ends, and after which nothing more is finished."""
    search, finish = (
        (share, *leaves) for share, leaves in ((SEARCH_SHARE, SEARCH_LEAVES), (FINISH_SHARE, FINISH_LEAVES))
    )
    after = [min(share * budget, budget - min(seconds, most * budget)) for share, seconds, most in (search, finish)]
    return after[0], after[1]


def documents(
    inputs: RunInputs, settings: SearchSettings, run_id: str, material: Material, found: Found, before: Before | None
) -> Trained:
    """What is published of the run, and what it says of itself."""
    spec, training, features, selected = material.spec, material.training, material.features, found.selected
    winner = Winner(features, selected, conformal_interval(found.residuals))
    profile = _profile(material, found)
    findings = _findings(material, found, winner, profile, FIGURES_SHARE * settings.budget_seconds)
    since = compared(before[1], before[0], features, training) if before else None
    warnings = (*material.warnings, *(moved(since) if since else ()))
    report = report_document(
        run_id,
        found.results,
        selected,
        warnings,
        winner.interval,
        findings,
        spec.tuning.scoring,
        target=spec.target,
        weight=None if training.weights is None else spec.weight,
        effects=found.effects,
        before=since,
    )
    origin = _origin(inputs, settings, run_id, material)
    card = build_card(origin, spec, selected, features, report, material.table.dropped)
    golden = golden_document(selected.model, features, training)
    files = {
        layout.MODEL: selected.graph,
        layout.HOLDOUT: encode_gzip(holdout_document(features, material.holdout, spec.split.seed)),
        layout.GOLDEN: encode(golden),
        layout.PROFILE: encode(profile),
        layout.BACKGROUND: encode(found.background),
        **_for_people(report, card),
    }
    manifest = build_manifest(origin, spec, material.table, winner, files)
    return Trained(manifest, files, golden, found.results, selected, warnings)


def _origin(inputs: RunInputs, settings: SearchSettings, run_id: str, material: Material) -> Origin:
    code = CodeInfo(version=CODE_VERSION, git_sha=settings.git_sha, digest=inputs.code)
    return Origin(run_id, _dataset(inputs, material.table, material.holdout), code, _training(inputs, settings))


def _profile(material: Material, found: Found) -> Profile:
    spec = material.spec
    answers = answered(found.selected.model, material.holdout, spec.target_range)
    return profile_document(
        material.features, material.training, found.residuals, answers, spec.split.seed, found.widths.spread
    )


def _findings(
    material: Material, found: Found, winner: Winner, profile: Profile, most_seconds: float
) -> dict[str, Any]:
    """How the winner does on the rows held out, served as it would be."""
    spec = material.spec
    served = AnswerRules(winner.interval, spec.target_range, spec.assessment, profile)
    findings = diagnose(
        found.selected.model,
        material.features,
        material.holdout,
        served,
        spec.split.seed,
        slices=spec.slices.by,
        most_seconds=most_seconds,
    )
    findings["coverage"]["rule"] = found.widths.figures
    return findings


def _for_people(report: dict[str, Any], card: Card) -> dict[str, bytes]:
    """The report and the card, each as a document and as a page."""
    return {
        layout.REPORT: report_json(report),
        layout.REPORT_PAGE: report_page(report),
        layout.CARD: encode(card),
        layout.CARD_PAGE: card_page(card),
    }


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
def stage(name: str, run_id: str) -> Iterator[None]:
    """Log at the end of a stage how many seconds it took."""
    began = time.monotonic()
    yield
    seconds = round(time.monotonic() - began, 2)
    logs.info(f"{name} {seconds:.1f} s", stage=name, run_id=run_id, seconds=seconds)
