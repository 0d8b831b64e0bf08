"""What became of one event, as the entry logs it."""

from dataclasses import dataclass

from shared.layout import Stage


@dataclass(frozen=True)
class Outcome:
    """One decision. `reason` is the code that alerts match on; `failed`: a person should look.

    `failed_checks`: names of the gate's checks that failed.
    """

    reason: str
    message: str
    run_id: str | None = None
    stage: Stage | None = None
    failed: bool = False
    failed_checks: tuple[str, ...] = ()
