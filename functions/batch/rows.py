"""What every reader of a file hands over: pieces of it, each of them one part of the answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.batches import Cut
from shared.errors import PermanentError
from shared.problems import Problem, Refusal, shortened

BATCH_ROWS = 20_000
"""Rows that go through the graph at once."""


class BatchRefused(PermanentError):
    """The file as a whole cannot be answered; the reason is a short code, the problems are for its owner."""

    reason = "batch_refused"

    def __init__(self, reason: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems), reason=reason)

    @classmethod
    def of(cls, refusal: Refusal) -> "BatchRefused":
        """What the rules of a request say of the file's columns."""
        sentences = [_sentence(problem) for problem in refusal.problems]
        return cls(refusal.problems[0].code, sentences)


@dataclass(frozen=True)
class ArrowRows:
    """Some rows in a row: their cells by column, as Arrow arrays of one length.

    `numbers` (n,): the rows' numbers as a spreadsheet counts them. `refused`: rows with a problem already.
    """

    columns: Mapping[str, pa.Array]
    first: int
    numbers: NDArray[np.int64]
    refused: Mapping[int, Problem] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Piece:
    """The rows of one part, in batches, and where the next part begins (None: the file ends here).

    There is at least one batch, without rows where the part has none.
    """

    cut: Cut
    batches: Sequence[ArrowRows]
    next: Cut | None


class FileReader(Protocol):
    """A file with a plan. It is read from any cut on, and the cuts are always the same ones."""

    def pieces(self, start: Cut) -> Iterator[Piece]:
        """The file from `start` on. Raises BatchRefused for what is no such file, ObjectMissing where it is gone."""

    def cuts(self, start: Cut) -> Iterator[Cut]:
        """Where the parts begin, `start` included, without the cost of reading their cells where that can be had."""

    def most_rows(self, after: Cut | None) -> int:
        """More rows than this cannot follow from the cut `after` on; none follow None."""


def _sentence(problem: Problem) -> str:
    where = problem.pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")
    return f"column {shortened(where)!r}: {problem.message}" if where else problem.message
