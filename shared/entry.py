"""What the entries of the event functions have in common: settings, the bucket, and which faults are acknowledged."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from shared import logs
from shared.env import Environment
from shared.errors import PermanentError, PipelineError, SettingsError
from shared.events import StorageEvent, parse
from shared.store import CloudStore

if TYPE_CHECKING:  # Beam's workers, which need settings alone, have no such package
    from cloudevents.http import CloudEvent

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
CALL_TIMEOUT_SECONDS = 15.0
CALL_DEADLINE_SECONDS = 20.0
"""A call begun just before the deadline ends before the platform's 540 s, the time-out of its last try included."""


@dataclass(frozen=True)
class EventSettings:
    """What every event function is told.

    `deadline_seconds`: no new storage call begins later than this; the platform ends an event function at 540 s.
    `project`: named in the log lines' traces.
    """

    bucket: str
    deadline_seconds: float = 500.0
    log_level: str = "INFO"
    project: str | None = None


class EventOptions(TypedDict):
    """The fields of EventSettings by their names."""

    bucket: str
    deadline_seconds: float
    log_level: str
    project: str | None


def event_options(environment: Environment) -> EventOptions:
    """BUCKET, DEADLINE_SECONDS (500), LOG_LEVEL (INFO), GOOGLE_CLOUD_PROJECT. Raises SettingsError."""
    return {
        "bucket": environment.text("BUCKET"),
        "deadline_seconds": environment.number("DEADLINE_SECONDS", 500.0, minimum=1.0, maximum=500.0),
        "log_level": environment.choice("LOG_LEVEL", "INFO", LEVELS),
        "project": environment.optional("GOOGLE_CLOUD_PROJECT"),
    }


Settings = TypeVar("Settings", bound=EventSettings)


def configured(service: str, read: Callable[[], Settings]) -> Settings:
    """The settings that `read` gives, with the log told to speak for `service`.

    Raises SettingsError, logged: the next deployment heals it, and the events must not be lost until then.
    """
    logs.configure(service)
    try:
        settings = read()
    except SettingsError as error:
        logs.error(str(error), reason=error.reason)
        raise
    logs.configure(service, settings.log_level)
    return settings


def store_of(settings: EventSettings) -> CloudStore:
    """The function's bucket, each call bounded in time."""
    return CloudStore(settings.bucket, timeout=CALL_TIMEOUT_SECONDS, deadline=CALL_DEADLINE_SECONDS)


class EventFunction(Protocol):
    """A function of events with its adapters."""

    @property
    def settings(self) -> EventSettings:
        """What the function is told."""

    def receive(self, attributes: Mapping[str, object], data: object, trace: Mapping[str, str]) -> None:
        """Act on one event. Returns for what is done or can never be, raises for what may heal."""


def deliver(event: "CloudEvent", traceparent: str, function: EventFunction) -> None:
    """Hand an event over, with the trace of the request that brought it, whose header `traceparent` is."""
    trace = logs.trace_of(traceparent, function.settings.project)
    function.receive(event.get_attributes(), event.data, trace)


def read_event(attributes: Mapping[str, object], data: object, trace: Mapping[str, str]) -> StorageEvent | None:
    """The event of an object; None, logged, for what is none: no delivery can heal it."""
    with acknowledged(trace):
        return parse(attributes, data)
    return None


@contextmanager
def acknowledged(fields: Mapping[str, object]) -> Iterator[None]:
    """Log what no delivery can heal, so that the event is acknowledged; what may heal is logged and raised."""
    try:
        with delivered_again(fields):
            yield
    except PermanentError as error:
        logs.error(str(error), reason=error.reason, **fields)
    except MemoryError:  # the same event would take as much again
        logs.error("what the event asks for takes more memory than there is", reason="too_large", **fields)


@contextmanager
def delivered_again(fields: Mapping[str, object]) -> Iterator[None]:
    """Log and raise what may heal, so that the event comes again; what no delivery can heal is raised as it is."""
    try:
        yield
    except PermanentError:
        raise
    except PipelineError as error:
        logs.warning(f"will be delivered again: {error}", reason="transient", **fields)
        raise


def event_fields(event: StorageEvent) -> dict[str, object]:
    """Which event a line of the log is about."""
    return {"event_id": event.id, "bucket": event.bucket, "name": event.name, "generation": event.generation}
