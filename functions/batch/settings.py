"""What batches are told from outside: the bucket, which stage answers, and how long one event may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from functions.batch.dataflow import DataflowSettings
from shared.entry import EventSettings, event_options
from shared.env import Environment
from shared.layout import STAGES, Stage

MEMORY_BYTES = 2 * 2**30
"""Of the function, as Terraform sets it."""


@dataclass(frozen=True)
class BatchSettings(EventSettings):
    """`stage` and `tolerate`, the share of rows that may have no answer, are for files whose owners note nothing.

    `threads`: pieces that are answered at once. `engine_rows`: files of more go to `dataflow`; None: none do.
    `part_rows` of Parquet and `part_bytes` of text (about 130,000 rows of twenty columns) make one part of an answer.
    """

    stage: Stage = "production"
    tolerate: float = 0.01
    threads: int = 1
    engine_rows: int | None = None
    part_rows: int = 100_000
    part_bytes: int = 16 * 2**20
    dataflow: DataflowSettings | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """BUCKET and the optional others; with BATCH_ENGINE_ROWS also what Dataflow needs. Raises SettingsError."""
        environment = Environment(environ)
        engine_rows = environment.integer("BATCH_ENGINE_ROWS", 0, minimum=0, maximum=10**12) or None
        return cls(
            **event_options(environment),
            stage=cast(Stage, environment.choice("STAGE", "production", STAGES)),
            tolerate=environment.number("BATCH_TOLERATE", 0.01, minimum=0.0, maximum=1.0),
            threads=environment.integer("BATCH_THREADS", 2, minimum=1, maximum=16),
            engine_rows=engine_rows,
            dataflow=_dataflow(environment) if engine_rows else None,
        )


def _dataflow(environment: Environment) -> DataflowSettings:
    return DataflowSettings(
        project=environment.text("GOOGLE_CLOUD_PROJECT"),
        region=environment.text("DATAFLOW_REGION"),
        template=environment.text("DATAFLOW_TEMPLATE"),
        account=environment.text("DATAFLOW_ACCOUNT"),
        max_workers=environment.integer("DATAFLOW_MAX_WORKERS", 10, minimum=1, maximum=1000),
    )
