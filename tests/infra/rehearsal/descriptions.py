"""Requests held against the APIs' own descriptions: which method it is, and what of it the API does not know."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.infra import api_descriptions

APIS = {
    "cloudbilling": ("cloudbilling.v1",),
    "cloudbuild": ("cloudbuild.v1",),
    "cloudfunctions": ("cloudfunctions.v2",),
    "cloudresourcemanager": ("cloudresourcemanager.v1",),
    "cloudscheduler": ("cloudscheduler.v1",),
    "compute": ("compute.v1",),
    "eventarc": ("eventarc.v1",),
    "pubsub": ("pubsub.v1",),
    "run": ("run.v1",),
    "serviceusage": ("serviceusage.v1", "serviceusage.v1beta1"),
    "storage": ("storage.v1",),
}
EVERYWHERE = {"$.xgafv", "access_token", "callback", "upload_protocol", "x-goog-user-project"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """One method of one API with the values that the path gives its parameters, in their order."""

    id: str
    described: Json
    api: str
    values: tuple[str, ...]


@cache
def _methods(api: str) -> list[tuple[str, re.Pattern[str], Json]]:
    described = api_descriptions.document(api)
    found: list[tuple[str, re.Pattern[str], Json]] = []

    def walk(resources: Mapping[str, Any]) -> None:
        for resource in resources.values():
            for method in resource.get("methods", {}).values():
                paths = [described["servicePath"] + method.get("flatPath", method["path"])]
                uploads = method.get("mediaUpload", {}).get("protocols", {})
                paths += [protocol["path"].lstrip("/") for protocol in uploads.values()]
                found.extend((method["httpMethod"], _pattern(path), method) for path in paths)
            walk(resource.get("resources", {}))

    walk(described["resources"])
    return found


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{\+?[^}]+\}", path)
    return re.compile("([^/:]+)".join(re.escape(part) for part in parts))


def method_of(label: str, verb: str, path: str) -> Method | None:
    """The method that a request calls; None where the API has none such."""
    for api in APIS[label]:
        for known, pattern, described in _methods(api):
            match = pattern.fullmatch(path.lstrip("/"))
            if known == verb and match:
                return Method(described["id"], described, api, match.groups())
    return None


def problems(method: Method, query: Mapping[str, str], body: Any) -> Iterator[str]:
    """What the API's description does not know of a request."""
    document = api_descriptions.document(method.api)
    known = {*method.described.get("parameters", {}), *document.get("parameters", {}), *EVERYWHERE}
    yield from (f"{method.id} has no parameter {name!r}" for name in query if name not in known)
    reference = method.described.get("request", {}).get("$ref")
    if isinstance(body, dict) and reference:
        yield from _unknown(document["schemas"], reference, body, method.id)


def _unknown(schemas: Json, schema: str, body: Mapping[str, Any], place: str) -> Iterator[str]:
    properties = schemas[schema].get("properties", {})
    for name, value in body.items():
        if name not in properties:
            if "additionalProperties" not in schemas[schema]:
                yield f"{place} has no field {name!r}"
            continue
        described = properties[name]
        inner = described.get("$ref") or described.get("items", {}).get("$ref")
        if inner:
            for entry in value if isinstance(value, list) else [value]:
                if isinstance(entry, dict):
                    yield from _unknown(schemas, inner, entry, f"{place}.{name}")
        else:
            yield from _wrong(described, value, f"{place}.{name}")


def _wrong(described: Json, value: Any, place: str) -> Iterator[str]:
    allowed = described.get("enum")
    if allowed and value not in allowed:
        yield f"{place}: {value!r} is none of {', '.join(allowed)}"
    if described.get("pattern") and isinstance(value, str) and not re.search(described["pattern"], value):
        yield f"{place}: {value!r} does not match {described['pattern']}"
