"""The schemas of the OpenAPI document: a row's fields with their categories, ranges and examples, and the answers."""

from collections.abc import Mapping
from typing import Any

from functions.predict.contract.description import typical
from shared.cells import ISO_DAY, day_text
from shared.documents import Feature, Kind, Manifest
from shared.metrics import plain
from shared.problems import MAX_PROBLEMS
from shared.serving.columns import limits

Json = dict[str, Any]

_NOUNS: Mapping[Kind, str] = {"numeric": "number", "date": "date"}


def schemas(manifest: Manifest, max_rows: int, max_explained: int) -> Json:
    """What the paths refer to, by name: rows as the model takes them, and everything that it answers."""
    rows = {"type": "array", "items": reference("Row"), "maxItems": max_rows}
    return {
        "Row": _row(manifest),
        "Batch": {"oneOf": [_object({"instances": rows}), rows]},
        **_answers(manifest),
        **_explanations(rows | {"maxItems": max_explained}),
        "Warning": _object({"pointer": {"type": "string"}, "code": {"type": "string"}, "message": {"type": "string"}}),
        "Problem": _problem(),
        "ProblemEntry": _problem_entry(),
        "Health": _object({"status": {"const": "ok"}, "model_loaded": {"type": "boolean"}}),
        **{name: {"type": "object"} for name in ("Ready", "Schema", "Meta", "Card")},
    }


def _row(manifest: Manifest) -> Json:
    aliases: dict[str, list[str]] = {}
    for alias, name in manifest.aliases.items():
        aliases.setdefault(name, []).append(alias)
    fields = {feature.name: _field(feature, aliases.get(feature.name, [])) for feature in manifest.features}
    ignored = {name: {"description": "Ignored, with a warning."} for name in (manifest.target, *manifest.dropped)}
    return {
        "type": "object",
        "properties": {**ignored, **fields},
        "required": list(fields),
        "additionalProperties": False,
    }


def _field(feature: Feature, aliases: list[str]) -> Json:
    words = [f"Also accepted as {' or '.join(aliases)}."] if aliases else []
    if feature.nullable:
        words.append("May be null.")
    if (feature.min, feature.max) != limits(feature):
        words.append(f"Training saw {_seen(feature)}; a {_NOUNS[feature.kind]} outside is answered with a warning.")
    if feature.on_unknown == "warn":
        words.append("Another category is answered with a warning.")
    field: Json = {"description": " ".join(words)} if words else {}
    if feature.kind == "categorical":
        # No enum: a type that every training changes would make every client be generated anew.
        known: Json = {"x-categories": list(feature.categories or ())} if feature.on_unknown == "refuse" else {}
        return {**field, "type": _type("string", feature), **known, "examples": [typical(feature)]}
    if feature.kind == "boolean":
        return field | {"type": _type("boolean", feature), "examples": [typical(feature)]}
    if feature.kind == "date":
        timed = any(not end.is_integer() for end in (feature.min or 0.0, feature.max or 0.0))
        # No "date-time", which wants an offset (RFC 3339) and admits others than that of UTC.
        form = {"pattern": f"^{ISO_DAY}$"} if timed else {"format": "date"}
        return field | {"type": _type("string", feature), **form, "examples": [typical(feature)]}
    field |= {"type": _type("number", feature), "examples": [typical(feature)]}
    lowest, highest = limits(feature)
    bounds = {"minimum": lowest, "maximum": highest}
    return field | {word: bound for word, bound in bounds.items() if bound is not None}


def _seen(feature: Feature) -> str:
    ends = [0.0 if end is None else end for end in (feature.min, feature.max)]
    return " to ".join(map(day_text, ends) if feature.kind == "date" else [plain(end, 6) for end in ends])


def _type(name: str, feature: Feature) -> str | list[str]:
    return [name, "null"] if feature.nullable else name


def _answers(manifest: Manifest) -> Json:
    bounds = {"minimum": manifest.target_range.min, "maximum": manifest.target_range.max}
    number: Json = {"type": "number", **{word: bound for word, bound in bounds.items() if bound is not None}}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    outcome: Json = {"prediction": number, "interval": _object({"level": share, "low": number, "high": number})}
    if manifest.assessment is not None:
        tier = {"enum": ["low", "medium", "high"]}
        below = f"Probability that {manifest.target} is below {plain(manifest.assessment.at_risk_below)}"
        outcome |= {"risk": _object({"probability": share | {"description": below}, "tier": tier}), "band": tier}
    model, warnings = _model(), {"type": "array", "items": reference("Warning")}
    entry = {"anyOf": [reference(name) for name in ("Outcome", "ExplainedOutcome", "RefusedRow")]}
    return {
        "Outcome": _object(outcome),
        "ExplainedOutcome": _object({**outcome, "contributions": {"type": "array", "items": reference("Effect")}}),
        "Prediction": _object({**outcome, "model": model}, {"warnings": warnings}),
        "Predictions": _object(
            {"predictions": {"type": "array", "items": entry}, "model": model}, {"warnings": warnings}
        ),
        "RefusedRow": _object({"errors": {"type": "array", "items": reference("ProblemEntry")}}),
    }


def _model() -> Json:
    arm = {"enum": ["champion", "challenger"], "description": "Where callers are divided between two runs"}
    return _object({"run_id": {"type": "string"}}, {"arm": arm})


def _explanations(rows: Json) -> Json:
    number: Json = {"type": "number"}
    effects = {"type": "array", "items": reference("Effect")}
    method = {
        "base": number,
        "method": {"enum": ["exact", "sampled"]},
        "background_rows": {"type": "integer", "minimum": 1},
        "model": _model(),
    }
    warnings = {"warnings": {"type": "array", "items": reference("Warning")}}
    effects_of_row = {"prediction": number, "contributions": effects}
    return {
        "ToExplain": {"oneOf": [reference("Row"), _object({"instances": rows}), rows]},
        "ExplainedRow": _object(effects_of_row),
        "Effect": _object({"feature": {"type": "string"}, "effect": number}),
        "Explained": _object({**effects_of_row, **method}, warnings),
        "ExplainedRows": _object(
            {"explanations": {"type": "array", "items": reference("ExplainedRow")}, **method}, warnings
        ),
    }


def _problem_entry() -> Json:
    text: Json = {"type": "string"}
    bounds = _object({}, {"min": {"type": "number"}, "max": {"type": "number"}})
    allowed = {"anyOf": [{"type": "array", "items": text}, bounds]}
    row = {"type": "integer", "description": "The row of a table as a spreadsheet counts it"}
    return _object({"pointer": text, "code": text, "message": text}, {"allowed": allowed, "row": row})


def _problem() -> Json:
    text = {"type": "string"}
    return _object(
        {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {"type": "array", "items": reference("ProblemEntry"), "maxItems": MAX_PROBLEMS},
        }
    )


def _object(required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def reference(name: str) -> Json:
    """Where a schema of the document stands."""
    return {"$ref": f"#/components/schemas/{name}"}
