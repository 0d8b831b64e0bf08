"""The documents of one batch, in `batch/out/<name>.<generation>/`: its plan, what each part holds, and how it ended.

`plan.json` and `outcome.json` are create-only: whoever writes one first decides, for every delivery of the event and
for every engine.
"""

from typing import ClassVar, Literal

import msgspec

from shared.documents import Document, FileDigest
from shared.layout import Stage

Format = Literal["csv", "parquet"]
Engine = Literal["function", "dataflow"]
Status = Literal["succeeded", "rejected"]


class BatchInput(Document, frozen=True, kw_only=True):
    """The object that was dropped: exactly that generation of it is answered. `size` in bytes."""

    name: str
    generation: int
    size: int


class Dialect(Document, frozen=True, kw_only=True):
    """How a text file is written."""

    encoding: Literal["utf-8", "cp1252"]
    delimiter: str
    decimal_comma: bool


class Cut(Document, frozen=True, kw_only=True):
    """Where part `number` begins: at byte `start` of a text file, else at row `start`.

    `row`: the position of its first row, from 0. `line`: the number of its first record, as a spreadsheet counts.
    """

    number: int
    start: int
    row: int
    line: int


class BatchPlan(Document, frozen=True, kw_only=True):
    """What was decided once: which run answers which object, and how the object is read.

    `fields`: the column of the file by the feature. `keep`: the columns that pass through. `tolerate`: the share of
    rows that may have no answer. `rows`: how many there are, where the file says so, else as estimated.
    `part_size`: rows of a part, or bytes of it for a text file.
    """

    schema_version: int
    input: BatchInput
    format: Format
    engine: Engine
    stage: Stage
    run_id: str
    manifest_sha256: str
    columns: tuple[str, ...]
    fields: dict[str, str]
    keep: tuple[str, ...]
    tolerate: float
    rows: int
    part_size: int
    first: Cut
    dialect: Dialect | None = None


class RowError(Document, frozen=True, kw_only=True):
    """A row without an answer: its number in the file, where in the row, and the code of what is wrong; no value."""

    row: int
    pointer: str
    code: str


class PartDone(Document, frozen=True, kw_only=True):
    """A part that is written. `next`: where the following one begins; None after the last.

    `errors` are listed up to a bound; `refused` counts the rows. `warned`: unusual cells by feature and code.
    """

    cut: Cut
    next: Cut | None
    name: str
    file: FileDigest
    rows: int
    refused: int
    errors: tuple[RowError, ...]
    warned: dict[str, dict[str, int]]


class PartFile(Document, frozen=True, kw_only=True):
    """One part of the answer."""

    name: str
    rows: int
    sha256: str
    size: int


class BatchOutcome(Document, frozen=True, kw_only=True):
    """How the batch ended. Its bytes are `_SUCCESS.json`, or `rejected.json` with the reason and a sentence each.

    `errors_listed`: lines of `errors.jsonl`. Where nothing could be planned there is no run.
    """

    on_one_line: ClassVar[bool] = True

    schema_version: int
    status: Status
    input: BatchInput
    run_id: str | None = None
    rows: int = 0
    refused: int = 0
    errors_listed: int = 0
    parts: tuple[PartFile, ...] = ()
    warned: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    reason: str | None = None
    problems: tuple[str, ...] = ()
