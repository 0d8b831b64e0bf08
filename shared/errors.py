"""The errors of the whole system, named by what a caller can do about them.

PipelineError
├── PermanentError          the same input will never succeed: acknowledge, log, leave the reason
│   ├── SettingsError       an environment variable is missing or wrong
│   ├── InvalidDataset      the spec or the data, with every problem found
│   ├── InvalidDocument     a JSON document of ours that does not parse or is of a newer version
│   ├── InvalidEvent        a CloudEvent that is not a storage event
│   ├── IntegrityError      an object is missing, or differs from what the manifest promised
│   │   ├── ObjectTooLarge  an object has more bytes than its reader takes
│   │   └── WrongEncoding   an object says that it is gzip, and its bytes are not
│   └── NoSelectableModel   no algorithm could be trained and exported
├── TransientError          may heal: raise it, so that the platform delivers again
│   └── StorageUnavailable  5xx, 429, time-outs, refused connections
│       └── NotPermitted    a permission is missing, and may still be granted
├── ObjectMissing           the bucket has no such object (or no such generation of it)
└── PreconditionFailed      another writer was there first: read again and decide again
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """Base of every error that this system raises on purpose."""


class PermanentError(PipelineError):
    """The same input will never succeed. `reason` is a short code that alerts can be built on."""

    reason = "permanent"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class SettingsError(PermanentError):
    """An environment variable is missing or wrong; the message names it and what it should hold."""

    reason = "bad_settings"


class ColumnProblem(str):
    """The sentence of a problem of one `column`. `lines`: those of [features] that settle it, said as they stand."""

    column: str
    lines: tuple[str, ...]

    def __new__(cls, sentence: str, column: str, lines: Sequence[str] = ()) -> "ColumnProblem":
        made = super().__new__(cls, sentence)
        made.column, made.lines = column, tuple(lines)
        return made


class InvalidDataset(PermanentError):
    """The spec or the table is not usable.

    `problems`: one plain sentence each, all of them, fit for a document; `columns`: those that have one of their own;
    `lines`: those of [features] that settle some.
    """

    reason = "invalid_dataset"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(str(problem) for problem in problems)
        of_columns = [problem for problem in problems if isinstance(problem, ColumnProblem)]
        self.columns = tuple(dict.fromkeys(problem.column for problem in of_columns))
        self.lines = tuple(line for problem in of_columns for line in problem.lines)
        super().__init__("; ".join(self.problems))

    def followed_by(self, notes: Sequence[str]) -> "InvalidDataset":
        """The same, with `notes` after its problems."""
        noted = InvalidDataset([*self.problems, *notes])
        noted.columns, noted.lines = self.columns, self.lines
        return noted


class InvalidDocument(PermanentError):
    """A manifest, pointer, decision or golden file that does not parse or has a newer schema version."""

    reason = "invalid_document"


class InvalidEvent(PermanentError):
    """The event is not one that Cloud Storage sends."""

    reason = "invalid_event"


class IntegrityError(PermanentError):
    """An object is missing, or its size, digest or predictions differ from what was promised."""

    reason = "integrity"


class ObjectTooLarge(IntegrityError):
    """An object has more bytes than its reader takes; it was not read to its end."""

    reason = "too_large"


class WrongEncoding(IntegrityError):
    """An object has `Content-Encoding: gzip`, and its bytes are not gzip: no reader gets anything from it."""

    reason = "content_encoding"


class NoSelectableModel(PermanentError):
    """Every algorithm failed, or none could be exported faithfully."""

    reason = "no_selectable_model"


class TransientError(PipelineError):
    """May heal by itself: raise it, so that the platform delivers again."""


class StorageUnavailable(TransientError):
    """Cloud Storage did not answer, refused for now, or denied a permission that may still be granted."""


class NotPermitted(StorageUnavailable):
    """Cloud Storage denied a permission; asking again helps only after somebody granted it."""


class ObjectMissing(PipelineError):
    """The bucket has no such object, or not at the generation asked for."""


class PreconditionFailed(PipelineError):
    """The object is not at the generation that the write expected: another writer was there first."""
