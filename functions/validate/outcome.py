"""What became of one event, as the entry logs it."""

from dataclasses import dataclass

from shared.layout import Stage


@dataclass(frozen=True)
class Outcome:
    """One decision. `reason` is the code that alerts match on; `failed`: a person should look."""

    reason: str
    message: str
    run_id: str | None = None
    stage: Stage | None = None
    failed: bool = False
