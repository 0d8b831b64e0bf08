"""What validation is told from outside: the bucket, how long one event may take, and how much is logged."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.entry import EventSettings, event_options
from shared.env import Environment

OWN_MIB = 448
"""Memory of this process with the files of one run, and of the copy of them that is handed on."""
LEAST_MIB = 1024
THREADS = 4 * (os.cpu_count() or 1)
"""The framework's own default."""


@dataclass(frozen=True)
class ValidateSettings(EventSettings):
    """`memory_mib`: of the container. `threads`: requests at once, as the framework reads THREADS too."""

    memory_mib: int = 1024
    threads: int = THREADS

    @property
    def examined_bytes(self) -> int:
        """What a process may take that runs a candidate's graph, or a marker's beside it."""
        return (self.memory_mib - OWN_MIB) * 2**20 // 2

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """BUCKET, DEADLINE_SECONDS (500), LOG_LEVEL (INFO), GOOGLE_CLOUD_PROJECT, MEMORY_MIB (1024), THREADS (four
        for each processor).

        Raises SettingsError naming the variable.
        """
        environment = Environment(environ)
        return cls(
            **event_options(environment),
            memory_mib=environment.integer("MEMORY_MIB", 1024, minimum=LEAST_MIB, maximum=32768),
            threads=environment.integer("THREADS", THREADS, minimum=3, maximum=1000),
        )
