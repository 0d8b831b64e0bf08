"""The function's door: a Flask request in, JSON or problem+json out. Every error meets its status here."""

import traceback
from collections.abc import Callable, Sequence

import flask
import msgspec

from functions.train import pipeline
from functions.train.door import attempts, call
from functions.train.door.problems import response
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import Tracker
from shared import logs
from shared.errors import InvalidDataset, ObjectMissing, PermanentError, PreconditionFailed, TransientError
from shared.problems import Problem, Refusal, refuse
from shared.store import Store

RETRY_AFTER_SECONDS = 30


class TrainService:
    """Answers calls. `require_caller` takes the Authorization header and raises Refusal for an unknown caller."""

    def __init__(
        self,
        settings: TrainSettings,
        store: Store,
        tracker: Tracker,
        require_caller: Callable[[str | None], None],
        zoo: Sequence[Algorithm] = MODEL_ZOO,
    ) -> None:
        self._settings = settings
        self._store = store
        self._tracker = tracker
        self._require_caller = require_caller
        self._zoo = zoo

    def answer(self, request: flask.Request) -> flask.Response:
        """The answer to a request, whatever happens. How a call ended is kept in the bucket too."""
        try:
            self._admit(request)
        except Exception as error:  # noqa: BLE001 (the last door: a fault of ours must still be an answer)
            return response(_refusal(error))
        try:
            asked = call.parse(request.get_data(), self._settings.bucket, self._settings.dataset)
            summary = pipeline.run(
                self._store, self._tracker, self._settings, asked.dataset, force=asked.force, zoo=self._zoo
            )
        except Exception as error:  # noqa: BLE001 (likewise)
            refusal = _refusal(error)
            attempts.keep(self._store, attempts.refused(refusal))
            return response(refusal)
        attempts.keep(self._store, attempts.answered(summary))
        return flask.Response(msgspec.json.encode(summary), 200, content_type="application/json")

    def _admit(self, request: flask.Request) -> None:
        """Raises Refusal for what is no call of training, or of a stranger; TransientError."""
        if request.path != "/":
            raise refuse(404, "not_found", "there is only one resource here: POST /")
        if request.method != "POST":
            raise refuse(405, "method", f"{request.method} is not allowed; use POST", {"Allow": "POST"})
        self._require_caller(request.headers.get("Authorization"))


def _refusal(error: Exception) -> Refusal:
    """What an error is answered with; it is logged here."""
    if isinstance(error, Refusal):
        return _refused(error)
    if isinstance(error, TransientError):
        logs.warning(f"the run ended and may succeed later: {error}")
        return _unavailable(str(error))
    if isinstance(error, PreconditionFailed | ObjectMissing):
        logs.warning(f"the bucket changed during the run: {error}")
        return _unavailable("the bucket changed during the run; call again")
    return _permanent(error) if isinstance(error, PermanentError) else _unexpected(error)


def _refused(refusal: Refusal) -> Refusal:
    """The refusal of a call that no run was begun for. Alerts are for calls that were meant for this function (an
    unfit body); strangers and wrong paths are only warnings."""
    problems = "; ".join(problem.message for problem in refusal.problems)[:4000]
    message, reason = f"the call was refused with {refusal.status}: {problems}", refusal.problems[0].code
    if refusal.status in (400, 422):
        logs.error(message, reason=reason, status="refused")
    else:
        logs.warning(message, reason=reason, status="refused")
    return refusal


def _permanent(error: PermanentError) -> Refusal:
    logs.error(str(error)[:4000], reason=error.reason)
    if isinstance(error, InvalidDataset):
        return Refusal(422, [Problem("", error.reason, problem) for problem in error.problems])
    return refuse(422 if error.reason == "no_selectable_model" else 500, error.reason, str(error))


def _unexpected(error: Exception) -> Refusal:
    """Where it happened, without the message: that may quote the data."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logs.error(f"unexpected {type(error).__name__}", reason="unexpected", stack_trace=where)
    return refuse(500, "unexpected", f"the run failed unexpectedly ({type(error).__name__}); see the log")


def _unavailable(message: str) -> Refusal:
    return refuse(503, "unavailable", message, {"Retry-After": str(RETRY_AFTER_SECONDS)})
