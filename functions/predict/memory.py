"""The answers to single rows that were given before: the same model answers the same row in the same way.

A model is a pure function of a row, and a table of few categories has few different rows. Running a graph costs more
than all else of a request, however small the graph: its code is cold by the time of the next request.
"""

from shared.model_runtime import Model
from shared.serving.assessment import Answer
from shared.serving.loaded_model import LoadedModel
from shared.serving.reading import KnownRow


class Remembered:
    """The answer to a row. `asked`: how often it was given since somebody counted last (`live/counters.py`).

    `beside`: the run that shadows the one that answers, by its id, and what it has predicted (`live/shadow.py`).
    """

    __slots__ = ("answer", "asked", "beside")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.beside: tuple[str, float] | None = None


class Memory:
    """The answers to at most `limit` rows of the model in hand, the oldest forgotten first; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: tuple[Model | None, dict[KnownRow, Remembered]] = (None, {})

    def find(self, loaded: LoadedModel, row: KnownRow) -> Remembered | None:
        """The answer to `row` by `loaded`, None where it is not remembered."""
        model, answers = self._held  # read once: another thread may swap it
        return answers.get(row) if model is loaded.model else None

    def keep(self, loaded: LoadedModel, row: KnownRow, answer: Answer) -> Remembered:
        """Remember the answer to `row` by `loaded`; what another model has answered is forgotten."""
        kept = Remembered(answer)
        if not self._limit:
            return kept
        model, answers = self._held
        if model is not loaded.model:
            answers = {}
            self._held = (loaded.model, answers)
        if len(answers) >= self._limit:
            answers.pop(next(iter(answers)), None)
        answers[row] = kept
        return kept
