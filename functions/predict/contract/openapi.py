"""OpenAPI 3.1 of the service as the loaded model makes it: its fields with their categories, ranges and examples.

The schema is strict: what it admits is accepted. Serving is more lenient in spelling (case, space, aliases).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from functions.predict.arms import MOST_UNIT_CHARACTERS
from functions.predict.contract.description import typical
from functions.predict.explanations import MOST_ROWS as MOST_EXPLAINED
from functions.predict.settings import Limits
from functions.predict.wire.payload import MEDIA_TYPES, MOST_EFFECTS, TABLE
from functions.predict.wire.payload import WORKBOOK as WORKBOOK_KIND
from shared.cells import ISO_DAY, day_text, written
from shared.documents import Feature, Kind, Manifest
from shared.metrics import plain
from shared.problems import MAX_PROBLEMS
from shared.serving.columns import limits

Json = dict[str, Any]
WORKBOOK = MEDIA_TYPES[WORKBOOK_KIND]

CONTRACT = "1.0"
"""The version of what is promised to programs, whichever model answers: see CONTRACT.md."""

PATHS: tuple[tuple[str, str, str, str], ...] = (
    ("/health", "health", "Whether the process lives", "Health"),
    ("/ready", "ready", "Whether a model is loaded; loads the first one", "Ready"),
    ("/schema", "schema", "What a row must hold, and how much is accepted at once", "Schema"),
    ("/meta", "meta", "Which model answers, where it comes from and how well it scored", "Meta"),
    ("/card.json", "card", "The model's card: use, data, scores, slices, limits, verdict, and who promoted it", "Card"),
)
"""Path, operation id, summary and component of the routes that take nothing."""

ARMS: Sequence[Json] = (
    {
        "name": "run",
        "in": "query",
        "description": "The run that shall answer: the one that serves, or the one that is tried beside it",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Unit",
        "in": "header",
        "description": "Who or what the rows are about: where two runs divide the callers, one unit keeps its run",
        "schema": {"type": "string", "maxLength": MOST_UNIT_CHARACTERS},
    },
)
"""Parameters by which a caller has a say in who answers."""

_NOUNS: Mapping[Kind, str] = {"numeric": "number", "date": "date"}

REFUSALS: Mapping[str, str] = {
    "400": "The body is empty, or no well-formed JSON or CSV",
    "404": "The run that was asked for does not answer here",
    "413": "The body has too many bytes, rows, values or cells",
    "415": "The media type, its charset or a Content-Encoding is not accepted",
    "422": "The fields do not fit the model; every problem is listed",
    "503": "No model is loaded yet; try again after the seconds in Retry-After",
}
"""Status and meaning of every refusal of a prediction."""

UNEXPLAINED: Mapping[str, str] = {"409": "The model was trained before explanations, or cards, were"}
"""What an explanation may be refused with besides."""


def describe_api(manifest: Manifest, limits: Limits, *, tables_are_bytes: bool = False) -> Json:
    """The whole document for the model of `manifest`.

    With `tables_are_bytes` a table that is sent is one of bytes, the only type beside JSON that generators of clients
    know (openapi-python-client's parser/bodies.py).
    """
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": f"Predictions of {manifest.target}",
            "version": CONTRACT,
            "x-run-id": manifest.run_id,
            "description": (
                f"Predicts {manifest.target} with an interval, by {manifest.model.algorithm} trained on "
                f"{manifest.dataset.name}. Categories are matched without regard to case and surrounding space. "
                f"Every error is application/problem+json and lists up to {MAX_PROBLEMS} problems at once."
            ),
        },
        "servers": [{"url": "."}],
        "security": [{}, {"identityToken": []}],
        "paths": {
            "/predict": {"post": _predict(manifest)},
            "/predict_batch": {"post": _predict_batch(manifest, limits, tables_are_bytes)},
            "/explain": {"post": _explain(manifest)},
            **{path: {"get": _getter(*rest)} for path, *rest in PATHS},
        },
        "components": {
            "schemas": _schemas(manifest, limits),
            "securitySchemes": {
                "identityToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An identity token of Google's, where the service is not public.",
                }
            },
            "headers": {
                "RequestId": {
                    "description": "The caller's X-Request-ID if it is well-formed, else a new one",
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
                },
                "RetryAfter": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
            },
        },
    }


def example_row(manifest: Manifest) -> dict[str, bool | str | float]:
    """A row that the model accepts: what it imputes, or the first category, or the middle of a range."""
    return {feature.name: typical(feature) for feature in manifest.features}


def _getter(operation: str, summary: str, component: str) -> Json:
    responses = {"200": _answer(summary, {"application/json": {"schema": _reference(component)}})}
    if operation != "health":
        responses["503"] = _refusal("503")
    if operation == "card":
        responses["409"] = _refusal("409")
    return {"operationId": operation, "summary": summary, "responses": responses}


def _predict(manifest: Manifest) -> Json:
    content = {"application/json": {"schema": _reference("Row"), "example": example_row(manifest)}}
    return {
        "operationId": "predict",
        "summary": f"Predict {manifest.target} for one row",
        "parameters": list(ARMS),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _answer("The prediction", {"application/json": {"schema": _reference("Prediction")}}),
            **{status: _refusal(status) for status in REFUSALS},
        },
    }


def _predict_batch(manifest: Manifest, limits: Limits, tables_are_bytes: bool) -> Json:
    row = example_row(manifest)
    binary = {"schema": {"type": "string", "format": "binary"}}
    example = {"example": _csv_example(manifest)}
    tables: Json = {"text/csv": example, WORKBOOK: {}}  # JSON Schema has no words for a table
    if tables_are_bytes:
        tables = {MEDIA_TYPES[TABLE]: binary}
    answers = {
        "application/json": {"schema": _reference("Predictions")},
        "text/csv": {"schema": {"type": "string"}},
        WORKBOOK: binary,
    }
    return {
        "operationId": "predict_batch",
        "summary": f"Predict {manifest.target} for up to {limits.max_rows} rows",
        "description": (
            "With `Accept: text/csv`, or that of an .xlsx workbook, the rows come back as a table, with the "
            "prediction's columns appended. Columns that the model does not know come back as they are."
        ),
        "parameters": [
            {
                "name": "errors",
                "in": "query",
                "description": "`rows`: rows that can be answered are, the others say why not. `all`: one refuses all.",
                "schema": {"type": "string", "enum": ["all", "rows"], "default": "all"},
            },
            {
                "name": "explain",
                "in": "query",
                "description": (
                    "So many of the largest effects of each row, as columns or as `contributions`; for as many rows "
                    "as can be explained in seconds."
                ),
                "schema": {"type": "integer", "minimum": 1, "maximum": MOST_EFFECTS},
            },
            {
                "name": "formulas",
                "in": "query",
                "description": "`keep`: in CSV, text that a spreadsheet would run as a formula stays as it was sent.",
                "schema": {"type": "string", "enum": ["keep"]},
            },
            *ARMS,
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _reference("Batch"), "example": {"instances": [row]}},
                **tables,
            },
        },
        "responses": {
            "200": _answer("The predictions, in the order of the rows", answers),
            **{status: _refusal(status) for status in (*REFUSALS, *UNEXPLAINED)},
        },
    }


def _explain(manifest: Manifest) -> Json:
    content = {"application/json": {"schema": _reference("ToExplain"), "example": example_row(manifest)}}
    told = {"oneOf": [_reference("Explained"), _reference("ExplainedRows")]}
    return {
        "operationId": "explain",
        "summary": f"What each feature adds to the prediction of {manifest.target}",
        "description": (
            f"For one row, or up to {MOST_EXPLAINED}: Shapley values against the average of rows that stand for the "
            "training data. `base` and the effects add up to the prediction; the largest come first. The run that "
            "predicts a row explains it."
        ),
        "parameters": list(ARMS),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _answer("The effects, in the target's unit", {"application/json": {"schema": told}}),
            **{status: _refusal(status) for status in (*REFUSALS, *UNEXPLAINED)},
        },
    }


def _schemas(manifest: Manifest, limits: Limits) -> Json:
    rows = {"type": "array", "items": _reference("Row"), "maxItems": limits.max_rows}
    return {
        "Row": _row(manifest),
        "Batch": {"oneOf": [_object({"instances": rows}), rows]},
        **_answers(manifest),
        **_explanations(rows | {"maxItems": MOST_EXPLAINED}),
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
    model, warnings = _model(), {"type": "array", "items": _reference("Warning")}
    entry = {"anyOf": [_reference(name) for name in ("Outcome", "ExplainedOutcome", "RefusedRow")]}
    return {
        "Outcome": _object(outcome),
        "ExplainedOutcome": _object({**outcome, "contributions": {"type": "array", "items": _reference("Effect")}}),
        "Prediction": _object({**outcome, "model": model}, {"warnings": warnings}),
        "Predictions": _object(
            {"predictions": {"type": "array", "items": entry}, "model": model}, {"warnings": warnings}
        ),
        "RefusedRow": _object({"errors": {"type": "array", "items": _reference("ProblemEntry")}}),
    }


def _model() -> Json:
    arm = {"enum": ["champion", "challenger"], "description": "Where callers are divided between two runs"}
    return _object({"run_id": {"type": "string"}}, {"arm": arm})


def _explanations(rows: Json) -> Json:
    number: Json = {"type": "number"}
    effects = {"type": "array", "items": _reference("Effect")}
    how = {
        "base": number,
        "method": {"enum": ["exact", "sampled"]},
        "background_rows": {"type": "integer", "minimum": 1},
        "model": _model(),
    }
    warnings = {"warnings": {"type": "array", "items": _reference("Warning")}}
    one = {"prediction": number, "contributions": effects}
    return {
        "ToExplain": {"oneOf": [_reference("Row"), _object({"instances": rows}), rows]},
        "ExplainedRow": _object(one),
        "Effect": _object({"feature": {"type": "string"}, "effect": number}),
        "Explained": _object({**one, **how}, warnings),
        "ExplainedRows": _object(
            {"explanations": {"type": "array", "items": _reference("ExplainedRow")}, **how}, warnings
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
            "errors": {"type": "array", "items": _reference("ProblemEntry"), "maxItems": MAX_PROBLEMS},
        }
    )


def _object(required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _answer(description: str, content: Json) -> Json:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    return {"description": description, "headers": headers, "content": content}


def _refusal(status: str) -> Json:
    answer = _answer(
        {**REFUSALS, **UNEXPLAINED}[status], {"application/problem+json": {"schema": _reference("Problem")}}
    )
    if status == "503":
        answer["headers"] = {**answer["headers"], "Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return answer


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _csv_example(manifest: Manifest) -> str:
    features = manifest.features
    lines = [[one.name for one in features], [written(typical(one), one) for one in features]]
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell
