"""What validation is told from outside: the bucket, how long one event may take, and how much is logged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.env import Environment

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class ValidateSettings:
    """`deadline_seconds`: no new storage call begins later than this; the platform ends an event function at 540 s.

    `project`: named in the log lines' traces.
    """

    bucket: str
    deadline_seconds: float
    log_level: str
    project: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """BUCKET, DEADLINE_SECONDS (500), LOG_LEVEL (INFO), GOOGLE_CLOUD_PROJECT. Raises SettingsError naming it."""
        environment = Environment(environ)
        return cls(
            bucket=environment.text("BUCKET"),
            deadline_seconds=environment.number("DEADLINE_SECONDS", 500.0, minimum=1.0, maximum=500.0),
            log_level=environment.choice("LOG_LEVEL", "INFO", LEVELS),
            project=environment.optional("GOOGLE_CLOUD_PROJECT"),
        )
