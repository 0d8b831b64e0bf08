"""OpenAPI 3.1 of the service as the loaded model makes it: the paths, what each takes and how it may refuse.

The schema is strict: what it admits is accepted. Serving is more lenient in spelling (case, space, aliases).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from functions.predict.arms import MOST_UNIT_CHARACTERS
from functions.predict.contract.description import typical
from functions.predict.contract.schemas import reference, schemas
from functions.predict.explanations import MOST_ROWS as MOST_EXPLAINED
from functions.predict.settings import Limits
from functions.predict.wire.payload import MEDIA_TYPES, MOST_EFFECTS, TABLE
from functions.predict.wire.payload import WORKBOOK as WORKBOOK_KIND
from shared.cells import written
from shared.documents import Manifest
from shared.problems import MAX_PROBLEMS

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

OPTIONS: Sequence[Json] = (
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
)
"""Parameters by which a caller of many rows says how they are answered."""

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


COMPONENTS: Json = {
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
}
"""What the paths refer to beside the schemas."""


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
            "schemas": schemas(manifest, limits.max_rows, MOST_EXPLAINED),
            **COMPONENTS,
        },
    }


def example_row(manifest: Manifest) -> dict[str, bool | str | float]:
    """A row that the model accepts: what it imputes, or the first category, or the middle of a range."""
    return {feature.name: typical(feature) for feature in manifest.features}


def _getter(operation: str, summary: str, component: str) -> Json:
    responses = {"200": _answer(summary, {"application/json": {"schema": reference(component)}})}
    if operation != "health":
        responses["503"] = _refusal("503")
    if operation == "card":
        responses["409"] = _refusal("409")
    return {"operationId": operation, "summary": summary, "responses": responses}


def _predict(manifest: Manifest) -> Json:
    content = {"application/json": {"schema": reference("Row"), "example": example_row(manifest)}}
    return {
        "operationId": "predict",
        "summary": f"Predict {manifest.target} for one row",
        "parameters": list(ARMS),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _answer("The prediction", {"application/json": {"schema": reference("Prediction")}}),
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
        "application/json": {"schema": reference("Predictions")},
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
        "parameters": [*OPTIONS, *ARMS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": reference("Batch"), "example": {"instances": [row]}},
                **tables,
            },
        },
        "responses": {
            "200": _answer("The predictions, in the order of the rows", answers),
            **{status: _refusal(status) for status in (*REFUSALS, *UNEXPLAINED)},
        },
    }


def _explain(manifest: Manifest) -> Json:
    content = {"application/json": {"schema": reference("ToExplain"), "example": example_row(manifest)}}
    explanation = {"oneOf": [reference("Explained"), reference("ExplainedRows")]}
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
            "200": _answer("The effects, in the target's unit", {"application/json": {"schema": explanation}}),
            **{status: _refusal(status) for status in (*REFUSALS, *UNEXPLAINED)},
        },
    }


def _answer(description: str, content: Json) -> Json:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    return {"description": description, "headers": headers, "content": content}


def _refusal(status: str) -> Json:
    answer = _answer(
        {**REFUSALS, **UNEXPLAINED}[status], {"application/problem+json": {"schema": reference("Problem")}}
    )
    if status == "503":
        answer["headers"] = {**answer["headers"], "Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    return answer


def _csv_example(manifest: Manifest) -> str:
    features = manifest.features
    lines = [[feature.name for feature in features], [written(typical(feature), feature) for feature in features]]
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell
