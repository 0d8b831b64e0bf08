"""A live service as the checks ask it: one connection, the identity token with every request. Standard library only."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60.0


class Unreachable(Exception):
    """The service does not answer at all."""


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip()

    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """The service at `url`, which may have a path prefix."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Raises ValueError where `url` is no http(s) address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"URL must be an http or https address, found {url!r}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"X-Purpose": "smoke", **({"Authorization": f"Bearer {token}"} if token else {})}

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(
        self, path: str, body: Any, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`body` as it is where it is text or bytes, else as JSON."""
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        return self.request("POST", path, data, {"Content-Type": content_type, **(headers or {})})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises Unreachable. A connection that the other side has closed meanwhile is opened once more."""
        started = time.perf_counter()
        for last in (False, True):
            try:
                self._connection.request(method, self._prefix + path, body, {**self._headers, **(headers or {})})
                answer = self._connection.getresponse()
                found = {name.lower(): value for name, value in answer.getheaders()}
                return Answer(answer.status, found, answer.read(), time.perf_counter() - started)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last:
                    raise Unreachable(f"{method} {path}: {type(error).__name__}: {error}") from error
        raise AssertionError("not reached")

    def close(self) -> None:
        self._connection.close()
