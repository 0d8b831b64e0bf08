"""The predict function: HTTP in, predictions of the stage's promoted model out. Composition root of serving.

functions-framework loads this module before it forks: all that lives in a worker is made at the worker's first request.
"""

import functools
import gc
import os
import signal
import sys
import threading
from types import FrameType

gc.disable()  # what is imported stays: to look through it again and again is a tenth of the time until the first answer

from functions_framework.aio import http
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.config import HTTP_PROTOCOLS

from functions.predict.live.counters import Counters
from functions.predict.predictor import Predictor
from functions.predict.routes import application
from functions.predict.settings import PredictSettings
from functions.predict.wire.everything import answer_everything
from functions.predict.wire.problems import response
from functions.predict.wire.watch_page import WatchPage
from shared import logs
from shared.errors import SettingsError
from shared.problems import refuse
from shared.store import CloudStore

STORAGE_TIMEOUT = 10.0
STORAGE_DEADLINE = 20.0
SWITCH_SECONDS = 0.001
"""How long a thread with a large body may keep the event loop waiting at each of its turns; by default it is 0.005."""


HTTP_PROTOCOLS["auto"] = "functions.predict.wire.connections:Connection"  # what the server's worker takes
gc.freeze()  # the worker's collector passes over it too, so that its memory stays shared with the server's
gc.enable()


@http
async def predict(request: Request) -> ASGIApp:
    """Every request, whatever its path: the framework calls what is returned as an ASGI application."""
    try:
        answer_everything(request.app, service())
        return service()
    except SettingsError as error:
        logs.error(str(error), reason=error.reason)
        return response(refuse(500, "misconfigured", "the service is not configured; see its log"))


@functools.cache
def service() -> ASGIApp:
    """The service of this worker, built once. Raises SettingsError."""
    logs.configure("predict")
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = PredictSettings.from_env(os.environ)
    store = CloudStore(settings.bucket, timeout=STORAGE_TIMEOUT, deadline=STORAGE_DEADLINE, environ=os.environ)
    # What is there by the first model stays: a full garbage collection would look through it all, 0.1 s at a time.
    predictor = Predictor(
        store,
        settings.stage,
        settings.refresh_seconds,
        on_first_model=gc.freeze,
        most_graph_bytes=settings.most_graph_bytes,
    )
    logs.info("worker started", bucket=settings.bucket, stage=settings.stage)
    counters = None
    if settings.counts:
        counters = Counters(store, settings.stage, tried=lambda: predictor.challengers.held)
    if counters:
        _drain_at_the_end(counters)
    watch = WatchPage(store, settings.stage)
    return application(predictor, settings.limits, settings.origins, counters, watch)


def _drain_at_the_end(counters: Counters) -> None:
    """Write what was counted when the platform ends this worker, then let the server end as it would have.

    The server ends by its signal, so that nothing of Python's own is called at exit. Requests that are still under way
    write theirs themselves, before they are answered.
    """
    server = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        counters.ending = True
        counters.drain()
        if callable(server):
            server(number, frame)

    if callable(server) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
