"""The local storage as an ASGI application: the routes, and the door that every request passes."""

import logging
import sqlite3

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.local.storage import batch_routes, bucket_routes, object_routes, upload_routes, xml_routes
from infra.local.storage.faults import Fault
from infra.local.storage.request import Storage
from infra.local.storage.reserve import no_room

_LOG = logging.getLogger(__name__)
_JSON_PATHS = ("/storage/", "/upload/", "/download/", "/resumable/", "/batch")


def application(storage: Storage) -> ASGIApp:
    """Everything that is served, over one engine."""
    routes = [
        *batch_routes.ROUTES,
        *bucket_routes.ROUTES,
        *object_routes.ROUTES,
        *upload_routes.ROUTES,
        *xml_routes.ROUTES,
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            Fault: _refused,
            HTTPException: _unknown,
            ClientDisconnect: _gone,
            sqlite3.DatabaseError: _damaged,
            Exception: _broken,
        },
    )
    app.router.redirect_slashes = False
    app.state.storage = storage
    return Door(Disk(app, storage))


class Door:
    """Routes see the path as it was sent, so that `a%2Fb` is one name and not a folder with a file."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        await self._app({**scope, "path": raw.decode("latin-1")}, receive, send)


class Disk:
    """On a full disk deletes work and give their room back; whatever else writes is refused with a sentence."""

    def __init__(self, app: ASGIApp, storage: Storage) -> None:
        self._app = app
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reserve = self._storage.reserve
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or not reserve.low:
            await self._app(scope, receive, send)
            return
        if scope["method"] != "DELETE" and not scope["path"].startswith("/batch"):
            await _error(Request(scope, receive), no_room(self._storage.folder))(scope, receive, send)
            return
        reserve.use()
        await self._app(scope, receive, send)
        reserve.restore(self._storage.database)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Fault):
        raise error
    return _error(request, error)


async def _unknown(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    reason = {404: "notFound", 405: "methodNotAllowed"}.get(status, "invalid")
    return _error(request, Fault(status, reason, f"No such endpoint: {request.method} {request.url.path[:256]}"))


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


async def _damaged(request: Request, error: Exception) -> Response:
    engine: Storage = request.app.state.storage
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return _error(request, no_room(engine.folder))
    _LOG.error("%s failed: %s", request.method, error)
    return _error(request, Fault(500, "backendError", f"The local storage's file cannot be used: {error}"))


async def _broken(request: Request, error: Exception) -> Response:
    _LOG.error("%s failed: %s", request.method, error, exc_info=error)
    return _error(request, Fault(500, "backendError", "Internal error; the server's log says more"))


def _error(request: Request, fault: Fault) -> Response:
    if fault.status == 304:
        return Response(status_code=304)
    if not request.url.path.startswith(_JSON_PATHS):
        return xml_routes.xml_error(fault)
    entry = {"message": fault.message, "domain": "global", "reason": fault.reason}
    return JSONResponse({"error": {"code": fault.status, "message": fault.message, "errors": [entry]}}, fault.status)
