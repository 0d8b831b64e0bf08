"""The manifest of a candidate: how it was made, what it predicts, how it scored, and the digests of its files."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from functions.train.candidate.selection import Selected
from functions.train.code import installed_versions
from shared.clock import utc_now
from shared.codec import digest
from shared.dataset import DatasetSpec
from shared.documents import (
    SCHEMA_VERSION,
    CodeInfo,
    CvScores,
    DatasetInfo,
    Feature,
    Interval,
    Manifest,
    ModelInfo,
    TrainingInfo,
)
from shared.metrics import SCORINGS, Scoring
from shared.tables.reading import Table


@dataclass(frozen=True)
class Origin:
    """Which run it is, of which data, by which code, and how it was made."""

    run_id: str
    dataset: DatasetInfo
    code: CodeInfo
    training: TrainingInfo


@dataclass(frozen=True)
class Winner:
    """The model to publish, with the features that it reads and the interval around its predictions."""

    features: tuple[Feature, ...]
    selected: Selected
    interval: Interval


def build_manifest(
    origin: Origin, spec: DatasetSpec, table: Table, winner: Winner, files: Mapping[str, bytes]
) -> Manifest:
    """Describe a candidate whose `files` are complete, by name."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        run_id=origin.run_id,
        created_at=utc_now(),
        dataset=origin.dataset,
        code=origin.code,
        libraries=installed_versions(),
        model=_model(winner.selected, SCORINGS[spec.tuning.scoring]),
        features=winner.features,
        target=spec.target,
        target_range=spec.target_range,
        assessment=spec.assessment,
        interval=winner.interval,
        gate=spec.gate,
        slices=spec.slices,
        files={name: digest(data) for name, data in files.items()},
        aliases={alias: name for alias, name in spec.aliases.items() if name in table.features.columns},
        dropped=_ignored_names(spec, table),
        training=origin.training,
    )


def _model(selected: Selected, scoring: Scoring) -> ModelInfo:
    best = selected.best
    scores = CvScores(
        r2_mean=best.r2_mean,
        r2_std=best.r2_std,
        folds=len(best.r2),
        score_mean=scoring.sign * best.mean,
        score_std=float(np.std(best.scores)),
    )
    return ModelInfo(
        algorithm=selected.result.name,
        params=best.params,
        cv=scores,
        holdout=selected.holdout,
        scoring=scoring.name,
    )


def _ignored_names(spec: DatasetSpec, table: Table) -> tuple[str, ...]:
    """Names that a caller may send and that are ignored: unused columns in every spelling, and the target's aliases."""
    ignored = {*table.dropped, spec.target}
    return (*table.dropped, *(alias for alias, name in spec.aliases.items() if name in ignored))
