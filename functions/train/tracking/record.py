"""What experiment tracking is told of a run that was made."""

import numpy as np

from functions.train.candidate.selection import Result
from functions.train.candidate.trained import Trained
from functions.train.tracking.tracked import TrackedAlgorithm, TrackedDataset, TrackedModel, TrackedRun
from shared import layout
from shared.documents import Manifest

EXAMPLE_ROWS = 5


def tracked_run(trained: Trained) -> TrackedRun:
    """What a tracker is told of the run."""
    manifest = trained.manifest
    dataset = manifest.dataset
    return TrackedRun(
        experiment=dataset.name,
        run_id=manifest.run_id,
        ended=manifest.created_at,
        params={"algorithm": manifest.model.algorithm, **manifest.model.params},
        metrics=_scores(trained.selected.result),
        folds=_folds(trained.selected.result),
        tags=_tags(manifest),
        dataset=TrackedDataset(
            name=dataset.name, uri=dataset.uri, sha256=dataset.sha256, rows=dataset.rows, target=manifest.target
        ),
        model=TrackedModel(
            features=manifest.features,
            example=trained.golden.rows[-EXAMPLE_ROWS:],
            pipeline=trained.selected.pipeline,
            graph=trained.selected.graph,
            libraries=manifest.libraries,
        ),
        algorithms=tuple(
            TrackedAlgorithm(
                name=result.name,
                params=result.best.params if result.best else {},
                metrics=_scores(result),
                folds=_folds(result),
                error=result.error,
            )
            for result in trained.results
        ),
        files={name: data for name, data in trained.files.items() if name not in (layout.HOLDOUT, layout.MODEL)},
    )


def _tags(manifest: Manifest) -> dict[str, str]:
    dataset, spec = manifest.dataset, manifest.training.spec if manifest.training else {}
    tags = {"git_sha": manifest.code.git_sha, "dataset": dataset.name, "dataset_sha256": dataset.sha256}
    return tags | ({"weight": str(spec["weight"])} if spec.get("weight") else {})


def _folds(result: Result) -> tuple[float, ...]:
    return tuple(float(r2) for r2 in result.best.r2 if np.isfinite(r2)) if result.best else ()


def _scores(result: Result) -> dict[str, float]:
    scores = {"fit_seconds": result.fit_seconds}
    if result.best is not None:
        scores |= {"cv_r2_mean": result.best.r2_mean, "cv_r2_std": result.best.r2_std}
    if result.holdout is not None:
        scores |= {
            "holdout_mae": result.holdout.mae,
            "holdout_rmse": result.holdout.rmse,
            "holdout_r2": result.holdout.r2,
        }
    return {name: value for name, value in scores.items() if np.isfinite(value)}
