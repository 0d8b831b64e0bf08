"""The table of routes, and for each the way from a request to its answer.

The order of refusals follows from the order of the steps: 404 and 405 by routing, then the body's size (413), its media
type (415), its syntax (400), its shape (422), a model at all (503), its fields (422).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from functions.predict import page, payload
from functions.predict.assessment import Outcome
from functions.predict.csv_answer import csv_answer
from functions.predict.description import describe_model, describe_refresh, describe_schema
from functions.predict.envelope import Envelope, Routes
from functions.predict.loaded_model import LoadedModel
from functions.predict.memory import Memory
from functions.predict.openapi import describe_api
from functions.predict.predictor import Predictor
from functions.predict.problems import refuse
from functions.predict.schema import Inputs, Row, Warned
from functions.predict.settings import Limits
from functions.predict.shape import batch_rows, single_row
from functions.predict.table import Table, parse_csv

RETRY_AFTER_SECONDS = 5
OFF_LOOP_BYTES = 32 * 1024
"""Bodies from this size on take milliseconds, which the event loop is not kept waiting for."""

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_JSON_TYPE = (b"content-type", b"application/json")
_VARY = (b"vary", b"Accept")
Batch = Table | list[Any]


class ModelName(msgspec.Struct, frozen=True):
    """Which model answered."""

    run_id: str


class Prediction(Outcome, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /predict."""

    model: ModelName
    warnings: tuple[Warned, ...] = ()


class Predictions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of /predict_batch; `predictions` in the order of the rows."""

    predictions: list[Outcome]
    model: ModelName
    warnings: tuple[Warned, ...] = ()


class Json(Response):
    """A value as JSON, with its headers written once instead of by each answer."""

    def __init__(self, value: object, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.status_code = 200
        self.background = None
        self.body = _ENCODER.encode(value)
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), _JSON_TYPE, *headers]


class Api:
    """The endpoints over one predictor."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self._predictor = predictor
        self._limits = limits
        self._memory = Memory(limits.remembered_rows)

    def routes(self) -> Routes:
        """Everything that is served beside the page."""
        return {
            "/predict": ("POST", self.predict),
            "/predict_batch": ("POST", self.predict_batch),
            "/health": ("GET", self.health),
            "/ready": ("GET", self.ready),
            "/schema": ("GET", self.schema),
            "/meta": ("GET", self.meta),
            "/openapi.json": ("GET", self.openapi),
        }

    async def health(self, _: Request) -> Response:
        """The process lives; starts nothing."""
        return Json({"status": "ok", "model_loaded": self._predictor.current is not None})

    async def ready(self, _: Request) -> Response:
        """A model is in hand; loads the first one."""
        loaded = await self._model()
        refresh = describe_refresh(self._predictor.refresh)
        return Json({"status": "ready", "run_id": loaded.manifest.run_id, "stage": self._predictor.stage, **refresh})

    async def schema(self, _: Request) -> Response:
        """What a request must hold."""
        return Json(describe_schema((await self._model()).manifest, self._limits))

    async def meta(self, _: Request) -> Response:
        """What answers, and how it came here."""
        loaded = await self._model()
        return Json({**describe_model(loaded), **describe_refresh(self._predictor.refresh)})

    async def openapi(self, _: Request) -> Response:
        """The same as /schema and more, for generators of clients and documentation."""
        return Json(describe_api((await self._model()).manifest, self._limits))

    async def predict(self, request: Request) -> Response:
        """One row."""
        body = await payload.read(request, self._limits.max_bytes, self._limits.body_seconds)
        payload.media_type(request, (payload.JSON,))
        if len(body) < OFF_LOOP_BYTES:
            row = single_row(payload.parse_json(body))
            return self._answer(await self._model(), row)
        row = await anyio.to_thread.run_sync(lambda: single_row(payload.parse_json(body)))
        loaded = await self._model()
        return await anyio.to_thread.run_sync(lambda: self._answer(loaded, row))

    async def predict_batch(self, request: Request) -> Response:
        """Many rows, as JSON or CSV."""
        body = await payload.read(request, self._limits.max_bytes, self._limits.body_seconds)
        kind = payload.media_type(request, (payload.JSON, payload.CSV))
        answer = _csv_batch if payload.prefers_csv(request) else _json_batch
        batch = await _computed(body, lambda: self._batch(kind, body))
        loaded = await self._model()
        return await _computed(body, lambda: answer(loaded, batch))

    def _batch(self, kind: str, body: bytes) -> Batch:
        if kind == payload.CSV:
            return parse_csv(body, self._limits.max_rows)
        return list(batch_rows(payload.parse_json(body), self._limits.max_rows))

    def _answer(self, loaded: LoadedModel, row: Row) -> Response:
        known = loaded.schema.known(row)
        warnings: tuple[Warned, ...] = ()
        if known is not None:
            outcome = self._memory.outcome(loaded, known)
        else:
            inputs = loaded.schema.read_row(row)
            (outcome,), warnings = loaded.outcomes(inputs), inputs.warnings
        named = ModelName(loaded.manifest.run_id)
        return Json(
            Prediction(outcome.prediction, outcome.interval, outcome.risk, outcome.band, model=named, warnings=warnings)
        )

    async def _model(self) -> LoadedModel:
        loaded = await self._predictor.model()
        if loaded is None:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise refuse(503, "no_model", f"no model serves {self._predictor.stage} yet; try again later", headers)
        return loaded


def application(predictor: Predictor, limits: Limits) -> Envelope:
    """The whole service as an ASGI application."""
    return Envelope({**Api(predictor, limits).routes(), **page.routes()})


def _json_batch(loaded: LoadedModel, batch: Batch) -> Response:
    inputs = _inputs(loaded, batch)
    answer = Predictions(loaded.outcomes(inputs), ModelName(loaded.manifest.run_id), inputs.warnings)
    return Json(answer, [_VARY])


def _csv_batch(loaded: LoadedModel, batch: Batch) -> Response:
    outcomes = loaded.outcomes(_inputs(loaded, batch))
    text = csv_answer(batch, outcomes, risk=loaded.manifest.assessment is not None, run=loaded.manifest.run_id)
    return Response(text, headers={"Vary": "Accept"}, media_type="text/csv")


def _inputs(loaded: LoadedModel, batch: Batch) -> Inputs:
    return loaded.schema.read_table(batch) if isinstance(batch, Table) else loaded.schema.read_rows(batch)


async def _computed(body: bytes, work: Callable[[], T]) -> T:
    """The result of `work`, off the event loop where `body` is large."""
    if len(body) < OFF_LOOP_BYTES:
        return work()
    return await anyio.to_thread.run_sync(work)
