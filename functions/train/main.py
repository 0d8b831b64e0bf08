"""TRAIN: an HTTP call in, a candidate in the bucket and a short summary out. The composition root."""

import json
import os
from functools import cache
from typing import Any

import flask
import functions_framework
import msgspec

from functions.train import pipeline
from functions.train.caller import NotAuthorized, require_token
from functions.train.settings import TrainSettings
from functions.train.tracking import MlflowTracker, NullTracker, Tracker
from shared import logs
from shared.errors import InvalidDataset, NoSelectableModel, TransientError
from shared.store import CloudStore, Store

MAX_BODY_BYTES = 64 * 1024


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """The optional JSON body. `force` trains again what is unchanged."""

    dataset: str | None = None
    force: bool = False


@functions_framework.http
def train(request: flask.Request) -> flask.Response:
    """Entry point: POST with an optional JSON body."""
    settings, store, tracker = _parts()
    if request.method != "POST":
        return _problem(405, "Method not allowed", "call this function with POST", headers={"Allow": "POST"})
    try:
        require_token(request.headers.get("Authorization"), settings.audience, settings.certs_url)
        call = _call(request)
        summary = pipeline.run(store, tracker, settings, call.dataset or settings.dataset, force=call.force)
    except NotAuthorized as error:
        return _problem(401, "Not authorized", str(error), headers={"WWW-Authenticate": "Bearer"})
    except msgspec.MsgspecError as error:
        return _problem(
            400, "The body is not a training call", f'{error}; expected {{"dataset": "gs://…", "force": false}}'
        )
    except InvalidDataset as error:
        logs.error(f"the dataset was refused: {error}", reason=error.reason)
        return _problem(422, "The dataset cannot be trained on", str(error), errors=list(error.problems))
    except NoSelectableModel as error:
        logs.error(str(error), reason=error.reason)
        return _problem(422, "No model can be published", str(error))
    except TransientError as error:
        logs.warning(f"given up for now: {error}", reason="transient")
        return _problem(
            503, "Not now", "storage is not available; the call may be repeated", headers={"Retry-After": "60"}
        )
    return flask.Response(msgspec.json.encode(summary), mimetype="application/json")


def _call(request: flask.Request) -> Call:
    body = request.get_data(cache=False)[: MAX_BODY_BYTES + 1]
    if len(body) > MAX_BODY_BYTES:
        raise msgspec.ValidationError(f"the body is over {MAX_BODY_BYTES} bytes")
    return msgspec.json.decode(body, type=Call) if body.strip() else Call()


def _problem(
    status: int, title: str, detail: str, *, errors: list[str] | None = None, headers: dict[str, str] | None = None
) -> flask.Response:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = [{"message": message} for message in errors]
    return flask.Response(
        json.dumps(body, ensure_ascii=False), status=status, mimetype="application/problem+json", headers=headers
    )


@cache
def _parts() -> tuple[TrainSettings, Store, Tracker]:
    """Made at the first call, never at import."""
    logs.configure("train")
    settings = TrainSettings.from_env(os.environ)
    tracker: Tracker = MlflowTracker(settings.mlflow_uri) if settings.mlflow_uri else NullTracker()
    return settings, CloudStore(settings.bucket), tracker
