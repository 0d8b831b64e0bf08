"""One HTTP request to a function, and how it answered: what Eventarc and Cloud Scheduler both do."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import requests


@dataclass(frozen=True)
class PushAnswer:
    """How an attempt ended: with an HTTP status, or with none and the reason (`timeout`, `unreachable`)."""

    status: int | None
    problem: str | None
    seconds: float

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def push(
    url: str, headers: Mapping[str, str], body: bytes, *, deadline: float, method: str = "POST", query: str = ""
) -> PushAnswer:
    """Send and wait for the status, at most `deadline` seconds. Never raises for what the other side does.

    Redirects are not followed and the body of the answer is not read, as neither service does.
    """
    began = time.monotonic()
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a .netrc of the person's shell belongs between local services
        try:
            answer = session.request(
                method,
                url,
                params=query or None,
                headers=dict(headers),
                data=body,
                timeout=deadline,
                allow_redirects=False,
                stream=True,
            )
            answer.close()
        except requests.Timeout:
            return PushAnswer(None, "timeout", time.monotonic() - began)
        except (requests.RequestException, OSError, ValueError):  # ValueError: a URL that cannot be one
            return PushAnswer(None, "unreachable", time.monotonic() - began)
        return PushAnswer(answer.status_code, None, time.monotonic() - began)
