"""What a model says of itself at /schema, /meta and /ready, as plain JSON values."""

import math
from typing import Any

from functions.predict.challenger import Challenger
from functions.predict.predictor import Refresh
from functions.predict.settings import Limits
from functions.predict.wire.workbook_parts import MOST_UNPACKED
from shared.cells import FIRST_DAY, LAST_DAY, day_text, without_noise, written
from shared.documents import Feature, Manifest
from shared.serving.columns import limits
from shared.serving.loaded_model import LoadedModel


def describe_schema(manifest: Manifest, limits: Limits) -> dict[str, Any]:
    """The fields in order, what else is accepted, and how much at once."""
    return {
        "run_id": manifest.run_id,
        "features": [_feature(feature) for feature in manifest.features],
        "target": manifest.target,
        "target_range": manifest.target_range,
        "aliases": manifest.aliases,
        "ignored": [manifest.target, *manifest.dropped],
        "assessment": manifest.assessment,
        "limits": {
            "max_rows": limits.max_rows,
            "max_bytes": limits.max_bytes,
            "max_values": limits.most.values,
            "max_cells": limits.max_cells,
            "max_workbook_cells": limits.max_workbook_cells,
            "max_workbook_bytes": MOST_UNPACKED,
        },
    }


def describe_model(loaded: LoadedModel) -> dict[str, Any]:
    """Where the model comes from and how well it scored."""
    manifest, pointer = loaded.manifest, loaded.pointer
    return {
        "run_id": manifest.run_id,
        "stage": pointer.stage,
        "created_at": manifest.created_at,
        "promoted_at": pointer.promoted_at,
        "previous_run_id": pointer.previous_run_id,
        "pointer_generation": loaded.pointer_generation,
        "algorithm": manifest.model.algorithm,
        "params": manifest.model.params,
        "cv": manifest.model.cv,
        "holdout": manifest.model.holdout,
        "interval": manifest.interval,
        "widths": loaded.assessor.widths,
        "dataset": {
            "name": manifest.dataset.name,
            "sha256": manifest.dataset.sha256,
            "rows": manifest.dataset.rows,
            "holdout_rows": manifest.dataset.holdout_rows,
        },
        "code": manifest.code,
        "libraries": manifest.libraries,
    }


def describe_challenger(challenger: Challenger) -> dict[str, Any]:
    """What is tried beside the model: how, since when and until when at the most."""
    challenge = challenger.challenge
    return {
        "challenger": {
            "run_id": challenge.run_id,
            "mode": challenge.mode,
            "percent": challenge.percent,
            "started_at": challenge.started_at,
            "until": challenge.until,
            "algorithm": challenger.run.manifest.model.algorithm,
            "faults": challenger.faults,
        }
    }


def describe_refresh(refresh: Refresh) -> dict[str, Any]:
    """Whether a look at the pointer succeeded of late, and if not, why the model in hand may be old."""
    description: dict[str, Any] = {
        "stale": refresh.failure is not None,
        "last_refresh": refresh.succeeded_at,
        "last_look": refresh.looked_at,
    }
    if refresh.failure is not None:
        description["problem"] = {"reason": refresh.failure, "detail": refresh.detail}
    return description


def _feature(feature: Feature) -> dict[str, Any]:
    known: dict[str, Any] = {"name": feature.name, "kind": feature.kind, "nullable": feature.nullable}
    known |= {"typical": typical(feature), "written": written(typical(feature), feature)}
    if feature.kind == "categorical":
        return known | {"categories": feature.categories or (), "on_unknown": feature.on_unknown}
    if feature.kind == "boolean":
        return known
    lowest, highest = limits(feature)
    ends = {"min": feature.min, "max": feature.max, "lowest": lowest, "highest": highest}
    return known | (ends if feature.kind == "numeric" else {name: day_or_none(end) for name, end in ends.items()})


def day_or_none(days: float | None) -> str | None:
    """The end of a range of dates as ISO 8601 writes it; None where the range is open."""
    return day_text(days) if days is not None and FIRST_DAY < days < LAST_DAY else None


def typical(feature: Feature) -> bool | str | float:
    """A value that the model accepts, near the middle of what it was trained on: what it imputes, where that is one.

    The middle of -0.231 and 0 is -0.1155, which floats make -0.11549999999999999: nobody wrote the last digits.
    """
    if feature.kind in ("boolean", "date"):
        return feature.imputed
    if feature.kind == "categorical":
        categories = feature.categories or ("",)
        return str(feature.imputed) if feature.imputed in categories else categories[0]
    low = -math.inf if feature.min is None else feature.min
    high = math.inf if feature.max is None else feature.max
    return min(max(without_noise(float(feature.imputed)), low), high)
