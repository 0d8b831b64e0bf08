"""The function's door: a Flask request in, JSON or problem+json out."""

from collections.abc import Callable, Sequence

import flask
import msgspec

from functions.train import pipeline
from functions.train.door import call
from functions.train.door.ending import ended, refusal_of
from functions.train.door.problems import response
from functions.train.pipeline import Summary
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import Tracker
from shared.problems import Refusal, refuse
from shared.store import Store


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
            return response(refusal_of(error))
        try:
            summary = ended(self._store, lambda: self._train(request.get_data()))
        except Refusal as refusal:
            return response(refusal)
        return flask.Response(msgspec.json.encode(summary), 200, content_type="application/json")

    def _train(self, body: bytes) -> Summary:
        asked = call.parse(body, self._settings.bucket, self._settings.dataset)
        return pipeline.run(self._store, self._tracker, self._settings, asked.dataset, force=asked.force, zoo=self._zoo)

    def _admit(self, request: flask.Request) -> None:
        """Raises Refusal for what is no call of training, or of a stranger; TransientError."""
        if request.path != "/":
            raise refuse(404, "not_found", "there is only one resource here: POST /")
        if request.method != "POST":
            raise refuse(405, "method", f"{request.method} is not allowed; use POST", {"Allow": "POST"})
        self._require_caller(request.headers.get("Authorization"))
