"""The formats of the wire: multipart bodies, byte ranges, gzip, and the headers that describe an object.

Everything that may be large is read and written as a stream.
"""

import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from typing import Any

from infra.local.storage.faults import Fault, invalid
from infra.local.storage.resources import Json, ObjectVersion

MAX_METADATA_BYTES = 1 << 20
GUNZIP_BYTES = 1 << 20

Stream = AsyncIterator[bytes]

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")


@dataclass(frozen=True)
class ContentRange:
    """`bytes first-last/total` of an upload; None where it says `*`."""

    first: int | None
    last: int | None
    total: int | None

    @classmethod
    def parse(cls, text: str) -> "ContentRange":
        found = _CONTENT_RANGE.fullmatch(text.strip())
        if found is None:
            raise invalid(f"Invalid Content-Range: expected 'bytes first-last/total', found {text[:64]!r}")
        first, last, total = (None if part in (None, "*") else int(part) for part in found.groups())
        if first is not None and last is not None and (last < first or (total is not None and last >= total)):
            raise invalid(f"Invalid Content-Range: {text[:64]!r} ends before it starts or beyond its total")
        return cls(first, last, total)


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) that a `Range` header asks for; None, as for what is not one range, means all.

    Raises a 416 where the object has no such bytes.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    first, last, suffix = (None if part is None else int(part) for part in found.groups())
    if suffix is not None:
        start, end = max(0, size - suffix), size
    else:
        start, end = first or 0, size if last is None else min(last + 1, size)
        if last is not None and first is not None and last < first:
            return None
    if start >= end:
        raise Fault(416, "requestedRangeNotSatisfiable", f"The requested range cannot be satisfied: {size} bytes")
    return start, end


def json_object(body: bytes) -> Json:
    """A JSON object, or an empty one for an empty body."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # refuses halves of surrogate pairs, which no text may hold
    except (ValueError, RecursionError) as error:
        raise Fault(400, "parseError", "Parse Error: the body is not valid JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise Fault(400, "parseError", f"Expected a JSON object as the body, found {type(value).__name__}")
    return value


def boundary(content_type: str) -> bytes:
    """The boundary of a multipart content type."""
    message = Message()
    message["Content-Type"] = content_type
    value = message.get_param("boundary")
    if message.get_content_maintype() != "multipart" or not isinstance(value, str) or not value:
        raise invalid(f"Expected a multipart content type with a boundary, found {content_type[:128]!r}")
    if value.startswith("'") and value.endswith("'"):  # gsutil and gcloud write Python's quotes around it
        value = value[1:-1]
    return value.encode()


class MultipartBody:
    """A `multipart/related` body of two parts: the resource in JSON, then the bytes, which are passed on as they come.

    Lines end as the first one does: some clients write bare line feeds, and a content may end in a carriage return.
    """

    def __init__(self, stream: Stream, limit: bytes) -> None:
        self._stream = stream
        self._limit = b"--" + limit
        self._newline = b"\n"
        self._buffer = b""

    async def metadata(self) -> tuple[Json, str | None]:
        """The resource, and the content type of the bytes that follow."""
        await self._until(self._limit)
        if (await self._until(b"\n")).endswith(b"\r"):
            self._newline = b"\r\n"
        self._limit = self._newline + self._limit
        await self._headers()
        resource = json_object(await self._until(self._limit))
        await self._until(self._newline)
        return resource, (await self._headers()).get("content-type")

    async def media(self) -> Stream:
        """The bytes of the second part. Raises a 400 if the body ends before the closing delimiter."""
        keep = len(self._limit) - 1
        while (at := self._buffer.find(self._limit)) < 0:
            if len(self._buffer) > keep:
                yield self._buffer[:-keep]
                self._buffer = self._buffer[-keep:]
            await self._more()
        yield self._buffer[:at]

    async def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := await self._until(self._newline):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > MAX_METADATA_BYTES:
                raise invalid("The metadata part of the multipart body is too large")
            await self._more()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return found

    async def _more(self) -> None:
        async for data in self._stream:
            if data:
                self._buffer += data
                return
        raise invalid("The multipart body ends before its closing delimiter")


async def gunzipped(stream: Stream) -> Stream:
    """What a gzip stream holds, never more than a piece of it in memory. Raises a 400 for what is not gzip."""
    decoder = zlib.decompressobj(wbits=31)
    async for data in stream:
        rest = data
        while rest:
            try:
                yield decoder.decompress(rest, GUNZIP_BYTES)
            except zlib.error as error:
                raise invalid("The content is not valid gzip data") from error
            rest = decoder.unconsumed_tail
            if decoder.eof and decoder.unused_data:  # gzip files may be joined
                rest, decoder = decoder.unused_data, zlib.decompressobj(wbits=31)
    while tail := decoder.decompress(decoder.unconsumed_tail, GUNZIP_BYTES):
        yield tail


def object_headers(version: ObjectVersion) -> dict[str, str]:
    """What a download says about its object."""
    fields = version.fields
    hashes = [f"crc32c={version.crc32c}", *([f"md5={version.md5}"] if version.md5 else [])]
    headers = {
        "x-goog-generation": str(version.generation),
        "x-goog-metageneration": str(version.metageneration),
        "x-goog-hash": ",".join(hashes),
        "x-goog-storage-class": fields.get("storageClass"),
        "x-goog-stored-content-encoding": fields.get("contentEncoding", "identity"),
        "x-goog-stored-content-length": str(version.size),
        "etag": version.etag,
        "last-modified": formatdate(version.updated // 1_000_000, usegmt=True),
        "content-type": fields.get("contentType", "application/octet-stream"),
        "content-disposition": fields.get("contentDisposition"),
        "content-language": fields.get("contentLanguage"),
        "cache-control": fields.get("cacheControl", "private, max-age=0"),
        **{f"x-goog-meta-{key}": value for key, value in fields.get("metadata", {}).items()},
    }
    return {name: value for name, value in headers.items() if _sendable(name) and _sendable(value)}


def _sendable(text: Any) -> bool:
    """Whether it may stand in a header: printable ASCII. Anything else is in the resource only."""
    return isinstance(text, str) and text.isascii() and text.isprintable()


def custom_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The `x-goog-meta-` headers of an upload."""
    prefix = "x-goog-meta-"
    return {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
