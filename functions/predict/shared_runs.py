"""Single rows that arrive together share one run of the graph.

A run costs far more than one row of it. So each row waits until the requests that this turn of the event loop has read
have added theirs. While rows come one by one, none waits: each has its run at once.
"""

import asyncio
from collections.abc import Sequence

from shared.serving.assessment import Answer
from shared.serving.loaded_model import LoadedModel
from shared.serving.reading import KnownRow, ModelInput

MOST_ROWS = 64
"""Rows of one run: more would keep the loop from the other requests for too long."""

LONELY_RUNS = 16
"""After this many runs of a single row, rows are taken to come one by one again."""

_Waiting = tuple[KnownRow, "asyncio.Future[Answer]"]


class SharedRuns:
    """The rows that wait for the end of this turn, by the model that they were asked of. For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[LoadedModel, list[_Waiting]]] = {}
        self._this_turn = False
        self._together = 0

    def alone(self) -> bool:
        """Whether rows come one by one at present, so that the one at hand is better answered at once."""
        if self._together:
            return False
        if self._this_turn:  # the second row of one turn
            self._together = LONELY_RUNS
            return False
        self._this_turn = True
        asyncio.get_running_loop().call_soon(self._turn_ends)
        return True

    def answer(self, loaded: LoadedModel, row: KnownRow) -> "asyncio.Future[Answer]":
        """The answer to `row` by `loaded`, whichever model is in hand when it is computed."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)  # after the handlers of this turn have added theirs
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.setdefault(id(loaded), (loaded, []))[1].append((row, future))
        return future

    def _turn_ends(self) -> None:
        self._this_turn = False

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, {}
        rows = sum([len(rows) for _, rows in waiting.values()])
        self._together = LONELY_RUNS if rows > 1 else self._together - 1
        for loaded, asked in waiting.values():
            for start in range(0, len(asked), MOST_ROWS):
                _answer(loaded, asked[start : start + MOST_ROWS])


def _answer(loaded: LoadedModel, waiting: Sequence[_Waiting]) -> None:
    try:
        answers = loaded.answers(ModelInput.of_rows([row for row, _ in waiting]))
    except Exception as error:  # noqa: BLE001 - it is the answer to whoever asked for this row
        if len(waiting) > 1:  # one row must not fail for another
            for entry in waiting:
                _answer(loaded, [entry])
        elif not waiting[0][1].done():
            waiting[0][1].set_exception(error)
        return
    for (_, future), answer in zip(waiting, answers, strict=True):
        if not future.done():  # whoever has asked may be gone
            future.set_result(answer)
