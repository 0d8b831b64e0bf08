"""What is wrong with a call, as a value, and the one answer for it: `application/problem+json` (RFC 9457)."""

import http
from collections.abc import Mapping, Sequence

import flask
import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong. `pointer` is a JSON pointer into the request, empty for the whole."""

    pointer: str
    code: str
    message: str


class Refusal(Exception):
    """The call is answered with `status` and `problems`."""

    def __init__(self, status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    @property
    def detail(self) -> str:
        """One sentence: the problem, or how many there are."""
        if len(self.problems) == 1:
            return self.problems[0].message
        return f"{len(self.problems)} problems, listed in errors"


def refuse(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """A refusal of the call as a whole."""
    return Refusal(status, [Problem("", code, message)], headers)


def response(refusal: Refusal) -> flask.Response:
    """The refusal as it goes over the wire."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "errors": refusal.problems,
    }
    return flask.Response(msgspec.json.encode(body), refusal.status, refusal.headers, content_type=MEDIA_TYPE)
