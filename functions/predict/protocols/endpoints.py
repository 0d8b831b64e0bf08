"""The endpoints that speak the protocols of others, over the model and the schema that all answers come from."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from functions.predict.live.counted import note
from functions.predict.protocols.inference import MODEL_PATH, describe_tensors, inference_rows, inferred
from functions.predict.protocols.invocations import InvocationAnswer, invocation_rows, parse_invocation
from functions.predict.settings import Limits
from functions.predict.wire import payload
from functions.predict.wire.bodies import Bodies
from functions.predict.wire.envelope import Endpoint, Routes
from functions.predict.wire.json_answer import JsonAnswer, computed
from functions.predict.wire.shape import JsonRows
from shared.problems import MEDIA_TYPE, Refusal, problem_fields, refuse
from shared.serving.loaded_model import LoadedModel

VERSION = "2"
FindModel = Callable[[], Awaitable[LoadedModel]]


class Protocols:
    """MLflow's scoring protocol and the Open Inference Protocol over one model."""

    def __init__(
        self,
        model: FindModel,
        limits: Limits,
        bodies: Bodies,
        counted: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint,
    ) -> None:
        """`model` finds the model in hand, or raises Refusal (503); `counted` makes an endpoint whose rows count."""
        self._model = model
        self._bodies = bodies
        self._limits = limits
        self._counted_infer = counted(self._infer)
        self._counted_invocations = counted(self.invocations)

    def routes(self) -> Routes:
        """The paths that no model's name is part of."""
        return {
            "/ping": ("GET", self.ready),
            "/invocations": ("POST", self._counted_invocations),
            "/v2": ("GET", self.server),
            "/v2/health/live": ("GET", self.live),
            "/v2/health/ready": ("GET", self.ready),
        }

    def find(self, path: str) -> tuple[str, Endpoint] | None:
        """The endpoint of a path with a model's name in it."""
        match = MODEL_PATH.fullmatch(path)
        if match is None:
            return None
        if match["rest"] == "/infer":
            return "POST", self.infer
        return "GET", self.ready_model if match["rest"] == "/ready" else self.metadata

    async def live(self, _: Request) -> ASGIApp:
        """The process lives."""
        return JsonAnswer({"live": True})

    async def ready(self, _: Request) -> ASGIApp:
        """A model is in hand; loads the first one."""
        await self._model()
        return JsonAnswer({"ready": True})

    async def server(self, _: Request) -> ASGIApp:
        """What speaks this protocol."""
        return JsonAnswer({"name": "tabular-regression", "version": VERSION, "extensions": []})

    async def ready_model(self, request: Request) -> ASGIApp:
        """The model of this name, and version, is the one in hand."""
        manifest = (await self._named(request)).manifest
        return JsonAnswer({"name": manifest.dataset.name, "ready": True})

    async def metadata(self, request: Request) -> ASGIApp:
        """The model's tensors."""
        return JsonAnswer(describe_tensors((await self._named(request)).manifest))

    async def infer(self, request: Request) -> ASGIApp:
        """Rows as tensors."""
        try:
            return await self._counted_infer(request)
        except Refusal as refusal:
            body = msgspec.json.encode({**problem_fields(refusal), "error": refusal.detail})
            return Response(body, refusal.status, refusal.headers, MEDIA_TYPE)

    async def _infer(self, request: Request) -> ASGIApp:
        async with self._bodies.of(request) as body:
            return await self._inferred(request, body)

    async def _inferred(self, request: Request, body: bytes) -> ASGIApp:
        payload.media_type(request, (payload.JSON,), unsaid=payload.JSON)  # tritonclient says nothing of it
        value, batch = await computed(body, lambda: _parsed(body, self._limits))
        loaded = await self._named(request)

        def work() -> ASGIApp:
            read = loaded.schema.read_rows(batch.rows, locate=batch.locate)
            answers = loaded.answers(read)
            note(request, loaded, read, answers)
            return JsonAnswer(inferred(loaded.manifest, answers, value))

        return await computed(body, work)

    async def invocations(self, request: Request) -> ASGIApp:
        """Rows in MLflow's forms."""
        async with self._bodies.of(request) as body:
            payload.media_type(request, (payload.JSON,))
            return await self._invoked(request, body)

    async def _invoked(self, request: Request, body: bytes) -> ASGIApp:
        limits = self._limits
        batch = await computed(body, lambda: invocation_rows(parse_invocation(body, limits.most), limits.max_rows))
        loaded = await self._model()

        def work() -> ASGIApp:
            read = loaded.schema.read_rows(batch.rows, prefix=batch.prefix, locate=batch.locate)
            answers = loaded.answers(read)
            note(request, loaded, read, answers)
            return JsonAnswer(InvocationAnswer([answer.prediction for answer in answers]))

        return await computed(body, work)

    async def _named(self, request: Request) -> LoadedModel:
        loaded = await self._model()
        match = MODEL_PATH.fullmatch(request.scope["path"])
        named = match is not None and match["name"] == loaded.manifest.dataset.name
        if match is None or not named or match["version"] not in (None, loaded.manifest.run_id):
            raise refuse(404, "not_found", "another model serves here; see /v2/health/ready and /meta")
        return loaded


def _parsed(body: bytes, limits: Limits) -> tuple[Any, JsonRows]:
    value = payload.parse_json(body, limits.most)
    return value, inference_rows(value, limits.max_rows)
