"""Routes of objects as resources: list, read, change, delete, copy, rewrite, compose."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.storage.conditions import Conditions, flag, number
from infra.local.storage.download_routes import download
from infra.local.storage.faults import condition_not_met, invalid, no_access_controls, not_modified
from infra.local.storage.listing import Query
from infra.local.storage.request import conditions, generation, json_body, links, segment, storage, target
from infra.local.storage.resources import OBJECT_FIELDS, Json, ObjectVersion, object_resource


async def list_objects(request: Request) -> Response:
    answer: Json = {"kind": "storage#objects"}
    bucket = segment(request, "bucket")
    if flag(request.query_params, "softDeleted"):
        storage(request).buckets.get(bucket)
        return JSONResponse(answer)
    page = storage(request).listing.page(bucket, Query.from_parameters(request.query_params))
    if page.items:
        answer["items"] = [object_resource(version, links(request)) for version in page.items]
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.next:
        answer["nextPageToken"] = page.next
    return JSONResponse(answer)


async def get_object(request: Request) -> Response:
    version = storage(request).objects.get(*target(request))
    conditions(request).require_for_read(version)
    _require_etag(request, version)
    if request.query_params.get("alt") == "media":
        return download(request, version)
    return _resource(request, version)


async def download_object(request: Request) -> Response:
    version = storage(request).objects.get(*target(request))
    conditions(request).require_for_read(version)
    _require_etag(request, version)
    return download(request, version)


async def change_object(request: Request) -> Response:
    changes = await json_body(request)
    changed = storage(request).objects.patch(
        *target(request), changes, conditions(request), replace=request.method == "PUT"
    )
    return _resource(request, changed)


async def delete_object(request: Request) -> Response:
    storage(request).objects.delete(*target(request), conditions(request))
    return Response(status_code=204)


async def copy_object(request: Request) -> Response:
    return _resource(request, await _copied(request))


async def rewrite_object(request: Request) -> Response:
    """Always done in one call, since a copy moves no bytes."""
    version = await _copied(request)
    return JSONResponse(
        {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(version.size),
            "objectSize": str(version.size),
            "done": True,
            "resource": object_resource(version, links(request)),
        }
    )


async def compose_object(request: Request) -> Response:
    bucket, name, _ = target(request)
    body = await json_body(request)
    composed = storage(request).objects.compose(
        bucket, name, _sources(body), _mapping(body, "destination"), conditions(request)
    )
    return _resource(request, composed)


async def access_controls(request: Request) -> Response:
    storage(request).objects.get(*target(request))
    raise no_access_controls()


async def _copied(request: Request) -> ObjectVersion:
    body = await json_body(request)
    given = {field: body[field] for field in OBJECT_FIELDS if body.get(field) is not None}
    bucket, name, _ = target(request)
    return storage(request).objects.copy(
        (bucket, name, generation(request, "sourceGeneration")),
        (segment(request, "to_bucket"), segment(request, "to_object")),
        given or None,
        conditions(request),
        conditions(request, "ifSource"),
    )


def _sources(body: Json) -> list[tuple[str, int | None, Conditions]]:
    sources = body.get("sourceObjects")
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise invalid("Expected a list of objects as sourceObjects")
    return [_source(source) for source in sources]


def _source(source: dict[str, Any]) -> tuple[str, int | None, Conditions]:
    wanted = {name: str(value) for name, value in _mapping(source, "objectPreconditions").items()}
    if not isinstance(source.get("name"), str):
        raise invalid("Expected a name in each of sourceObjects")
    version = {name: str(source[name]) for name in ("generation",) if source.get(name) is not None}
    return source["name"], number(version, "generation"), Conditions.from_parameters(wanted)


def _mapping(body: Json, name: str) -> Json:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise invalid(f"Expected an object as {name}, found {type(value).__name__}")
    return value


def _require_etag(request: Request, version: ObjectVersion) -> None:
    """The HTTP conditions, which compare the same version by its tag."""
    wanted, known = (_tags(request, header) for header in ("if-match", "if-none-match"))
    if wanted and not wanted & {version.etag, "*"}:
        raise condition_not_met("If-Match")
    if known & {version.etag, "*"}:
        raise not_modified()


def _tags(request: Request, header: str) -> set[str]:
    return {tag.strip().strip('"') for tag in request.headers.get(header, "").split(",") if tag.strip()}


def _resource(request: Request, version: ObjectVersion) -> Response:
    return JSONResponse(object_resource(version, links(request)), headers={"etag": version.etag})


_OBJECTS = "/storage/v1/b/{bucket}/o"
_OBJECT = f"{_OBJECTS}/{{object}}"
_TO = "b/{to_bucket}/o/{to_object}"

ROUTES = [
    Route(_OBJECTS, list_objects, methods=["GET"]),
    Route(_OBJECT, get_object, methods=["GET"]),
    Route(_OBJECT, change_object, methods=["PATCH", "PUT"]),
    Route(_OBJECT, delete_object, methods=["DELETE"]),
    Route(f"{_OBJECT}/compose", compose_object, methods=["POST"]),
    Route(f"{_OBJECT}/copyTo/{_TO}", copy_object, methods=["POST"]),
    Route(f"{_OBJECT}/rewriteTo/{_TO}", rewrite_object, methods=["POST"]),
    Route(f"{_OBJECT}/acl", access_controls, methods=["GET", "POST"]),
    Route(f"/download{_OBJECT}", download_object, methods=["GET"]),
]
