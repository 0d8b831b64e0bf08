"""Around every answer: the request id, the headers that all share, and the one place where errors become answers.

It stands where a Starlette application has three layers, each with its own request and its own `send`.
"""

import re
import secrets
import traceback

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.predict import problems
from functions.predict.problems import Refusal, refuse
from shared import logs

REQUEST_ID = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_ALWAYS = [(b"x-content-type-options", b"nosniff")]
_UNLESS_SET = [(b"cache-control", b"no-store")]


class Envelope:
    """ASGI middleware. A fault is logged by type and place only: its text could hold values of a row."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*_completed(message["headers"]), (REQUEST_ID, request_id)]
            await send(message)

        scope["app"] = self  # the router then raises its 404 and 405 instead of answering in plain text
        try:
            await self._app(scope, receive, stamped)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            await problems.response(refusal)(scope, receive, stamped)
        except HTTPException as error:
            await problems.response(_by_routing(error))(scope, receive, stamped)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer without a trace
            _report(error, request_id)
            if not started:
                fault = refuse(500, "internal_error", "the service failed on this request; it was logged")
                await problems.response(fault)(scope, receive, stamped)


def _by_routing(error: HTTPException) -> Refusal:
    if error.status_code == 405:
        allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        return refuse(405, "method_not_allowed", f"this path accepts {allow}", {"Allow": allow})
    return refuse(404, "not_found", "no such path; see / for the page and /schema for the fields")


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            return value if _WELL_FORMED.fullmatch(value) else _new_id()
    return _new_id()


def _new_id() -> bytes:
    return secrets.token_hex(16).encode()


def _completed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    present = {name for name, _ in headers}
    return [*headers, *_ALWAYS, *(entry for entry in _UNLESS_SET if entry[0] not in present)]


def _report(error: Exception, request_id: bytes) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    logs.error(
        "a request failed unexpectedly",
        reason="internal_error",
        request_id=request_id.decode(),
        error=type(error).__name__,
        trace=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
