"""The OpenAPI document: well-formed, true to the model, and true to what the service answers."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import openapi_spec_validator
import pytest

from functions.predict.contract.openapi import describe_api
from functions.predict.settings import Limits
from shared.documents import TargetRange
from shared.serving.csv_table import parse_csv
from shared.serving.loaded_model import load
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, golden_rows, promote

LIMITS = Limits(max_bytes=4096, max_rows=50)
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@pytest.fixture
def client() -> Client:
    store = MemoryStore()
    promote(store)
    return Client(store, limits=LIMITS)


@pytest.fixture
def api(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def mistakes(value: Any, schema: dict[str, Any], api: dict[str, Any], where: str = "") -> list[str]:  # noqa: PLR0912
    """What JSON Schema says against `value`, for the words that the document uses; any other word is a mistake."""
    if "$ref" in schema:
        return mistakes(value, resolved(schema["$ref"], api), api, where)
    found: list[str] = []
    for word, rule in schema.items():
        if word == "type":
            names = [rule] if isinstance(rule, str) else rule
            fits = any(type(value) in JSON_TYPES[name] for name in names)
            if not fits:
                return [f"{where}: {type(value).__name__} is no {names}"]
        elif word in ("enum", "const"):
            found += [] if value in (rule if word == "enum" else [rule]) else [f"{where}: not in {rule}"]
        elif word == "x-categories":
            found += [] if value is None or value in rule else [f"{where}: not in {rule}"]
        elif word in ("minimum", "maximum"):
            inside = value is None or (value >= rule if word == "minimum" else value <= rule)
            found += [] if inside else [f"{where}: beyond the {word} {rule}"]
        elif word == "required":
            found += [f"{where}/{name}: absent" for name in rule if name not in value]
        elif word == "properties":
            for name, part in rule.items():
                found += mistakes(value[name], part, api, f"{where}/{name}") if name in value else []
        elif word == "additionalProperties":
            found += [f"{where}/{name}: not described" for name in value if name not in schema["properties"]]
        elif word == "items":
            found += [entry for n, item in enumerate(value) for entry in mistakes(item, rule, api, f"{where}/{n}")]
        elif word == "maxItems":
            found += [] if len(value) <= rule else [f"{where}: more than {rule}"]
        elif word == "oneOf":
            fitting = sum(not mistakes(value, part, api, where) for part in rule)
            found += [] if fitting == 1 else [f"{where}: fits {fitting} of {len(rule)} forms"]
        elif word == "anyOf":
            found += [] if any(not mistakes(value, part, api, where) for part in rule) else [f"{where}: fits no form"]
        elif word not in ("description", "examples"):
            found.append(f"{where}: the word {word!r} is not expected in this document")
    return found


def resolved(reference: str, api: dict[str, Any]) -> dict[str, Any]:
    found: Any = api
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def references(value: Any) -> Iterator[str]:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in members:
        yield from references(member)
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]


def component(api: dict[str, Any], name: str) -> dict[str, Any]:
    return resolved(f"#/components/schemas/{name}", api)


def test_the_document_is_openapi_3_1_with_every_route_that_answers_json(api: dict[str, Any]) -> None:
    assert (api["openapi"], api["info"]["version"]) == ("3.1.0", "1.0")
    assert api["info"]["x-run-id"] == FIRST
    posts = {"/predict", "/predict_batch", "/explain"}
    assert set(api["paths"]) == {"/health", "/ready", "/schema", "/meta", "/card.json", *posts}
    operations = [operation for methods in api["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert set(operation) <= {"operationId", "summary", "description", "parameters", "requestBody", "responses"}
        for answer in operation["responses"].values():
            assert answer["description"] and answer["content"]
    assert {reference for reference in references(api) if resolved(reference, api)}


def test_the_document_is_openapi(api: dict[str, Any]) -> None:
    openapi_spec_validator.validate(api)


def test_each_schema_is_a_json_schema(api: dict[str, Any]) -> None:
    for name in api["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(component(api, name))


def test_a_row_has_the_model_s_categories_ranges_and_gaps(api: dict[str, Any]) -> None:
    row = component(api, "Row")
    assert row["required"] == [feature.name for feature in FEATURES]
    fields = row["properties"]
    assert fields["gender"]["x-categories"] == ["female", "male"]
    assert fields["lunch"]["x-categories"] == ["standard", "free/reduced"]
    assert "enum" not in fields["gender"]  # a type that each training changes
    assert fields["lunch"]["type"] == ["string", "null"]
    assert (fields["age"]["minimum"], fields["age"]["maximum"]) == (5, 25)
    assert not {"minimum", "maximum"} & set(fields["hours"])
    assert "race/ethnicity" in fields["race_ethnicity"]["description"]
    assert all(field["examples"] for name, field in fields.items() if name in row["required"])


def test_every_row_that_the_service_accepts_fits_and_what_it_refuses_does_not(
    client: Client, api: dict[str, Any]
) -> None:
    row = component(api, "Row")
    rows: list[dict[str, Any]] = [dict(entry) for entry in golden_rows()]
    changes: list[dict[str, Any]] = [{"math_score": 3}, {"age": 26}, {"age": "15"}, {"age": True}, {"gender": None}]
    changes += [{"gender": "other"}, {"colour": "red"}, {"hours": []}]
    rows += [{**ROW, **change} for change in changes]
    rows.append({name: cell for name, cell in ROW.items() if name != "lunch"})
    statuses = [client.post("/predict", json.dumps(entry)).status_code for entry in rows]
    assert [not mistakes(entry, row, api) for entry in rows] == [status == 200 for status in statuses]
    assert set(statuses) == {200, 422}


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_every_example_is_accepted_and_every_answer_is_as_described(
    client: Client, api: dict[str, Any], kind: str
) -> None:
    for path in ("/predict", "/predict_batch", "/explain"):
        operation = api["paths"][path]["post"]
        if kind not in operation["requestBody"]["content"]:
            continue
        example = operation["requestBody"]["content"][kind]["example"]
        content = example if isinstance(example, str) else json.dumps(example)
        answer = client.post(path, content, {"Content-Type": kind})
        described = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert (answer.status_code, mistakes(answer.json(), described, api)) == (200, [])


def test_every_form_of_an_explanation_is_as_described(client: Client, api: dict[str, Any]) -> None:
    operation = api["paths"]["/explain"]["post"]
    described = operation["responses"]["200"]["content"]["application/json"]["schema"]
    for sent in (dict(ROW), [dict(ROW)] * 2, {"instances": [dict(ROW)]}, {**ROW, "math_score": 1}):
        assert mistakes(sent, component(api, "ToExplain"), api) == []
        assert mistakes(client.post("/explain", json.dumps(sent)).json(), described, api) == []
    batch = client.post("/predict_batch?explain=2", json.dumps([ROW])).json()
    assert mistakes(batch, component(api, "Predictions"), api) == []
    assert mistakes(batch["predictions"][0], component(api, "ExplainedOutcome"), api) == []


REFUSED = [("{", JSON, 400), ("{}", CSV, 415), ("[]", JSON, 422), (" " * 5000, JSON, 413)]


@pytest.mark.parametrize(("content", "headers", "status"), REFUSED, ids=[str(case[2]) for case in REFUSED])
def test_every_refusal_is_as_described(
    client: Client, api: dict[str, Any], content: str, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/predict", content, headers)
    described = api["paths"]["/predict"]["post"]["responses"][str(status)]["content"]
    assert answer.status_code == status
    assert mistakes(answer.json(), described[answer.headers["content-type"]]["schema"], api) == []


def test_the_routes_that_take_nothing_answer_as_described(client: Client, api: dict[str, Any]) -> None:
    for path in ("/health", "/ready", "/schema", "/meta", "/card.json"):
        described = api["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert mistakes(client.get(path).json(), described, api) == []


def test_a_model_without_risk_and_with_an_open_target_is_described_without_them() -> None:
    store = MemoryStore()
    promote(store, assessment=None, target_range=TargetRange(), dropped=(), aliases={})
    client = Client(store)
    api = client.get("/openapi.json").json()
    assert set(component(api, "Outcome")["properties"]) == {"prediction", "interval"}
    assert component(api, "Outcome")["properties"]["prediction"] == {"type": "number"}
    answer = client.post("/predict", json.dumps(ROW)).json()
    assert mistakes(answer, component(api, "Prediction"), api) == []


def test_there_is_no_description_before_there_is_a_model() -> None:
    answer = Client(MemoryStore()).get("/openapi.json")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


def test_examples_with_commas_and_quotes_stand_in_the_csv_example_as_one_cell() -> None:
    name = 'so-called "free", reduced'
    features = tuple(
        msgspec.structs.replace(feature, categories=(name,), imputed=name) if feature.name == "lunch" else feature
        for feature in FEATURES
    )
    store = MemoryStore()
    promote(store)
    loaded = load(store, "staging")
    api = describe_api(msgspec.structs.replace(loaded.manifest, features=features), LIMITS)
    example = api["paths"]["/predict_batch"]["post"]["requestBody"]["content"]["text/csv"]["example"]
    assert name in parse_csv(example.encode(), 5).rows[0]
