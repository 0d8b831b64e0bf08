"""What a spec may not say: figures out of their range, and settings that contradict each other."""

import math
from collections.abc import Iterator, Mapping

import msgspec

from shared import layout
from shared.dataset import DatasetSpec, FeatureSpec
from shared.formats import FormatSpec, format_rules
from shared.media_types import TABLES
from shared.metrics import R2, SCORINGS

Rules = list[tuple[bool, str]]
"""Whether each rule holds, and what is said where it does not."""


def contradictions(spec: DatasetSpec) -> list[str]:
    """A sentence for every rule that the spec breaks; none for a spec that can be trained on."""
    bounds = spec.target_range
    rules = [
        (bool(spec.name.strip()), "name is empty"),
        (bool(spec.target.strip()), "target is empty"),
        *_rules_of_source(spec),
        *_rules_of_columns(spec),
        *_rules_of_search(spec),
        *_rules_of_gate(spec),
        *_rules_of_slices(spec),
        (_ordered(bounds.min, bounds.max), "target_range.min must be below target_range.max"),
    ]
    for name, feature in spec.features.items():
        rules += _rules_of_feature(spec, name, feature)
    for name in ("", *spec.features):
        rules += format_rules(spec.format_of(name), f"features.{name}" if name else "reading")
    if spec.assessment is not None:
        tiers, bands = spec.assessment.tiers, spec.assessment.bands
        rules.append((0 < tiers.medium < tiers.high < 1, "assessment.tiers must satisfy 0 < medium < high < 1"))
        rules.append((bands.low < bands.medium, "assessment.bands must satisfy low < medium"))
    infinite = [path for path, number in _numbers(msgspec.to_builtins(spec), "") if not math.isfinite(number)]
    return [*(f"{path} must be a finite number" for path in infinite), *(said for holds, said in rules if not holds)]


def _rules_of_columns(spec: DatasetSpec) -> Rules:
    """Each column has one part to play, and the split one way to divide the rows."""
    return [
        (spec.target not in spec.drop, f"target {spec.target!r} is also listed in drop"),
        (0.05 <= spec.split.holdout <= 0.5, f"split.holdout must be from 0.05 to 0.5, found {spec.split.holdout}"),
        (not (spec.split.key and spec.split.ignore), "split.key alone decides a row's side; leave out split.ignore"),
        (
            sum(map(bool, (spec.split.key or spec.split.ignore, spec.split.group, spec.split.time))) <= 1,
            "split.key or split.ignore, split.group and split.time exclude each other; say one",
        ),
        (spec.weight not in (spec.target, *spec.drop), f"weight {spec.weight!r} is the target or listed in drop"),
        (spec.weight not in spec.features, f"features.{spec.weight} is the weight, which is no feature"),
        (spec.target not in (spec.split.group, spec.split.time), f"split: {spec.target!r} is the target"),
    ]


def _rules_of_search(spec: DatasetSpec) -> Rules:
    return [
        (2 <= spec.tuning.folds <= 20, f"tuning.folds must be from 2 to 20, found {spec.tuning.folds}"),
        (
            1 <= spec.tuning.random_iterations <= 1000,
            f"tuning.random_iterations must be from 1 to 1000, found {spec.tuning.random_iterations}",
        ),
        (
            spec.tuning.scoring in SCORINGS,
            f"tuning.scoring must be one of {', '.join(SCORINGS)}, found {spec.tuning.scoring!r}",
        ),
        (
            not (spec.algorithms.only and spec.algorithms.without),
            "algorithms has both only and without: say which to search, or which to leave out",
        ),
    ]


def _rules_of_slices(spec: DatasetSpec) -> Rules:
    return [
        (spec.slices.max_drop >= 0, f"slices.max_drop must not be negative, found {spec.slices.max_drop}"),
        (spec.slices.min_rows >= 10, f"slices.min_rows must be at least 10, found {spec.slices.min_rows}"),
        (spec.target not in spec.slices.by, f"slices.by names the target {spec.target!r}"),
    ]


