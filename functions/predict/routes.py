"""The table of routes, and the way from a request to its answer for each of them.

The order of refusals follows from the order of the steps: 404 and 405 by routing, then the body's size (413), its media
type (415), its syntax (400), its shape (422), a model at all (503), its fields (422).
"""

from collections.abc import Sequence
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from functions.predict.answers import Batch, ModelName, batch_answer, plain_answer, row_answer, with_effects
from functions.predict.arms import Wish, answered, wish_of
from functions.predict.card import card_answer, describe_card
from functions.predict.challenger import Challenger, unit_of
from functions.predict.contract.description import (
    describe_challenger,
    describe_model,
    describe_refresh,
    describe_schema,
)
from functions.predict.contract.openapi import describe_api
from functions.predict.explanations import (
    Explanations,
    described,
    explain,
    read_sent,
    sent_rows,
)
from functions.predict.live.counted import Counted, note
from functions.predict.live.counters import Counters
from functions.predict.memory import Memory
from functions.predict.predictor import Predictor
from functions.predict.protocols.endpoints import Protocols
from functions.predict.settings import Limits
from functions.predict.shared_runs import SharedRuns
from functions.predict.wire import page, payload
from functions.predict.wire.bodies import Bodies
from functions.predict.wire.envelope import Endpoint, Envelope, Routes
from functions.predict.wire.json_answer import JsonAnswer, computed
from functions.predict.wire.shape import JsonRows, batch_rows, single_row
from functions.predict.wire.structure import at_most
from functions.predict.wire.workbook import parse_workbook
from shared.problems import refuse
from shared.serving.csv_table import parse_csv
from shared.serving.loaded_model import LoadedModel, VerifiedRun
from shared.serving.reading import ModelInput
from shared.serving.rows import Row
from shared.serving.sent_table import SentTable
from shared.serving.table_rows import read_table

RETRY_AFTER_SECONDS = 5
COUNTED = frozenset({"/predict", "/predict_batch"})
"""Paths whose rows are counted; those of the protocols are too."""


