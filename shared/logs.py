"""Structured logs: one JSON object a line on stderr, in the shape that Cloud Logging reads (severity, message, fields).

Fields never carry values of rows or secrets: the callers pass names, counts, keys, run ids and reason codes only.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

LOGGER = logging.getLogger("pipeline")
_FIELDS = "pipeline_fields"


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": self._service,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


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
