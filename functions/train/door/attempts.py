"""How a call of training ended, kept in the bucket: who asked by a scheduler's job gets no answer of the function."""

from functions.train.pipeline import Summary
from shared import layout, logs
from shared.clock import utc_now
from shared.codec import encode
from shared.decisions import Attempt, AttemptStatus
from shared.documents import SCHEMA_VERSION
from shared.errors import PipelineError
from shared.media_types import JSON
from shared.problems import Refusal
from shared.store import Store, write_once


def answered(summary: Summary) -> Attempt:
    """The end of a call that a run answers, its own or another one."""
    return Attempt(schema_version=SCHEMA_VERSION, ended_at=utc_now(), status=summary.status, run_id=summary.run_id)


def refused(refusal: Refusal) -> Attempt:
    """The end of a call without a run, with every problem."""
    return Attempt(
        schema_version=SCHEMA_VERSION,
        ended_at=utc_now(),
        status=_status(refusal.status),
        problems=tuple(problem.message for problem in refusal.problems),
    )


def keep(store: Store, attempt: Attempt) -> None:
    """Write it, create-only, or warn: the answer does not depend on it."""
    try:
        key = layout.attempt(layout.new_run_id(attempt.ended_at))
        write_once(store, key, encode(attempt), JSON)
    except PipelineError as error:
        logs.warning(f"how the call ended was not kept: {error}", reason="attempt_not_kept")


def _status(http: int) -> AttemptStatus:
    if http == 503:
        return "later"
    return "refused" if http < 500 else "failed"
