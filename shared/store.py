"""The bucket as this system uses it: six calls, writes with their precondition. The one home of google-cloud-storage.

`Store` is the port, `CloudStore` the adapter. The client library is imported at the first call, not with this module:
it costs more than the rest of a serving process's start.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shared.errors import (
    NotPermitted,
    ObjectMissing,
    ObjectTooLarge,
    PreconditionFailed,
    StorageUnavailable,
    WrongEncoding,
)
from shared.plain_reads import PlainReads

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

MAX_BYTES = 512 * 2**20
"""`max_bytes` of a read that names no smaller one."""
SLOWEST = 4 * 2**20
"""Bytes a second: what comes slower does not arrive in time."""
PLAIN_SECONDS = 3.0
"""Seconds of a read without the client, besides those of its bytes; then the client is asked, with its own deadline."""

Metadata = Mapping[str, str]
"""What a writer says of an object beside its content."""
CREATE_ONLY = 0
"""`if_generation` of a write that must not overwrite anything."""


@dataclass(frozen=True)
class ObjectInfo:
    """One generation of one object. `size` is in bytes; `metadata` is what its writer said of it beside the content
    (`gsutil -h x-goog-meta-key:value`), names in lower case.
    """

    name: str
    generation: int
    size: int
    metadata: Metadata = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Download:
    """The whole content of one generation."""

    data: bytes
    generation: int


class Store(Protocol):
    """One bucket. Every method raises StorageUnavailable for what may heal.

    Nothing is deleted: a create-only write whose answer was lost may arrive once more, and would bring it back.
    """

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        """The object, at `generation` or live. Raises ObjectMissing; ObjectTooLarge before more is held in memory.

        One with `Content-Encoding: gzip` is unzipped, as Cloud Storage serves it to who does not ask for gzip
        (https://cloud.google.com/storage/docs/transcoding). Raises WrongEncoding where its bytes are none.
        """

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        """The stored bytes `start` … `start + length` of exactly that generation; fewer where it ends before.

        Raises ObjectMissing.
        """

    def stat(self, name: str) -> ObjectInfo | None:
        """The live generation, or None."""

    def write(
        self, name: str, data: bytes, *, if_generation: int | None, content_type: str, metadata: Metadata | None = None
    ) -> ObjectInfo:
        """Replace the object if it is at `if_generation` (CREATE_ONLY: absent; None: whatever is there).

        Raises PreconditionFailed.
        """

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        """Server-side, create-only copy of exactly that generation. Raises ObjectMissing, PreconditionFailed."""

    def list(self, prefix: str) -> list[ObjectInfo]:
        """Live objects whose name begins with `prefix`, by name."""


def write_once(store: Store, name: str, data: bytes, content_type: str) -> ObjectInfo:
    """Create-only write that may be repeated: finding the same bytes there is success.

    A write whose answer was lost is retried by the client and then meets its own object. Raises PreconditionFailed
    where the object holds anything else, StorageUnavailable where somebody deletes it meanwhile.
    """
    try:
        return store.write(name, data, if_generation=CREATE_ONLY, content_type=content_type)
    except PreconditionFailed:
        try:
            present = store.read(name, max_bytes=len(data))
        except ObjectTooLarge:
            present = None
        except ObjectMissing:
            raise StorageUnavailable(f"{name!r} was there, and is deleted by now: write it again") from None
        if present is None or present.data != data:
            raise
        return ObjectInfo(name=name, generation=present.generation, size=len(data))


class CloudStore:
    """`Store` over Cloud Storage, or over whatever STORAGE_EMULATOR_HOST names (the client reads that itself).

    `timeout`: seconds without a byte; `deadline`: seconds for one call with all that it tries again, besides the time
    that its bytes take at SLOWEST. `environ`: with the process's environment, whole objects are read without the client
    library where one GET is enough, so that a process which only reads has its first object sooner.
    """

    def __init__(
        self, bucket: str, *, timeout: float = 30.0, deadline: float = 60.0, environ: Mapping[str, str] | None = None
    ) -> None:
        self._name = bucket
        self._timeout = timeout
        self._deadline = deadline
        self._bucket: Bucket | None = None
        self._plain = None if environ is None else PlainReads(bucket, environ, PLAIN_SECONDS)

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        found = self._read_plainly(name, generation, max_bytes)
        if found is not None:
            return found
        with self._in_time(name, max_bytes):
            blob = self._handle().blob(name, generation=generation)
            content = _Bounded(name, max_bytes)
            blob.download_to_file(content, **self._options())
            return Download(data=content.getvalue(), generation=int(blob.generation))  # from the answer's own headers

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        if length <= 0:
            return b""
        with self._in_time(name, length):
            blob = self._handle().blob(name, generation=generation)
            try:
                found: bytes = blob.download_as_bytes(
                    start=start, end=start + length - 1, raw_download=True, checksum=None, **self._options()
                )
            except RequestRangeNotSatisfiable:
                return b""
            return found

    def stat(self, name: str) -> ObjectInfo | None:
        with self._in_time(name):
            blob = self._handle().get_blob(name, **self._options())
            return None if blob is None else _info(blob)

    def write(
        self, name: str, data: bytes, *, if_generation: int | None, content_type: str, metadata: Metadata | None = None
    ) -> ObjectInfo:
        with self._refused_as_present(name, if_generation), self._in_time(name, len(data)):
            blob = self._handle().blob(name)
            if metadata:
                blob.metadata = dict(metadata)
            blob.upload_from_string(
                data, content_type=content_type, if_generation_match=if_generation, checksum="crc32c", **self._options()
            )
            return _info(blob)

    def upload(self, name: str, path: Path, metadata: Metadata) -> ObjectInfo:
        """Write a file of any size as people do: whatever is there is replaced, `metadata` is noted on it."""
        with _translated(name):
            blob = self._handle().blob(name)
            blob.metadata = dict(metadata)
            blob.upload_from_filename(str(path), checksum="crc32c", **self._options())
            return _info(blob)

    def copy(self, source: ObjectInfo, name: str) -> ObjectInfo:
        with self._refused_as_present(name, CREATE_ONLY), self._in_time(name, source.size):
            target = self._handle().blob(name)
            origin = self._handle().blob(source.name, generation=source.generation)
            token: str | None = None
            while True:
                token, _, _ = target.rewrite(origin, token=token, if_generation_match=CREATE_ONLY, **self._options())
                if token is None:
                    return _info(target)

    def list(self, prefix: str) -> list[ObjectInfo]:
        with self._in_time(prefix):
            return [_info(blob) for blob in self._handle().list_blobs(prefix=prefix, **self._options())]

    def _read_plainly(self, name: str, generation: int | None, max_bytes: int) -> Download | None:
        if self._plain is None:
            return None
        from shared.call_deadlines import within

        with within(PLAIN_SECONDS + max_bytes / SLOWEST):
            found = self._plain.read(name, generation, max_bytes)
        return None if found is None else Download(*found)

    @contextmanager
    def _refused_as_present(self, name: str, if_generation: int | None) -> Iterator[None]:
        """Who may create but not overwrite can be refused (403) where an object is there, whatever its generation."""
        try:
            yield
        except NotPermitted as error:
            if if_generation == CREATE_ONLY and self.stat(name) is not None:
                raise PreconditionFailed(f"{name!r} is not at the generation that was expected") from error
            raise

    @contextmanager
    def _in_time(self, name: str, size: int = 0) -> Iterator[None]:
        """A call about `name` that moves up to `size` bytes: ended when its time is over, its errors as ours."""
        from shared.call_deadlines import within

        seconds = self._deadline + size / SLOWEST
        with _translated(name), within(seconds) as call:
            try:
                yield
            finally:
                if call.over:  # also where an answer without a length seems complete
                    raise StorageUnavailable(f"Cloud Storage did not finish on {name!r} within {seconds:.0f} s")

    def _handle(self) -> "Bucket":
        if self._bucket is None:
            from google.auth.exceptions import DefaultCredentialsError

            from shared.call_deadlines import limit

            try:
                client = _client()
                limit(client._http)  # as Google's own samples mount adapters
                self._bucket = client.bucket(self._name)
            except (DefaultCredentialsError, OSError) as error:
                raise StorageUnavailable(f"no credentials for Cloud Storage: {error}") from error
        return self._bucket

    def _options(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return {"timeout": self._timeout, "retry": DEFAULT_RETRY.with_timeout(self._deadline)}


def _client() -> "Client":
    """Google's client, which asks for nothing by itself.

    For traces that nobody switched on it would ask for its bucket in a thread of its own, which no deadline ends, and
    with a permission that no function has.
    """
    from google.api_core.exceptions import NotFound
    from google.cloud import storage

    def asks_nothing(*_: object, **__: object) -> None:
        raise NotFound("nobody needs to know more of the bucket than its name")

    client = storage.Client()
    client.get_bucket = asks_nothing
    return client


class _Bounded(io.BytesIO):
    """Where a download goes: it ends as soon as it is too large, whatever its size was said to be."""

    def __init__(self, name: str, max_bytes: int) -> None:
        super().__init__()
        self._name = name
        self._max_bytes = max_bytes

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._max_bytes:
            raise ObjectTooLarge(f"{self._name!r} has more than {self._max_bytes} bytes")
        return super().write(data)


def _info(blob: Any) -> ObjectInfo:
    """Names of metadata are compared without case: HTTP headers, by which people write them, have none."""
    metadata = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return ObjectInfo(name=blob.name, generation=int(blob.generation), size=int(blob.size), metadata=metadata)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The client library's many exceptions as the three that a caller can act on."""
    import requests
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    try:
        yield
    except api.NotFound as error:
        raise ObjectMissing(f"no object {name!r} in the bucket: {error.message}") from error
    except api.PreconditionFailed as error:
        raise PreconditionFailed(f"{name!r} is not at the generation that was expected") from error
    except api.Forbidden as error:
        raise NotPermitted(f"Cloud Storage denied access to {name!r}: {error.message}") from error
    except requests.exceptions.ContentDecodingError as error:
        raise WrongEncoding(
            f"{name!r} has Content-Encoding gzip, and its bytes are not gzip: copy it again without that"
        ) from error
    except (
        api.GoogleAPIError,
        GoogleAuthError,
        DataCorruption,
        InvalidResponse,
        requests.RequestException,
        OSError,
    ) as error:
        raise StorageUnavailable(f"Cloud Storage failed on {name!r}: {type(error).__name__}: {error}") from error
