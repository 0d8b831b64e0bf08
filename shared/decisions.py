"""Documents of what is decided of runs: the gate's decision, pointers, challenges, approvals, refusals.

Validate writes most of them, the functions and the operators' commands read them.
"""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from shared.documents import Document
from shared.layout import Stage

CheckStatus = Literal["passed", "failed", "not_run"]
Mode = Literal["shadow", "canary"]
Then = Literal["report", "promote"]
Verdict = Literal["worse", "faulty", "not_worse", "undecided", "stopped", "superseded"]
AttemptStatus = Literal["trained", "unchanged", "in_progress", "refused", "later", "failed"]


class Check(Document, frozen=True, kw_only=True):
    """One check of the gate: what it saw, what it asked for, and a sentence for people.

    `status` and `code` are for programs: whether the check passed, failed or was not run, and why not. Decisions of
    before they were kept have neither, and `standing` tells.
    """

    name: str
    passed: bool
    observed: float | str | None
    threshold: float | str | None
    reason: str
    status: CheckStatus | None = None
    code: str = ""

    @property
    def standing(self) -> CheckStatus:
        """The status; of an old decision, whether the check passed."""
        return self.status or ("passed" if self.passed else "failed")


class Decision(Document, frozen=True, kw_only=True):
    """The gate's verdict, check by check. `manifest_generation`: of the manifest that it was made about; decisions of
    before it was kept have none."""

    passed: bool
    checks: tuple[Check, ...]
    manifest_generation: int | None = None


class Pointer(Document, frozen=True, kw_only=True):
    """What a stage serves. `marker_generation`: the promotion marker that asked for it (production only); `by` and
    `why`: who asked and why, as the marker's writer said.
    """

    on_one_line: ClassVar[bool] = True

    schema_version: int
    stage: Stage
    run_id: str
    manifest_sha256: str
    promoted_at: datetime
    previous_run_id: str | None
    decision: Decision
    marker_generation: int | None = None
    by: str = ""
    why: str = ""


class Ended(Document, frozen=True, kw_only=True):
    """How a challenge ended.

    `verdict`: worse or faulty, and withdrawn for it; not_worse; undecided at its end; stopped by somebody; superseded
    because another champion serves. `figures` are what the judge saw.
    """

    at: datetime
    verdict: Verdict
    reason: str
    figures: dict[str, float] = msgspec.field(default_factory=dict)


class Challenge(Document, frozen=True, kw_only=True):
    """A run that is tried beside the one that production serves.

    `percent` of the requests are answered by it (canary; 0 for a shadow), chosen by `salt`. `source` is the key of the
    pointer that `then: promote` copies to the marker. `ended` is absent while it runs.
    """

    schema_version: int
    run_id: str
    manifest_sha256: str
    champion_run_id: str
    mode: Mode
    percent: float
    then: Then
    salt: str
    started_at: datetime
    until: datetime
    source: str
    max_r2_drop: float
    marker_generation: int
    by: str = ""
    why: str = ""
    ended: Ended | None = None


class Approval(Document, frozen=True, kw_only=True):
    """Somebody's wish that a run be promoted, where more than one person has to ask."""

    schema_version: int
    run_id: str
    by: str
    why: str
    at: datetime
    marker_generation: int


class Rejection(Document, frozen=True, kw_only=True):
    """Why the last promotion marker was refused; `problems` holds one sentence each."""

    schema_version: int
    rejected_at: str
    marker_generation: int
    reason: str
    problems: tuple[str, ...]


class Attempt(Document, frozen=True, kw_only=True):
    """How one call of training ended.

    `run_id`: the run that it made (trained), or that answers it (unchanged, in_progress); `problems`: why it made none.
    refused: the call, the spec or the table is wrong. later: it may succeed when it is called again. failed: our fault.
    """

    schema_version: int
    ended_at: datetime
    status: AttemptStatus
    run_id: str | None = None
    problems: tuple[str, ...] = ()


class GivenUp(Document, frozen=True, kw_only=True):
    """The note that the process which ran a candidate was ended, and why."""

    given_up_at: datetime
    reason: str
