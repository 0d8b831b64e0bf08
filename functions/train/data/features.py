"""The features as the training rows show them: what a request may hold, and what only rows held out do."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from functions.train.data.preprocessing import CATEGORICAL_STEP, DATE_STEP, NUMERIC_STEP, preprocessing
from functions.train.data.rows import Rows
from shared.cells import FIRST_DAY, LAST_DAY, day_text, without_noise
from shared.dataset import DatasetSpec, FeatureSpec
from shared.documents import Feature
from shared.tables.reading import Column

RANGES_BEYOND = 3.0
"""A number is still answered, with a warning, up to this many ranges beyond what training saw."""


def describe_features(columns: Sequence[Column], training: Rows, spec: DatasetSpec) -> tuple[Feature, ...]:
    """The features as the preprocessing of all training rows has learnt them."""
    fitted = preprocessing(columns).fit(training.features).named_transformers_
    described: dict[str, Feature] = {}
    if NUMERIC_STEP in fitted:
        numbers = [column for column in columns if column.kind in ("numeric", "boolean")]
        for column, median in zip(numbers, fitted[NUMERIC_STEP].named_steps["impute"].statistics_, strict=True):
            described[column.name] = _number(column, float(median), training, spec)
    if DATE_STEP in fitted:
        dates = [column for column in columns if column.kind == "date"]
        for column, middle in zip(dates, fitted[DATE_STEP].named_steps["parts"].imputed_, strict=True):
            described[column.name] = _date(column, float(middle), training, spec)
    if CATEGORICAL_STEP in fitted:
        steps = fitted[CATEGORICAL_STEP].named_steps
        names = [column for column in columns if column.kind == "categorical"]
        for column, usual, known in zip(names, steps["impute"].statistics_, steps["encode"].categories_, strict=True):
            described[column.name] = Feature(
                name=column.name,
                kind="categorical",
                nullable=column.nullable,
                imputed=str(usual),
                categories=tuple(str(value) for value in known),
                on_unknown=_asked(spec, column.name).on_unknown or spec.on_unknown,
                format=column.format,
            )
    return tuple(described[column.name] for column in columns)


def _number(column: Column, median: float, training: Rows, spec: DatasetSpec) -> Feature:
    known: dict[str, Any] = {"name": column.name, "nullable": column.nullable, "format": column.format}
    if column.kind == "boolean":
        return Feature(kind="boolean", imputed=median >= 0.5, **known)
    low, high, lowest, highest = _range(training.features[column.name], column.name, spec)
    return Feature(kind="numeric", imputed=median, min=low, max=high, lowest=lowest, highest=highest, **known)


def _date(column: Column, middle: float, training: Rows, spec: DatasetSpec) -> Feature:
    """Time goes on: where a date outside what training saw is answered, every one is."""
    values = training.features[column.name]
    low, high = float(values.min()), float(values.max())
    answered = (_asked(spec, column.name).on_range or spec.on_range) == "warn"
    return Feature(
        name=column.name,
        kind="date",
        nullable=column.nullable,
        imputed=day_text(middle),
        min=low,
        max=high,
        lowest=FIRST_DAY if answered else low,
        highest=LAST_DAY + 1 if answered else high,
        format=column.format,
    )


def _range(values: "pd.Series[float]", name: str, spec: DatasetSpec) -> tuple[float, float, float, float]:
    """The feature's range as seen or as the spec sets it, and the limits up to which a number is still answered.

    People are told the limits, and may enter them: nobody would enter 2.9000000000000004.
    """
    asked = _asked(spec, name)
    low, high = float(values.min()), float(values.max())
    beyond = RANGES_BEYOND * (high - low) if (asked.on_range or spec.on_range) == "warn" else 0.0
    size = max(abs(low), abs(high))
    return (
        low if asked.min is None else asked.min,
        high if asked.max is None else asked.max,
        min(low, without_noise(low - beyond, size)) if asked.min is None else asked.min,
        max(high, without_noise(high + beyond, size)) if asked.max is None else asked.max,
    )


def _asked(spec: DatasetSpec, name: str) -> FeatureSpec:
    return spec.features.get(name, FeatureSpec())


def unseen_categories(features: Sequence[Feature], held_out: Rows) -> list[str]:
    """A sentence for each feature with categories that only rows held out have: the model does not know them."""
    sentences = []
    for feature in features:
        if feature.categories is not None:
            unseen = sorted(set(held_out.features[feature.name].dropna().map(str)) - set(feature.categories))
            if unseen:
                refused = 'refuses them; with on_unknown = "warn" in the spec it answers them with a warning'
                reaction = refused if feature.on_unknown == "refuse" else "answers them with a warning"
                names = ", ".join(map(repr, unseen[:5])) + (f" and {len(unseen) - 5} more" if unseen[5:] else "")
                sentences.append(f"feature {feature.name!r}: only rows held out have {names}; serving {reaction}")
    return sentences
