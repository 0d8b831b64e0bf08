"""What was answered to single rows: the same row again, asked of the same model, has the same answer.

A model is a pure function of a row, and a table of few categories has few different rows. Running a graph costs more
than all else of a request, however small the graph: its code is cold by the time of the next request.
"""

from functions.predict.assessment import Outcome
from functions.predict.loaded_model import LoadedModel
from functions.predict.schema import Inputs, Known
from shared.model_runtime import Model


class Memory:
    """The outcomes of at most `limit` rows of the model in hand, the oldest forgotten first; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: tuple[Model | None, dict[Known, Outcome]] = (None, {})

    def outcome(self, loaded: LoadedModel, row: Known) -> Outcome:
        """The outcome of `row` by `loaded`, remembered or found."""
        model, outcomes = self._held  # read once: another thread may swap it, and then keeps its own
        if model is not loaded.model:
            outcomes = {}
            self._held = (loaded.model, outcomes)
        found = outcomes.get(row)
        if found is None:
            (found,) = loaded.outcomes(Inputs.of(row))
            if self._limit:
                if len(outcomes) >= self._limit:
                    outcomes.pop(next(iter(outcomes)), None)
                outcomes[row] = found
        return found
