"""The event entry of batches: a file below `batch/in/` comes, its answer goes to `batch/out/`, and one log line tells.

Faults that no delivery can heal are logged and acknowledged, with the reason beside the answer; whatever may heal is
raised, so that the event comes again and goes on from the parts that are written.

Fields of the one line that every event acted on leaves, for alerts to match on:
severity   INFO; ERROR where a person should look; WARNING for what is delivered again
reason     answered, started (on Dataflow); ERROR: no_model, unknown_format, no_csv, empty_body, malformed_csv,
           malformed_parquet, invalid_encoding, duplicate_header, no_known_column, missing, duplicate_field,
           wrong_column_type, bad_metadata, unknown_keep, too_many_bad_rows, input_gone, name_taken, name_too_long,
           dataflow_refused, too_large, integrity, invalid_document, invalid_event, bad_settings; WARNING: transient
run_id, rows, refused; event_id, bucket, name, generation: those of the event
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import functions_framework
from cloudevents.http import CloudEvent
from flask import request

from functions.batch.dataflow import Connect, client
from functions.batch.delivery import Started, act
from functions.batch.settings import MEMORY_BYTES, BatchSettings
from shared import layout, logs
from shared.batches import BatchOutcome
from shared.deadline import DeadlineStore
from shared.entry import acknowledged, configured, deliver, event_fields, read_event, store_of
from shared.events import FINALIZED, StorageEvent
from shared.memory_limit import limit_memory
from shared.store import Store

SERVICE = "batch"


@dataclass(frozen=True)
class Batcher:
    """The function with its adapters: the one place where they meet."""

    settings: BatchSettings
    store: Store
    clock: Callable[[], float] = time.monotonic
    connect: Connect = client

    def receive(self, attributes: Mapping[str, object], data: object, trace: Mapping[str, str] = logs.NO_TRACE) -> None:
        """Act on one event. Returns for what is done or can never be, raises for what may heal."""
        event = read_event(attributes, data, trace)
        if event is None or event.type != FINALIZED or event.bucket != self.settings.bucket:
            return
        if layout.batch_format(event.name) is not None:
            self._act(event, {**event_fields(event), **trace})

    def _act(self, event: StorageEvent, fields: Mapping[str, object]) -> None:
        store = DeadlineStore(self.store, self.settings.deadline_seconds, self.clock)
        with acknowledged(fields):
            _log(act(store, event, self.settings, self.connect), fields)


@functions_framework.cloud_event
def batch(event: CloudEvent) -> None:
    """The deployed function."""
    deliver(event, request.headers.get("traceparent", ""), _batcher())


@cache
def _batcher() -> Batcher:
    """Made at the first event, in the worker that serves it."""
    settings = configured(SERVICE, lambda: BatchSettings.from_env(os.environ))
    limit_memory(MEMORY_BYTES)
    return Batcher(settings, store_of(settings))


def _log(outcome: BatchOutcome | Started, fields: Mapping[str, object]) -> None:
    if isinstance(outcome, Started):
        logs.info(f"Dataflow's job {outcome.job} answers it", reason="started", run_id=outcome.run_id, **fields)
        return
    details = {"run_id": outcome.run_id, "rows": outcome.rows, "refused": outcome.refused, **fields}
    if outcome.status == "succeeded":
        logs.info(f"{outcome.rows} rows answered in {len(outcome.parts)} parts", reason="answered", **details)
    else:
        logs.error(f"the file was refused: {'; '.join(outcome.problems)}", reason=outcome.reason or "", **details)
