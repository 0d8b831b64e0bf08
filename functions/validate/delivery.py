"""One delivery: the HTTP request as a CloudEvent, in the binary or the structured form."""

from collections.abc import Mapping

from cloudevents.http import CloudEvent, from_http

from shared.errors import InvalidEvent

BATCH = "application/cloudevents-batch"
DEEPEST = 64
"""A storage event nests twice. Python's parser would end thousands of levels down, in a RecursionError."""


def read_event(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event; `headers` by their names in small letters. Raises InvalidEvent for a body that is none, or many."""
    if headers.get("content-type", "").lower().startswith(BATCH):
        raise InvalidEvent("expected one event, found a batch; let each be delivered by itself")
    if _is_deep(body):
        raise InvalidEvent(f"expected a storage event, found JSON that is nested more than {DEEPEST} times")
    try:
        return from_http(dict(headers), body)
    except Exception as error:  # noqa: BLE001 (the library's own errors, and whatever a body makes its parser raise)
        kind = type(error).__name__
        raise InvalidEvent(f"expected a CloudEvent with its attributes, found something else ({kind})") from None


def _is_deep(body: bytes) -> bool:
    """Whether the body may be nested too deeply, by its brackets, those within texts too: no event has so many."""
    depth = deepest = 0
    for byte in body[: 2**20]:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest > DEEPEST
