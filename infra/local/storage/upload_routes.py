"""Routes of uploads: media, multipart and resumable. The bytes go to the database as they arrive."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.storage.checksums import expected_checksums
from infra.local.storage.conditions import Conditions
from infra.local.storage.faults import Fault, invalid, required
from infra.local.storage.request import conditions, json_body, links, segment, storage
from infra.local.storage.resources import Json, ObjectVersion, object_resource
from infra.local.storage.uploads import UNIT_BYTES, UploadSession
from infra.local.storage.wire import ContentRange, MultipartBody, Stream, boundary, gunzipped

_DEFAULT_TYPE = "application/octet-stream"


async def insert_object(request: Request) -> Response:
    kinds = {"media": _media, "multipart": _multipart, "resumable": _start_or_continue}
    kind = request.query_params.get("uploadType", "")
    if kind not in kinds:
        raise invalid(f"Invalid uploadType: expected one of {', '.join(kinds)}, found {kind[:32]!r}")
    return await kinds[kind](request)


async def continue_upload(request: Request) -> Response:
    """A part of a resumable upload, its last part, or the question how far it is."""
    session = _session(request)
    if session.finished is not None:
        return _resource(request, storage(request).uploads.result(session))
    span = _content_range(request)
    if span is not None and span.first is None:
        return _without_bytes(request, session, span)
    await _receive(request, session, span)
    size = storage(request).uploads.writer(session).received
    if span is None or span.total == size:
        return _finish(request, session)
    if span.total is not None and span.last is not None and span.last + 1 == span.total:
        raise invalid(f"The last part ends at {span.total}, but only {size} bytes have arrived")
    return _incomplete(request, session)


async def cancel_upload(request: Request) -> Response:
    storage(request).uploads.cancel(_session(request))
    return Response(status_code=499)


async def store(
    request: Request, bucket: str, name: str, fields: Json, wanted: Conditions, stream: Stream
) -> ObjectVersion:
    """One object from one stream, all or nothing."""
    engine = storage(request)
    engine.objects.require_writable(bucket, name, wanted)
    claims = expected_checksums(fields, request.headers)
    writer = engine.contents.writer()
    try:
        async for data in stream:
            writer.write(data)
        return engine.objects.put(bucket, name, fields, wanted, lambda: writer.close(claims))
    except BaseException:
        if writer.content is not None:
            engine.contents.drop_if_unused(writer.content)
        raise


async def _media(request: Request) -> Response:
    name = request.query_params.get("name")
    if name is None:
        raise required("name")
    fields = {"contentType": request.headers.get("content-type", _DEFAULT_TYPE)}
    if "contentEncoding" in request.query_params:
        fields["contentEncoding"] = request.query_params["contentEncoding"]
    bucket = segment(request, "bucket")
    return _resource(request, await store(request, bucket, name, fields, conditions(request), _stream(request)))


async def _multipart(request: Request) -> Response:
    body = MultipartBody(_stream(request), boundary(request.headers.get("content-type", "")))
    resource, media_type = await body.metadata()
    fields = {"contentType": media_type or _DEFAULT_TYPE, **_given(resource)}
    bucket, name = segment(request, "bucket"), _name(request, resource)
    return _resource(request, await store(request, bucket, name, fields, conditions(request), body.media()))


async def _start_or_continue(request: Request) -> Response:
    if "upload_id" in request.query_params:
        return await continue_upload(request)
    resource = await json_body(request)
    media_type = request.headers.get("x-upload-content-type", _DEFAULT_TYPE)
    fields = {"contentType": media_type, **_given(resource)}
    return start_upload(request, segment(request, "bucket"), _name(request, resource), fields, conditions(request))


def start_upload(request: Request, bucket: str, name: str, fields: Json, wanted: Conditions) -> Response:
    """A new session; its address is in `Location`."""
    declared = request.headers.get("x-upload-content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else None
    session = storage(request).uploads.start(bucket, name, fields, wanted, size)
    address = f"{str(request.base_url).rstrip('/')}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
    location = f"{address}?uploadType=resumable&name={quote(name, safe='')}&upload_id={session.id}"
    return Response(headers={"location": location, "x-guploader-uploadid": session.id})


async def _receive(request: Request, session: UploadSession, span: ContentRange | None) -> None:
    """Add the request's bytes. What the server has already is skipped; a gap is refused; an odd rest is forgotten."""
    writer = storage(request).uploads.writer(session)
    first = 0 if span is None or span.first is None else span.first
    if first > writer.received:
        raise Fault(400, "invalid", f"Expected the upload to go on at byte {writer.received}, found {first}")
    known, last_part = writer.received - first, False
    try:
        async for data in request.stream():
            writer.write(data[known:])
            known = max(0, known - len(data))
        last_part = span is None or span.total == writer.received
    finally:
        if not last_part:
            writer.store_multiple_of(UNIT_BYTES)


def _without_bytes(request: Request, session: UploadSession, span: ContentRange) -> Response:
    """`bytes */*` and `bytes */total`: the latter ends an upload whose bytes are all there."""
    if span.total is not None and span.total == storage(request).uploads.writer(session).received:
        return _finish(request, session)
    return _incomplete(request, session)


def _finish(request: Request, session: UploadSession) -> Response:
    claims = expected_checksums(session.fields, request.headers)
    return _resource(request, storage(request).uploads.finish(session, claims))


def _incomplete(request: Request, session: UploadSession) -> Response:
    received = storage(request).uploads.writer(session).received
    headers = {"x-guploader-uploadid": session.id, "x-http-status-code-override": "308"}
    if received:
        headers["range"] = f"bytes=0-{received - 1}"
    return Response(status_code=308, headers=headers)


def _session(request: Request) -> UploadSession:
    identifier = request.query_params.get("upload_id")
    if identifier is None:
        raise required("upload_id")
    return storage(request).uploads.get(identifier)


def _content_range(request: Request) -> ContentRange | None:
    text = request.headers.get("content-range")
    return None if text is None else ContentRange.parse(text)


def _name(request: Request, resource: Json) -> str:
    name = resource.get("name", request.query_params.get("name"))
    if not isinstance(name, str):
        raise required("name")
    return name


def _given(resource: Json) -> Json:
    return {field: value for field, value in resource.items() if value is not None}


def _stream(request: Request) -> Stream:
    stream = request.stream()
    return gunzipped(stream) if request.headers.get("content-encoding") == "gzip" else stream


def _resource(request: Request, version: ObjectVersion) -> Response:
    return JSONResponse(object_resource(version, links(request)), headers={"etag": version.etag})


ROUTES = [
    Route(f"{prefix}/storage/v1/b/{{bucket}}/o", handler, methods=[method])
    for prefix in ("/upload", "/resumable/upload")
    for method, handler in (("POST", insert_object), ("PUT", continue_upload), ("DELETE", cancel_upload))
]
