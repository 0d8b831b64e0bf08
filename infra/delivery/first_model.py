"""The wait for the first model: until staging has one, or training or the gate has said why there is none.

Scheduler's job gets no answer to hand on: how a call of training ended, and what the gate decided, is read where both
leave it, in the bucket.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from infra.delivery.commands import ask, ask_json, find
from infra.delivery.errors import Stopped
from shared import layout

POINTER = layout.pointer("staging")
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


def wait(bucket: str, before: set[str], minutes: float, poll_seconds: float) -> None:
    """Return once staging has a model. Raises Stopped: with the reason, or where there is neither in time."""
    deadline = time.monotonic() + minutes * 60
    while not has(bucket, POINTER):
        for reason in _reasons(bucket, sorted(calls(bucket) - before)):
            raise Stopped(reason)
        if time.monotonic() >= deadline:
            raise Stopped(
                f"no {POINTER} within {minutes:g} minutes, and no word of a call of training that ended; why: gcloud"
                " logging read 'severity>=WARNING' --freshness=1h --limit=20"
            )
        time.sleep(poll_seconds)


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
