"""How one training ends, whoever asked for it: its summary or a refusal, logged, and kept in the bucket."""

import traceback
from collections.abc import Callable

from functions.train.door import attempts
from functions.train.pipeline import Summary
from shared import logs
from shared.errors import InvalidDataset, ObjectMissing, PermanentError, PreconditionFailed, TransientError
from shared.problems import Problem, Refusal, refuse
from shared.store import Store

RETRY_AFTER_SECONDS = 30


def ended(store: Store, training: Callable[[], Summary]) -> Summary:
    """What `training` returns. How it ended is kept in the bucket too. Raises Refusal, whatever went wrong."""
    try:
        summary = training()
    except Exception as error:  # noqa: BLE001 (the last door: a fault of ours must still be an answer)
        refusal = refusal_of(error)
        attempts.keep(store, attempts.refused(refusal))
        raise refusal from None
    attempts.keep(store, attempts.answered(summary))
    return summary


def refusal_of(error: Exception) -> Refusal:
    """What an error is answered with; it is logged here."""
    if isinstance(error, Refusal):
        return _refused(error)
    if isinstance(error, TransientError):
        logs.warning(f"the run ended and may succeed later: {error}")
        return _unavailable(str(error))
    if isinstance(error, PreconditionFailed | ObjectMissing):
        logs.warning(f"the bucket changed during the run: {error}")
        return _unavailable("the bucket changed during the run; call again")
    return _permanent(error) if isinstance(error, PermanentError) else _unexpected(error)


def _refused(refusal: Refusal) -> Refusal:
    """The refusal of a call that no run was begun for. Alerts are for calls that were meant for this function (an
    unfit body); strangers and wrong paths are only warnings."""
    problems = "; ".join(problem.message for problem in refusal.problems)[:4000]
    message, reason = f"the call was refused with {refusal.status}: {problems}", refusal.problems[0].code
    if refusal.status in (400, 422):
        logs.error(message, reason=reason, status="refused")
    else:
        logs.warning(message, reason=reason, status="refused")
    return refusal


def _permanent(error: PermanentError) -> Refusal:
    logs.error(str(error)[:4000], reason=error.reason)
    if isinstance(error, InvalidDataset):
        return Refusal(422, [Problem("", error.reason, problem) for problem in error.problems])
    return refuse(422 if error.reason == "no_selectable_model" else 500, error.reason, str(error))


def _unexpected(error: Exception) -> Refusal:
    """Where it happened, without the message: that may quote the data."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logs.error(f"unexpected {type(error).__name__}", reason="unexpected", stack_trace=where)
    return refuse(500, "unexpected", f"the run failed unexpectedly ({type(error).__name__}); see the log")


def _unavailable(message: str) -> Refusal:
    return refuse(503, "unavailable", message, {"Retry-After": str(RETRY_AFTER_SECONDS)})
