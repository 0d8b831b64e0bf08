"""Whole objects by one GET each, where nothing but a GET is needed.

Google's client library takes a fifth of the time until a serving process has answered for the first time. What it can
do beyond a GET is for what is not plain: it tries again, unzips, and knows every kind of credentials. So a process that
reads what is there does without it, and whatever is not plain is left to it.

https://cloud.google.com/storage/docs/json_api/v1/objects/get tells the request,
https://cloud.google.com/run/docs/container-contract#metadata-server where a service of Cloud Run has its token from.
"""

import base64
import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.errors import ObjectMissing, ObjectTooLarge

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

ORIGIN = "https://storage.googleapis.com"
METADATA_HOST = "metadata.google.internal"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - an address
TOKEN_TIMEOUT = 3.0
MOST_TOKEN_BYTES = 64 * 1024
TOKEN_MARGIN = 225.0
"""Seconds before its end from which a token is not used any more, as google-auth has it."""

OTHER_WAYS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "GOOGLE_API_USE_MTLS_ENDPOINT",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    "API_ENDPOINT_OVERRIDE_STORAGE",
    "GCE_METADATA_MTLS_MODE",
)
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
"""Variables that ask the client for another way or for other credentials: where one is set, it is asked."""


class PlainReads:
    """Reads of one bucket. Threads may share it."""

    def __init__(self, bucket: str, environ: Mapping[str, str], timeout: float) -> None:
        """`environ`: the process's, which says where it runs. `timeout`: seconds without a byte."""
        self._bucket = bucket
        self._environ = environ
        self._timeout = timeout
        self._lock = threading.Lock()
        self._pools: PoolManager | None = None
        self._token: tuple[str, float] | None = None

    def read(self, name: str, generation: int | None, max_bytes: int) -> tuple[bytes, int] | None:
        """The object and its generation, at `generation` or live; None where the client has to be asked.

        Raises ObjectMissing; ObjectTooLarge before more than `max_bytes` are held in memory.
        """
        from urllib3.exceptions import HTTPError

        origin = self._origin()
        if origin is None:
            return None
        try:
            headers = {} if origin != ORIGIN else {"Authorization": f"Bearer {self._bearer()}"}
            return self._get(origin, headers, name, generation, max_bytes)
        except (HTTPError, OSError, KeyError, TypeError, ValueError):
            self._token = None
            return None

    def _get(
        self, origin: str, headers: Mapping[str, str], name: str, generation: int | None, max_bytes: int
    ) -> tuple[bytes, int] | None:
        url = f"{origin}/storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
        if generation is not None:
            url = f"{url}&generation={generation}"
        answer = self._asked(url, {**headers, "Accept-Encoding": "identity"}, self._timeout)
        try:
            if answer.status == 404:
                raise ObjectMissing(f"no object {name!r} in the bucket")
            if answer.status != 200 or _encoded(answer.headers):
                self._token = None
                return None
            if int(answer.headers.get("Content-Length", 0)) > max_bytes:
                raise ObjectTooLarge(f"{name!r} has more than {max_bytes} bytes")
            data = answer.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise ObjectTooLarge(f"{name!r} has more than {max_bytes} bytes")
            found = int(answer.headers["x-goog-generation"])
            whole = _checksum(answer.headers) == _crc32c(data) and generation in (None, found)
            return (data, found) if whole else None
        finally:
            answer.close()  # the connection stays where all was read

    def _origin(self) -> str | None:
        """Where to read from, by the variables that the client reads too; None where only the client knows."""
        if any(self._environ.get(name) for name in OTHER_WAYS):
            return None
        emulator = self._environ.get("STORAGE_EMULATOR_HOST")
        if emulator:
            return emulator.rstrip("/") if "//" in emulator else f"http://{emulator}".rstrip("/")
        plain = self._environ.get("K_SERVICE") and not any(self._environ.get(name) for name in PROXIES)
        return ORIGIN if plain else None

    def _asked(self, url: str, headers: Mapping[str, str], timeout: float) -> "BaseHTTPResponse":
        from shared.call_deadlines import limited_pools

        with self._lock:
            if self._pools is None:
                self._pools = limited_pools()
        return self._pools.request(
            "GET",
            url,
            headers=headers,
            timeout=timeout,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
        )

    def _bearer(self) -> str:
        """The service's own token. Raises HTTPError, KeyError, TypeError, ValueError where there is none."""
        held = self._token
        if held is None or time.monotonic() >= held[1]:
            host = self._environ.get("GCE_METADATA_HOST") or METADATA_HOST
            asked = time.monotonic()
            answer = self._asked(f"http://{host}{TOKEN_PATH}", {"Metadata-Flavor": "Google"}, TOKEN_TIMEOUT)
            try:
                token = json.loads(answer.read(MOST_TOKEN_BYTES))
            finally:
                answer.close()
            held = self._token = (str(token["access_token"]), asked + float(token["expires_in"]) - TOKEN_MARGIN)
        return held[0]


def _encoded(headers: Mapping[str, str]) -> bool:
    stored = headers.get("x-goog-stored-content-encoding", "identity")
    return stored != "identity" or "Content-Encoding" in headers


def _checksum(headers: Mapping[str, str]) -> str | None:
    """What `x-goog-hash` says of the bytes, as CRC32C in Base64."""
    parts = [part.strip() for part in headers.get("x-goog-hash", "").split(",")]
    return next((part.removeprefix("crc32c=") for part in parts if part.startswith("crc32c=")), None)


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
