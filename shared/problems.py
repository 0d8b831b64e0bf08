"""What is wrong with a request, as a value, and the one body for it: `application/problem+json` (RFC 9457).

Nothing here knows a web framework: each function renders a refusal with its own. Messages name fields and what was
expected, never a value that was sent.
"""

import http
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MAX_PROBLEMS = 100
MAX_NAME = 64
MEDIA_TYPE = "application/problem+json"


class Bounds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The range that a number must be in; an absent side is open."""

    min: float | None = None
    max: float | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong. `pointer` is a JSON pointer into the request, empty for the whole of it; `allowed` is what
    would have been accepted; `row` is the row of a table as a spreadsheet counts it, the header's line included.
    """

    pointer: str
    code: str
    message: str
    allowed: tuple[str, ...] | Bounds | None = None
    row: int | None = None


class Refusal(Exception):
    """The request is answered with `status` and `problems`. The core raises it, the door turns it into a response."""

    def __init__(
        self,
        status: int,
        problems: Sequence[Problem],
        *,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.detail = detail or _summary(problems)
        self.headers = dict(headers or {})
        super().__init__(self.detail)


def refuse(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """A refusal of the request as a whole."""
    return Refusal(status, [Problem("", code, message)], headers=headers)


def problem_body(refusal: Refusal) -> bytes:
    """The refusal as JSON, as it goes over the wire with the content type MEDIA_TYPE."""
    return msgspec.json.encode(problem_fields(refusal))


def problem_fields(refusal: Refusal) -> dict[str, Any]:
    """The fields of the body, to which a protocol may add its own."""
    return {
        "type": "about:blank",
        "title": http.HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "errors": refusal.problems,
    }


def shortened(name: str) -> str:
    """A field name of the request as it may be repeated: at most 64 characters."""
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def json_pointer(*steps: str | int) -> str:
    """The JSON pointer (RFC 6901) along `steps`."""
    return "".join(f"/{shortened(str(step)).replace('~', '~0').replace('/', '~1')}" for step in steps)


def _summary(problems: Sequence[Problem]) -> str:
    if len(problems) == 1:
        return problems[0].message
    if len(problems) > MAX_PROBLEMS:
        return f"more than {MAX_PROBLEMS} problems, of which the first {MAX_PROBLEMS} are listed in errors"
    return f"{len(problems)} problems, listed in errors"
