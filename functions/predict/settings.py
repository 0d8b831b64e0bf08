"""The settings of one serving process: which bucket and stage it reads, how often it looks, how much it accepts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from shared.env import Environment
from shared.errors import SettingsError
from shared.layout import STAGES, Stage

MEBIBYTE = 2**20
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.ASCII)
PLATFORM_LIMIT = 32 * MEBIBYTE
"""Cloud Run refuses larger requests and responses by itself."""


@dataclass(frozen=True)
class Limits:
    """`max_bytes` of a body, `max_rows` of a batch, `body_seconds` that a body may take to arrive, and the number of
    single rows whose answers are remembered.
    """

    max_bytes: int = 8 * MEBIBYTE
    max_rows: int = 10_000
    body_seconds: float = 30.0
    remembered_rows: int = 4096


@dataclass(frozen=True)
class PredictSettings:
    """Read once, in the worker. `refresh_seconds`: age at which the last look at the pointer is too old. `origins`:
    whose pages may ask from a browser, none by default.
    """

    bucket: str
    stage: Stage
    refresh_seconds: float
    limits: Limits
    origins: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "PredictSettings":
        """The settings in `environ`. Raises SettingsError naming the variable, what was expected and found."""
        env = Environment(environ)
        return cls(
            bucket=env.text("BUCKET"),
            stage=cast(Stage, env.choice("STAGE", "staging", STAGES)),
            refresh_seconds=env.number("REFRESH_SECONDS", 15, minimum=0.1, maximum=3600),
            limits=Limits(
                max_bytes=env.integer("MAX_BODY_BYTES", 8 * MEBIBYTE, minimum=1024, maximum=PLATFORM_LIMIT),
                max_rows=env.integer("MAX_BATCH_ROWS", 10_000, minimum=1, maximum=1_000_000),
                body_seconds=env.number("BODY_SECONDS", 30, minimum=0.1, maximum=3600),
                remembered_rows=env.integer("REMEMBERED_ROWS", 4096, minimum=0, maximum=100_000),
            ),
            origins=_origins(env.optional("ALLOWED_ORIGINS") or ""),
        )


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [origin for origin in origins if origin != "*" and not _ORIGIN.fullmatch(origin)]
    if wrong:
        expected = "origins such as https://example.org, with commas between them, or *"
        raise SettingsError(f"environment variable ALLOWED_ORIGINS must hold {expected}, found {wrong[0]!r}")
    return origins
