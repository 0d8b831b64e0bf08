"""TRAIN: an HTTP call in, a candidate in the bucket and a short summary out. The composition root.

functions-framework loads this module before it forks; clients are made in the worker, at its first request.
"""

import functools
import os

import flask
import functions_framework

from functions.train.door.identity import require_caller
from functions.train.door.problems import response
from functions.train.door.service import TrainService
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import tracker_of
from shared import logs
from shared.errors import SettingsError
from shared.problems import refuse
from shared.store import CloudStore


@functions_framework.http
def train(request: flask.Request) -> flask.Response:
    """Entry point: POST with an optional JSON body."""
    try:
        return service().answer(request)
    except SettingsError as error:
        logs.error(str(error), reason=error.reason)
        return response(refuse(500, error.reason, "the function is not configured; see its log"))


@functools.cache
def service() -> TrainService:
    """The service of this worker, built once. Raises SettingsError."""
    logs.configure("train")
    settings = TrainSettings.from_env(os.environ)
    store = CloudStore(settings.bucket)
    return TrainService(
        settings,
        store,
        tracker_of(store, settings.mlflow_uri, os.environ),
        functools.partial(
            require_caller, audience=settings.audience, callers=settings.callers, certs_url=settings.certs_url
        ),
    )
