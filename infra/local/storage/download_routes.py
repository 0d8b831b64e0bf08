"""The answer that carries an object's bytes: whole, a range, or unzipped for a client that does not take gzip."""

from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from infra.local.storage.contents import Contents
from infra.local.storage.request import storage
from infra.local.storage.resources import ObjectVersion
from infra.local.storage.wire import byte_range, gunzipped, object_headers


def download(request: Request, version: ObjectVersion) -> Response:
    """Stream the version's bytes. A `HEAD` gets the same headers without them."""
    headers = {**object_headers(version), "accept-ranges": "bytes"}
    contents = storage(request).contents
    if version.fields.get("contentEncoding") == "gzip":
        if not _takes_gzip(request, version):
            return _unzipped(contents, version, headers)
        headers["content-encoding"] = "gzip"
        headers["vary"] = "Accept-Encoding"
    span = byte_range(request.headers.get("range"), version.size)
    start, end = span or (0, version.size)
    headers["content-length"] = str(end - start)
    if span:
        headers["content-range"] = f"bytes {start}-{end - 1}/{version.size}"
    status = 206 if span else 200
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers)
    pieces = _pieces(contents, version.content, start, end)
    return _PinnedResponse(contents, version.content, pieces, status_code=status, headers=headers)


def _takes_gzip(request: Request, version: ObjectVersion) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "") or "no-transform" in version.fields.get(
        "cacheControl", ""
    )


def _unzipped(contents: Contents, version: ObjectVersion, headers: dict[str, str]) -> Response:
    transformed = {
        **headers,
        "warning": "214 UploadServer gunzipped",
        "x-guploader-response-body-transformations": "gunzipped",
        "accept-ranges": "none",
    }
    pieces = gunzipped(_pieces(contents, version.content, 0, version.size))
    return _PinnedResponse(contents, version.content, pieces, headers=transformed)


async def _pieces(contents: Contents, content: int, start: int, end: int) -> AsyncIterator[bytes]:
    for data in contents.read(content, start, end):
        yield data


class _PinnedResponse(StreamingResponse):
    """Keeps the bytes from the moment that the object was found until the last one is sent."""

    def __init__(
        self,
        contents: Contents,
        content: int,
        pieces: AsyncIterator[bytes],
        *,
        status_code: int = 200,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(pieces, status_code=status_code, headers=headers)
        self._contents = contents
        self._content = content
        contents.pin(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._contents.unpin(self._content)
