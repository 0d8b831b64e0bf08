"""Endpoints whose requests are counted: what each took, the rows that it answered, why it was refused.

Our own page asks at every change, and checks and benches ask what nobody wants to know: their requests say so in
`X-Purpose`, and are answered without being counted.
"""

from collections.abc import Callable, Sequence

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp

from functions.predict.live.counters import Counters
from functions.predict.memory import Remembered
from functions.predict.wire.envelope import Endpoint
from shared.problems import Refusal
from shared.serving.assessment import Answer
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import KnownRow, ModelInput

PURPOSE = b"x-purpose"
UNCOUNTED = frozenset({b"what-if", b"page", b"smoke", b"bench"})
_ROWS = "functions.predict.rows"


def note(
    request: Request, run: VerifiedRun, rows: KnownRow | ModelInput, answers: Remembered | Sequence[Answer]
) -> None:
    """Leave with a request what `run` answered, for whoever counts it: one row and its answer, or a batch."""
    request.scope[_ROWS] = (run, rows, answers)


class Counted:
    """Makes counted endpoints of others. `current`: the model in hand, whose fields a refusal is about."""

    def __init__(self, counters: Counters, current: Callable[[], VerifiedRun | None]) -> None:
        self._counters = counters
        self._current = current

    def endpoint(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint`, with its requests counted."""
        timer = self._counters.timer

        async def counted(request: Request) -> ASGIApp:
            for name, value in request.scope["headers"]:
                if name == PURPOSE and value in UNCOUNTED:
                    return await endpoint(request)
            began = timer()
            try:
                answer = await endpoint(request)
            except ClientDisconnect:
                raise
            except Exception as error:
                self._refused(began, error)
                await self._drained()
                raise
            rows = request.scope.get(_ROWS)
            if rows is not None:
                ended = timer()
                self._counters.answered(ended, ended - began, *rows)
            if self._counters.ending:
                await self._drained()
            return answer

        return counted

    def _refused(self, began: float, error: Exception) -> None:
        ended = self._counters.timer()
        status, problems = (error.status, error.problems) if isinstance(error, Refusal) else (500, ())
        self._counters.refused(ended, ended - began, self._current(), status, problems)

    async def _drained(self) -> None:
        if self._counters.ending:
            await anyio.to_thread.run_sync(self._counters.drain)
