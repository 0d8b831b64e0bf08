"""Around every answer: the route, the request id, the headers that all answers share, and the one place where errors
become answers. Paths are literal, so that finding a route is one look into a table.
"""

import random
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.predict.wire.problems import response
from shared import logs
from shared.problems import Refusal, refuse

Endpoint = Callable[[Request], Awaitable[ASGIApp]]
"""Answers a request with any ASGI application: Starlette's responses are some, streaming and with background tasks."""

Routes = Mapping[str, tuple[str, Endpoint]]
"""Path → the one method that it accepts, and what answers. HEAD works where GET does."""

MAX_HEADER_BYTES = 32 * 1024
REQUEST_ID = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")


class Envelope:
    """The service as an ASGI application. A fault is logged by type and place: its text could hold values of a row."""

    def __init__(self, routes: Routes, find: Callable[[str], tuple[str, Endpoint] | None] = lambda _: None) -> None:
        """`find` is asked for the route of a path that is not among `routes`."""
        self._find = find
        self._routes = {path: (_methods(method), endpoint) for path, (method, endpoint) in routes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            return
        outgoing = _Outgoing(send, _request_id(scope), head=scope["method"] == "HEAD")
        try:
            answer = await self._route(scope)(Request(scope, receive))
            await answer(scope, receive, outgoing)
        except Refusal as refusal:
            _let_go(refusal)
            await response(refusal)(scope, receive, outgoing)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer without a trace
            _report(error, outgoing.request_id)
            _let_go(error)
            if not outgoing.started:  # else the server closes the connection of an answer that was broken off
                fault = refuse(500, "internal_error", "the service failed on this request; it was logged")
                await response(fault)(scope, receive, outgoing)

    def _route(self, scope: Scope) -> Endpoint:
        if sum([len(name) + len(value) for name, value in scope["headers"]]) > MAX_HEADER_BYTES:
            message = f"the headers are larger than the {MAX_HEADER_BYTES} bytes that are accepted"
            raise refuse(431, "headers_too_large", message, {"Connection": "close"})
        found = self._routes.get(scope["path"]) or self._found(scope["path"])
        if found is None:
            raise refuse(404, "not_found", "no such path; see / for the page and /schema for the fields")
        methods, endpoint = found
        if scope["method"] not in methods:
            allow = ", ".join(methods)
            raise refuse(405, "method_not_allowed", f"this path accepts {allow}", {"Allow": allow})
        return endpoint

    def _found(self, path: str) -> tuple[tuple[str, ...], Endpoint] | None:
        found = self._find(path)
        return None if found is None else (_methods(found[0]), found[1])


class _Outgoing:
    """The server's `send`, with the headers that every answer has, and without a body where HEAD asks."""

    def __init__(self, send: Send, request_id: bytes, *, head: bool) -> None:
        self.request_id = request_id
        self.started = False
        self._send = send
        self._head = head

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message["headers"], _NOSNIFF, (REQUEST_ID, self.request_id)]
            if b"cache-control" not in [name for name, _ in headers]:
                headers.append(_NO_STORE)
            message = {**message, "headers": headers}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _methods(method: str) -> tuple[str, ...]:
    return (method, "HEAD") if method == "GET" else (method,)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            return value if _WELL_FORMED.fullmatch(value) else _new_id()
    return _new_id()


def _new_id() -> bytes:
    return b"%032x" % random.getrandbits(128)  # tells requests apart, keeps no secret


def _let_go(error: BaseException) -> None:
    """Forget what the calls held that `error` went through, the body above all. Futures and frames hold each other, so
    that else it would stay until the garbage is collected next: at 64 connections hundreds of megabytes."""
    held: BaseException | None = error
    while held is not None:
        traceback.clear_frames(held.__traceback__)
        held = held.__context__


def _report(error: Exception, request_id: bytes) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    logs.error(
        "a request failed unexpectedly",
        reason="internal_error",
        request_id=request_id.decode(),
        error=type(error).__name__,
        trace=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
