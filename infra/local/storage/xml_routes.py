"""Objects at `/BUCKET/OBJECT`, as signed URLs and browsers ask for them. Conditions come in headers, errors in XML.

Signatures are not checked, as nobody holds a secret here; that a URL has expired is.
"""

from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.local.storage.conditions import Conditions
from infra.local.storage.download_routes import download
from infra.local.storage.faults import NO_BUCKET, Fault, invalid
from infra.local.storage.request import storage, target
from infra.local.storage.resources import Json
from infra.local.storage.upload_routes import start_upload, store
from infra.local.storage.wire import custom_metadata

_CODES = {304: "NotModified", 403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 416: "InvalidRange"}
_SYSTEM_FIELDS = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
    "x-goog-storage-class": "storageClass",
}


async def read(request: Request) -> Response:
    """GET of an object."""
    _require_fresh(request)
    version = storage(request).objects.get(*target(request))
    Conditions.from_headers(request.headers).require_for_read(version)
    return download(request, version)


async def write(request: Request) -> Response:
    """PUT of an object."""
    _require_fresh(request)
    bucket, name, _ = target(request)
    wanted = Conditions.from_headers(request.headers)
    version = await store(request, bucket, name, _fields(request), wanted, request.stream())
    headers = {"x-goog-generation": str(version.generation), "x-goog-metageneration": str(version.metageneration)}
    return Response(headers={**headers, "etag": version.etag})


async def remove(request: Request) -> Response:
    """DELETE of an object."""
    _require_fresh(request)
    storage(request).objects.delete(*target(request), Conditions.from_headers(request.headers))
    return Response(status_code=204)


async def start(request: Request) -> Response:
    """The one POST there is: it starts a resumable upload."""
    _require_fresh(request)
    if request.headers.get("x-goog-resumable") != "start":
        raise invalid("Expected the header 'x-goog-resumable: start' with a POST to an object")
    bucket, name, _ = target(request)
    started = start_upload(request, bucket, name, _fields(request), Conditions.from_headers(request.headers))
    started.status_code = 201
    return started


def xml_error(fault: Fault) -> Response:
    """The fault as the XML API writes it."""
    code = "ExpiredToken" if fault.reason == "expired" else _CODES.get(fault.status, "InvalidArgument")
    if fault.message.startswith(NO_BUCKET):
        code = "NoSuchBucket"
    detail = f"<Code>{code}</Code><Message>{escape(fault.message)}</Message>"
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error>{detail}</Error>"
    return Response(body, fault.status, media_type="application/xml; charset=UTF-8")


def _fields(request: Request) -> Json:
    headers = request.headers
    fields: Json = {field: headers[name] for name, field in _SYSTEM_FIELDS.items() if name in headers}
    if metadata := custom_metadata(headers):
        fields["metadata"] = metadata
    return fields


def _require_fresh(request: Request) -> None:
    """Refuse a signed URL after its time; one that is not signed has none."""
    parameters = request.query_params
    now = datetime.now(UTC)
    try:
        if "X-Goog-Signature" in parameters:
            signed = datetime.strptime(parameters["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            fresh = now <= signed + timedelta(seconds=int(parameters["X-Goog-Expires"]))
        else:
            fresh = now.timestamp() <= int(parameters.get("Expires", now.timestamp() + 1))
    except (KeyError, ValueError, OverflowError) as error:
        raise invalid("A signed URL needs X-Goog-Date and X-Goog-Expires, or Expires, in their own formats") from error
    if not fresh:
        raise Fault(400, "expired", "The provided token has expired: the time of the signed URL is over.")


class _BucketName(StringConvertor):
    """A first path segment that is none of the JSON interface's."""

    regex = r"(?!(?:storage|upload|download|resumable|batch)/)[^/]+"


register_url_convertor("bucket", _BucketName())
_PATH = "/{bucket:bucket}/{object:path}"

ROUTES = [
    Route(_PATH, read, methods=["GET"]),
    Route(_PATH, write, methods=["PUT"]),
    Route(_PATH, remove, methods=["DELETE"]),
    Route(_PATH, start, methods=["POST"]),
]
