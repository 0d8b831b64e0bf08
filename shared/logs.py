"""Structured logs: one JSON object a line on stderr, in the shape that Cloud Logging reads (severity, message, fields).

Fields never carry values of rows or secrets: the callers pass names, counts, keys, run ids and reason codes only.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

LOGGER = logging.getLogger("pipeline")
_FIELDS = "pipeline_fields"
NO_TRACE: Mapping[str, str] = MappingProxyType({})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, in ASCII: on a stream of another encoding Python would spell what that lacks in
    a way which is no JSON, and whoever waits for the line would never see it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON, with the names of fields that Cloud Logging knows."""
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": self._service,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send this system's log lines as JSON to `stream` (stderr). Called by the entry points only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


def info(message: str, **fields: object) -> None:
    """One thing that happened."""
    LOGGER.info(message, extra={_FIELDS: fields})


def warning(message: str, **fields: object) -> None:
    """One thing that somebody may want to look at."""
    LOGGER.warning(message, extra={_FIELDS: fields})


def error(message: str, *, reason: str, **fields: object) -> None:
    """One thing that needs a person; `reason` is the code that alerts match on."""
    LOGGER.error(message, extra={_FIELDS: {"reason": reason, **fields}})


def trace_of(traceparent: str, project: str | None) -> Mapping[str, str]:
    """The field by which Cloud Logging shows a line with its request; empty without a well-formed `traceparent`."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return NO_TRACE
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{found[1]}" if project else found[1]}
