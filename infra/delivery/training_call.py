"""What Google's record says of a call of training: the Cloud Run job's execution, or Cloud Scheduler's last attempt.

Training leaves its own word in the bucket. This is for a call that ends without one (out of memory, out of time), and
for how long one may take at all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.delivery.commands import ask, ask_json
from shared import layout

AGAIN_SECONDS = 700.0
"""By then Cloud Scheduler has called again, if it does: its longest pause is 600 s (schedule.tf)."""
JUDGED_SECONDS = 900.0
"""Time for what comes after training: the event, validation, the gate."""
PATIENCE = {"EXECUTION_FAILED": 0.0, "EXECUTION_CANCELLED": 0.0, "EXECUTION_SUCCEEDED": JUDGED_SECONDS}


@dataclass(frozen=True)
class CallProgress:
    """`call` tells an execution or an attempt from the one before it, empty for none. `patience`: the seconds from now
    in which something may still become of it; None while it runs."""

    call: str = ""
    says: str = ""
    patience: float | None = None


@dataclass(frozen=True)
class TrainingCall:
    """How training is called. `job`: the Cloud Run job's name, None for the function; `seconds`: the most that a call
    may take, with what the platform tries again by itself."""

    scheduler: str
    project: str
    region: str
    job: str | None
    seconds: float

    @classmethod
    def of(cls, outputs: Mapping[str, Any], project: str, region: str) -> "TrainingCall":
        """The call that Terraform's outputs describe."""
        runs = outputs["training"]
        return cls(outputs["job"], project, region, runs["job"], float(runs["seconds"]))

    @property
    def minutes(self) -> float:
        """How long to wait for what becomes of a call, from its beginning."""
        return (self.seconds + JUDGED_SECONDS) / 60

    def progress(self) -> CallProgress:
        """Raises Stopped."""
        return self._attempt() if self.job is None else self._execution(self.job)

    def _execution(self, job: str) -> CallProgress:
        place = (f"--project={self.project}", f"--region={self.region}")
        field = "--format=json(status.latestCreatedExecution)"
        described = ask_json("gcloud", "run", "jobs", "describe", job, *place, field) or {}
        execution = described.get("status", {}).get("latestCreatedExecution") or {}
        if not execution:
            return CallProgress()
        name, status = execution["name"], execution.get("completionStatus", "EXECUTION_PENDING")
        said = status.removeprefix("EXECUTION_").lower()
        return CallProgress(name, f"execution {name} of the training job: {said}", PATIENCE.get(status))

    def _attempt(self) -> CallProgress:
        field = "--format=json(lastAttemptTime,status)"
        described = ask_json("gcloud", "scheduler", "jobs", "describe", self.scheduler, field) or {}
        began, status = described.get("lastAttemptTime", ""), described.get("status") or {}
        if not began:
            return CallProgress()
        if code := status.get("code"):
            says = f"Cloud Scheduler's call of {began} got no good answer (status {code})"
            return CallProgress(began, says, AGAIN_SECONDS)
        return CallProgress(began, f"Cloud Scheduler's call of {began} is under way, or was answered")


def is_alive(bucket: str) -> bool:
    """Whether a run holds a lease that has not expired. Raises Stopped."""
    listing = ("gcloud", "storage", "objects", "list", f"gs://{bucket}/{layout.LEASES}*", "--format=value(name)")
    for key in ask(*listing).split():
        if key == layout.FORCE:
            continue
        lease = json.loads(ask("gcloud", "storage", "cat", f"gs://{bucket}/{key}"))
        if datetime.fromisoformat(lease["expires_at"]) > datetime.now(UTC):
            return True
    return False