class Api:
    """The endpoints over one predictor."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self._predictor = predictor
        self._limits = limits
        self.bodies = Bodies(limits)
        self._memory = Memory(limits.remembered_rows)
        self._runs = SharedRuns()
        self._explanations = Explanations()

    def routes(self) -> Routes:
        """Everything that is served beside the page."""
        return {
            "/predict": ("POST", self.predict),
            "/predict_batch": ("POST", self.predict_batch),
            "/explain": ("POST", self.explain),
            "/card": ("GET", self.card),
            "/card.json": ("GET", self.card_json),
            "/health": ("GET", self.health),
            "/ready": ("GET", self.ready),
            "/schema": ("GET", self.schema),
            "/meta": ("GET", self.meta),
            "/openapi.json": ("GET", self.openapi),
            "/v1/openapi.json": ("GET", self.openapi_for_generators),
        }

    async def health(self, _: Request) -> ASGIApp:
        """The process lives; starts nothing."""
        return JsonAnswer({"status": "ok", "model_loaded": self._predictor.current is not None})

    async def ready(self, _: Request) -> ASGIApp:
        """A model is in hand; loads the first one."""
        loaded = await self.model()
        refresh = describe_refresh(self._predictor.refresh)
        return JsonAnswer(
            {"status": "ready", "run_id": loaded.manifest.run_id, "stage": self._predictor.stage, **refresh}
        )

    async def schema(self, _: Request) -> ASGIApp:
        """What a request must hold."""
        return JsonAnswer(describe_schema((await self.model()).manifest, self._limits))

    async def meta(self, _: Request) -> ASGIApp:
        """What answers, and how it came here."""
        loaded = await self.model()
        challenger = self._predictor.challengers.against(loaded)
        tried = describe_challenger(challenger) if challenger else {}
        return JsonAnswer({**describe_model(loaded), **tried, **describe_refresh(self._predictor.refresh)})

    async def card(self, _: Request) -> ASGIApp:
        """What a person should know of the model that answers."""
        return card_answer(await self.model())

    async def card_json(self, _: Request) -> ASGIApp:
        """The same for programs."""
        return JsonAnswer(describe_card(await self.model()))

    async def openapi(self, _: Request) -> ASGIApp:
        """The same as /schema and more, for generators of clients and documentation."""
        return JsonAnswer(describe_api((await self.model()).manifest, self._limits))

    async def openapi_for_generators(self, _: Request) -> ASGIApp:
        """The same for generators of clients, which know no tables: those are bytes."""
        return JsonAnswer(describe_api((await self.model()).manifest, self._limits, tables_are_bytes=True))

    async def predict(self, request: Request) -> ASGIApp:
        """One row."""
        limits = self._limits
        if 0 <= payload.declared(request) < payload.SMALL_BYTES:
            body = await payload.read(request, limits.max_bytes, limits.body_seconds)
            return await self._one_row(request, body)
        async with self.bodies.of(request) as body:
            return await self._one_row(request, body)

    async def _one_row(self, request: Request, body: bytes) -> ASGIApp:
        payload.media_type(request, (payload.JSON,))
        if len(body) < payload.SMALL_BYTES:
            row = single_row(payload.parse_json(body))
            loaded = await self.model()
            if not self._divided(loaded, request):
                return await self._answer(request, loaded, row)
        else:
            row = await computed(body, lambda: single_row(payload.parse_json(body, self._limits.most)))
            loaded = await self.model()
        wish, challenger = wish_of(request), self._predictor.challengers.against(loaded)
        return await computed(body, lambda: _arms_answer(request, loaded, challenger, wish, row))

    async def predict_batch(self, request: Request) -> ASGIApp:
        """Many rows, as JSON, CSV or a workbook."""
        async with self.bodies.of(request) as body:
            return await self._many_rows(request, body)

    async def _many_rows(self, request: Request, body: bytes) -> ASGIApp:
        kind, charset = payload.media_type(request, payload.BATCHES)
        wanted, each = payload.preferred(request), payload.errors_by_row(request)
        if self._predictor.current is not None and kind == wanted == payload.JSON:
            loaded = await self.model()
            if not self._divided(loaded, request):
                plain = await computed(body, lambda: self._plain_batch(request, loaded, body))
                if plain is not None:
                    return plain
        batch = await computed(body, lambda: self._batch(kind, body, charset))
        loaded = await self.model()
        effects, formulas = payload.effects_asked(request), payload.formulas_kept(request)
        ask = partial(answered, loaded, self._predictor.challengers.against(loaded), wish_of(request))

        def work() -> ASGIApp:
            found = ask(
                lambda run: _read(run, batch, each=each),
                lambda _: body,
                lambda run, inputs: with_effects(run, inputs, effects) if effects else run.answers(inputs),
            )
            note(request, found.run, found.read, found.answers)
            return batch_answer(found, batch, wanted, effects, each=each, formulas=formulas)

        return await (self._explanations.in_turn(work) if effects else computed(body, work))

    def _plain_batch(self, request: Request, loaded: LoadedModel, body: bytes) -> ASGIApp | None:
        """The answer to rows of which nothing is to be said; None for all others."""
        limits, most = self._limits, at_most(body)
        if most is None or most.values > limits.most.values:
            return None
        read = loaded.schema.plain.read(body, most.keys)
        if read is None or read.rows > limits.max_rows:
            return None
        wish_of(request)  # refuses what it refuses of every batch
        answers = loaded.answers(read)
        note(request, loaded, read, answers)
        return plain_answer(loaded, answers)

    def _divided(self, loaded: LoadedModel, request: Request) -> bool:
        """Whether somebody else than the model in hand may have to answer. A shadow answers nobody who does not ask."""
        challenger = self._predictor.challengers.against(loaded)
        return bool(request.scope["query_string"]) or (challenger is not None and challenger.divides)

    async def explain(self, request: Request) -> ASGIApp:
        """What each feature adds to the prediction of a row, or of up to 100 rows."""
        async with self.bodies.of(request) as body:
            payload.media_type(request, (payload.JSON,))
            sent = await computed(body, lambda: sent_rows(payload.parse_json(body, self._limits.most)))
            loaded = await self.model()
        ask = partial(answered, loaded, self._predictor.challengers.against(loaded), wish_of(request))

        def work() -> ASGIApp:
            found = ask(
                lambda run: read_sent(run, sent),
                lambda inputs: body if isinstance(sent, JsonRows) else unit_of(inputs),
                explain,
            )
            return JsonAnswer(described(found, sent, ModelName(found.run.manifest.run_id, found.arm)))

        return await self._explanations.in_turn(work)

    def _batch(self, kind: str, body: bytes, charset: str | None) -> Batch:
        if kind == payload.WORKBOOK or (kind == payload.TABLE and body.startswith(payload.ARCHIVE)):
            return parse_workbook(body, self._limits.max_rows, self._limits.max_workbook_cells)
        if kind in (payload.CSV, payload.TABLE):
            payload.require_few_cells(body, self._limits.max_cells)
            return parse_csv(body, self._limits.max_rows, charset)
        return batch_rows(payload.parse_json(body, self._limits.most), self._limits.max_rows)

    async def _answer(self, request: Request, loaded: LoadedModel, row: Row) -> ASGIApp:
        known = loaded.schema.known(row)
        if known is None:
            return _read_answer(request, loaded, row)
        kept = self._memory.find(loaded, known)
        if kept is None:
            if self._runs.alone():
                (answer,) = loaded.answers(ModelInput.of(known))
            else:
                answer = await self._runs.answer(loaded, known)
            kept = self._memory.keep(loaded, known, answer)
        note(request, loaded, known, kept)
        return row_answer(loaded, kept.answer)

    async def model(self) -> LoadedModel:
        """The model in hand. Raises Refusal (503) where there is none."""
        loaded = await self._predictor.model()
        if loaded is None:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise refuse(503, "no_model", f"no model serves {self._predictor.stage} yet; try again later", headers)
        return loaded


def application(
    predictor: Predictor,
    limits: Limits,
    origins: Sequence[str] = (),
    counters: Counters | None = None,
    watch: Endpoint | None = None,
) -> Envelope | CORSMiddleware:
    """The whole service as an ASGI application. Pages of `origins` may ask it from a browser ("*": of all).

    `watch` answers with the page of the watch.
    """
    api = Api(predictor, limits)
    counted = Counted(counters, lambda: predictor.current).endpoint if counters else _uncounted
    protocols = Protocols(api.model, limits, api.bodies, counted)
    routes = {
        path: (method, counted(endpoint) if path in COUNTED else endpoint)
        for path, (method, endpoint) in api.routes().items()
    }
    versioned = {f"/v1{path}": route for path, route in routes.items()}
    watched: Routes = {"/watch": ("GET", watch)} if watch else {}
    envelope = Envelope({**versioned, **routes, **protocols.routes(), **page.routes(), **watched}, protocols.find)
    if not origins:
        return envelope
    return CORSMiddleware(
        envelope,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "Authorization", "X-Request-ID", "X-Purpose", "X-Unit"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )


def _uncounted(endpoint: Endpoint) -> Endpoint:
    return endpoint


def _read_answer(request: Request, loaded: LoadedModel, row: Row) -> ASGIApp:
    read = loaded.schema.read_row(row)
    (answer,) = loaded.answers(read)
    note(request, loaded, read, (answer,))
    return row_answer(loaded, answer, read.warnings)


def _arms_answer(request: Request, loaded: LoadedModel, challenger: Challenger | None, wish: Wish, row: Row) -> ASGIApp:
    found = answered(
        loaded, challenger, wish, lambda run: run.schema.read_row(row), unit_of, lambda run, read: run.answers(read)
    )
    note(request, found.run, found.read, found.answers)
    (answer,) = found.answers
    return row_answer(found.run, answer, found.read.warnings, found.arm)


def _read(run: VerifiedRun, batch: Batch, *, each: bool) -> ModelInput:
    if isinstance(batch, SentTable):
        return read_table(run.schema, batch, each=each)
    return run.schema.read_rows(batch.rows, each=each, prefix=batch.prefix)