def _rules_of_feature(spec: DatasetSpec, name: str, feature: FeatureSpec) -> Rules:
    is_number = spec.kind_of(name) in (None, "numeric")
    alone = feature.role is None or feature == FeatureSpec(role=feature.role)
    without_format = msgspec.structs.replace(feature, **dict.fromkeys(FormatSpec.__struct_fields__))
    bounded = feature.min is not None or feature.max is not None
    return [
        (_ordered(feature.min, feature.max), f"features.{name}: min must be below max"),
        (name not in spec.drop, f"features.{name} is listed in drop"),
        (alone, f"features.{name}: a column for audits is no input of the model, so nothing else is set"),
        (is_number or feature.monotone is None, f"features.{name}: only numbers have a direction"),
        (
            name != spec.target or without_format == FeatureSpec(),
            f"features.{name} is the target: only its format",
        ),
        (is_number or not bounded, f"features.{name}: only numbers have bounds"),
    ]


def _rules_of_gate(spec: DatasetSpec) -> Rules:
    """What the floor and the drop may be depends on what they are stated in."""
    gate, is_error = spec.gate, spec.tuning.scoring != R2.name
    low, high = (0.0, math.inf) if is_error else (-math.inf, 1.0)
    kind = f"the largest {spec.tuning.scoring} that passes, from 0 on" if is_error else "an R² of at most 1"
    return [
        (
            gate.min_score is None or low <= gate.min_score <= high,
            f"gate.min_score must be {kind}, found {gate.min_score}",
        ),
        (gate.max_drop is None or gate.max_drop >= 0, f"gate.max_drop must not be negative, found {gate.max_drop}"),
        (gate.min_r2 <= 1, f"gate.min_r2 must be at most 1, found {gate.min_r2}"),
        (gate.max_r2_drop >= 0, f"gate.max_r2_drop must not be negative, found {gate.max_r2_drop}"),
        (1 <= gate.requires <= 5, f"gate.requires must be from 1 to 5 people, found {gate.requires}"),
    ]


def _rules_of_source(spec: DatasetSpec) -> Rules:
    if spec.query is not None:
        source_and_query = (not spec.source, "source and query are both given; leave one out")
        return [source_and_query, (bool(spec.query.strip()), "query is empty"), _bound(spec)]
    if not spec.source:
        return [(False, "source is empty; name a file, bq://project.dataset.table, or give a query")]
    if not isinstance(spec.source, str):
        return _rules_of_list(spec.source)
    if spec.in_bigquery:
        return [_bound(spec)]
    ends = spec.source.endswith(tuple(TABLES))
    found = f"found {spec.source!r}; a table of BigQuery begins with {layout.BIGQUERY}"
    return [(ends, f"source must end in .csv or .parquet, {found}")]


def _rules_of_list(sources: tuple[str, ...]) -> Rules:
    """Names of files; nothing leads out of the folder of the spec, or of the bucket's labels."""
    first = f"source begins with the table itself; {sources[0]!r} may be several files"
    rules = [(not layout.is_pattern(sources[0]), first)]
    for name in sources:
        plain = not any(part in name for part in ("**", "[", "//")) or name.startswith("gs://")
        inside = not name.startswith("/") and ".." not in name.split("/")
        said = f"source lists files that end in .csv or .parquet, of whose names * and ? may stand for parts; {name!r}"
        rules.append((name.endswith(tuple(TABLES)) and not name.startswith(layout.BIGQUERY), f"{said} is none"))
        rules.append((plain and inside, f"{said} is none beside the spec"))
        rules.append((sources.count(name) == 1, f"source lists {name!r} more than once"))
    return rules


def _bound(spec: DatasetSpec) -> tuple[bool, str]:
    return spec.max_gb_billed > 0, f"max_gb_billed must be more than 0, found {spec.max_gb_billed:g}"


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, float):
        yield path, value


def _ordered(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low < high
