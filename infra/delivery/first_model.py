"""The wait for the first model: until staging has one, or training, the gate or Google has said why there is none.

How a call of training ended, and what the gate decided, is read where both leave it, in the bucket; of a call that left
no word, Google's own record is read.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.delivery.commands import ask, ask_json, find
from infra.delivery.errors import Stopped
from infra.delivery.training_call import CallProgress, TrainingCall, is_alive
from shared import layout

POINTER = layout.pointer("staging")
LOG = "gcloud logging read 'severity>=WARNING' --freshness=1h --limit=20"
ENDED = {"refused", "failed"}
"""How a call of training ends that another one would end likewise. One that may succeed later is called again."""


def has(bucket: str, key: str) -> bool:
    """Whether an object is there. Raises Stopped where that cannot be told."""
    address = f"gs://{bucket}/{key}"
    return find("gcloud", "storage", "objects", "describe", address, "--format=value(generation)") is not None


def calls(bucket: str) -> set[str]:
    """The keys of how each call of training ended so far. Raises Stopped."""
    listing = ("gcloud", "storage", "objects", "list", f"gs://{bucket}/{layout.ATTEMPTS}*", "--format=value(name)")
    return set(ask(*listing).split())


@dataclass
class Wait:
    """For what becomes of the call of training that begins now; `before`: what there was, the record of it included."""

    bucket: str
    call: TrainingCall
    poll_seconds: float
    before: set[str] = field(default_factory=set)
    latest: CallProgress = field(default_factory=CallProgress)
    since: float = 0.0
    """When `latest` was first seen."""

    @classmethod
    def beginning(cls, bucket: str, call: TrainingCall, poll_seconds: float) -> "Wait":
        """A wait, to be made before the call. Raises Stopped."""
        return cls(bucket, call, poll_seconds, calls(bucket), call.progress())

    def model(self, minutes: float) -> None:
        """Return once staging has a model. Raises Stopped: with the reason, or where nothing of a call is left to wait
        for, or `minutes` after the last call began."""
        at_first, deadline = self.latest.call, time.monotonic() + minutes * 60
        while not has(self.bucket, POINTER):
            for reason in _reasons(self.bucket, sorted(calls(self.bucket) - self.before)):
                raise Stopped(reason)
            if self._look() and self.latest.call != at_first:
                deadline = time.monotonic() + minutes * 60
            if self.latest.call != at_first and self._is_over():
                raise Stopped(f"{self.latest.says}, and there is no word of what became of it; why: {LOG}")
            if time.monotonic() >= deadline:
                said = f" ({self.latest.says})" if self.latest.says else ""
                raise Stopped(
                    f"no {POINTER} within {minutes:g} minutes, and no word of a call of training that ended{said};"
                    f" why: {LOG}"
                )
            time.sleep(self.poll_seconds)

    def _look(self) -> bool:
        """Whether another call began."""
        now = self.call.progress()
        if now == self.latest:
            return False
        if now.says:
            print(f"  {now.says}", flush=True)
        began, self.latest, self.since = now.call != self.latest.call, now, time.monotonic()
        return began

    def _is_over(self) -> bool:
        """Whether nothing will become of the last call any more."""
        patience = self.latest.patience
        return patience is not None and time.monotonic() - self.since >= patience and not is_alive(self.bucket)


def _reasons(bucket: str, ended: list[str]) -> Iterator[str]:
    """Why there will be no model, one sentence for each call that says so."""
    for key in ended:
        attempt: Mapping[str, Any] = ask_json("gcloud", "storage", "cat", f"gs://{bucket}/{key}")
        if attempt["status"] in ENDED:
            problems = "; ".join(attempt.get("problems", ()))
            yield f"training ended without a model ({attempt['status']}): {problems}"
        elif run := attempt.get("run_id"):
            yield from _refusal(bucket, run)


def _refusal(bucket: str, run: str) -> Iterator[str]:
    key = layout.candidate(run, layout.DECISION)
    if has(bucket, key):
        decision = json.loads(ask("gcloud", "storage", "cat", f"gs://{bucket}/{key}"))
        if not decision["passed"]:
            failed = ", ".join(check["name"] for check in decision["checks"] if not check["passed"])
            yield f"the gate refused the first model, {run}: {failed}; the whole of it is in {key}"
