"""The settings of one serving process: which bucket and stage it reads, how often it looks, how much it accepts."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from functions.predict.wire.payload import ARCHIVE, Most
from functions.predict.wire.workbook_parts import MOST_CELLS
from shared.env import Environment
from shared.errors import SettingsError
from shared.layout import STAGES, Stage
from shared.run_files import MAX_FILE_BYTES

MEBIBYTE = 2**20
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.ASCII)
OWN_MIB = 288
"""What a worker takes without a large body: the interpreter, the runtime, two small models, a hundred connections, and
what the allocator keeps of bodies that are done. `make torture` measures it."""

BARE_MIB = 110
"""The interpreter and the runtime alone."""

MEMORY_PER_GRAPH_BYTE = 14
"""What the runtime takes for a byte of a graph of trees, measured with 0.4 and 2 million nodes; of others less."""

MOST_BODIES = 4
"""Bodies of the largest size that are held at once: more memory than for them is the models'."""

WORK_PER_BYTE = 8
"""Memory that one byte of the largest body may take while it is worked on: `Limits` bounds what it holds."""

WORST_PER_BYTE = 32
"""Memory that one byte of a smaller body may take: two are the shortest cell of a table."""

BYTES_PER_VALUE = 128
BYTES_PER_CELL = 96
PLATFORM_LIMIT = 32 * MEBIBYTE
"""Cloud Run refuses larger requests and responses by itself."""


@dataclass(frozen=True)
class Limits:
    """`max_bytes` of a body, `max_rows` of a batch, `body_seconds` that a body may take to arrive, the number of
    single rows whose answers are remembered, and `work_bytes` that large bodies may take together.
    """

    max_bytes: int = 8 * MEBIBYTE
    max_rows: int = 10_000
    body_seconds: float = 30.0
    remembered_rows: int = 4096
    work_bytes: int = 256 * MEBIBYTE

    def work_of(self, body: bytes) -> int:
        """Bytes of memory that `body` may take while it is worked on; a workbook as much as the largest one."""
        most = self.max_bytes * WORK_PER_BYTE
        return most if body.startswith(ARCHIVE) else min(len(body) * WORST_PER_BYTE, most)

    @property
    def most(self) -> Most:
        """Of a JSON body: a hundred bytes a value, so that they stay within the work of its bytes."""
        return Most(self.max_bytes * WORK_PER_BYTE // BYTES_PER_VALUE, self.max_rows)

    @property
    def max_cells(self) -> int:
        """Cells of a table: texts of their own."""
        return self.max_bytes * WORK_PER_BYTE // BYTES_PER_CELL

    @property
    def max_workbook_cells(self) -> int:
        """Cells of a workbook, which takes longer to read than a CSV."""
        return min(self.max_cells, MOST_CELLS)


@dataclass(frozen=True)
class PredictSettings:
    """Read once, in the worker. `refresh_seconds`: age at which the last look at the pointer is too old. `origins`:
    whose pages may ask from a browser, none by default. `counts`: whether live rows are counted.
    `most_graph_bytes`: of a model that fits beside the one in hand.
    """

    bucket: str
    stage: Stage
    refresh_seconds: float
    limits: Limits
    origins: tuple[str, ...] = ()
    counts: bool = True
    most_graph_bytes: int = MAX_FILE_BYTES

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "PredictSettings":
        """The settings in `environ`. Raises SettingsError naming the variable, what was expected and found."""
        env = Environment(environ)
        max_bytes = env.integer("MAX_BODY_BYTES", 8 * MEBIBYTE, minimum=1024, maximum=PLATFORM_LIMIT)
        memory_mib = env.integer("MEMORY_MIB", _installed_mib(), minimum=256, maximum=2**24)
        work_bytes = _work_bytes(memory_mib, max_bytes)
        return cls(
            bucket=env.text("BUCKET"),
            stage=cast(Stage, env.choice("STAGE", "staging", STAGES)),
            refresh_seconds=env.number("REFRESH_SECONDS", 15, minimum=0.1, maximum=3600),
            limits=Limits(
                max_bytes=max_bytes,
                max_rows=env.integer("MAX_BATCH_ROWS", 10_000, minimum=1, maximum=1_000_000),
                body_seconds=env.number("BODY_SECONDS", 30, minimum=0.1, maximum=3600),
                remembered_rows=env.integer("REMEMBERED_ROWS", 4096, minimum=0, maximum=100_000),
                work_bytes=work_bytes,
            ),
            counts=env.choice("LIVE_COUNTERS", "on", ("on", "off")) == "on",
            origins=_origins(env.optional("ALLOWED_ORIGINS") or ""),
            most_graph_bytes=_most_graph_bytes(memory_mib, work_bytes),
        )


def least_memory_mib(max_bytes: int) -> int:
    """Memory of a container whose worker accepts bodies of `max_bytes`: its own, and one body in each of two halves."""
    return OWN_MIB + -(-2 * WORK_PER_BYTE * max_bytes // MEBIBYTE)


def _work_bytes(memory_mib: int, max_bytes: int) -> int:
    least = least_memory_mib(max_bytes)
    if memory_mib < least:
        raise SettingsError(
            f"environment variable MEMORY_MIB must be at least {least} for bodies of MAX_BODY_BYTES={max_bytes},"
            f" found {memory_mib}"
        )
    return min((memory_mib - OWN_MIB) * MEBIBYTE, MOST_BODIES * WORK_PER_BYTE * max_bytes)


def _most_graph_bytes(memory_mib: int, work_bytes: int) -> int:
    """What is left is halved: the model in hand serves while the next one is loaded."""
    left = (memory_mib - BARE_MIB) * MEBIBYTE - work_bytes
    return min(MAX_FILE_BYTES, left // 2 // MEMORY_PER_GRAPH_BYTE)


def _installed_mib() -> int:
    """The computer's memory: a container has less, and is told."""
    return max(512, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEBIBYTE)


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [origin for origin in origins if origin != "*" and not _ORIGIN.fullmatch(origin)]
    if wrong:
        expected = "origins such as https://example.org, with commas between them, or *"
        raise SettingsError(f"environment variable ALLOWED_ORIGINS must hold {expected}, found {wrong[0]!r}")
    return origins
