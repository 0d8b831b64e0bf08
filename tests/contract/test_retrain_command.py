"""`make retrain` as a person runs it: the scheduler's own client, a bucket, and a target that ends as training does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from functions.train.door import attempts
from functions.train.lease import forced_at
from functions.train.pipeline import Summary
from shared import layout
from shared.codec import encode
from shared.decisions import Attempt, Check, Decision
from shared.problems import Problem, Refusal
from shared.store import CloudStore
from tests.candidates import run_id
from tests.contract.test_scheduler import NAME, PARENT, RunningScheduler, scheduler, weekly
from tests.http_receiver import Receiver, Request
from tests.local_storage import running_storage

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "retrained"


@dataclass
class Deployment:
    """A bucket, a scheduler with the weekly job, and what the job's target does when it is called."""

    store: CloudStore
    scheduler: RunningScheduler
    environment: dict[str, str]
    ends: list[Callable[[], int]] = field(default_factory=list)

    def answer(self, _: Request) -> int:
        return self.ends.pop(0)()

    def ended(self, attempt: Attempt, status: int = 200) -> None:
        """Let the next call record `attempt` and answer with `status`."""

        def end() -> int:
            attempts.keep(self.store, attempt)
            return status

        self.ends.append(end)

    def retrain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.operate.retrain", "--wait", "60", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with (
        running_storage() as storage,
        scheduler(tmp_path_factory.mktemp("scheduler")) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        client = storage.client()
        client.create_bucket(BUCKET)
        client.close()
        environment = {
            "BUCKET": BUCKET,
            "JOB": NAME,
            "SCHEDULER_HOST": running.host,
            "STORAGE_EMULATOR_HOST": storage.http_url,
        }
        it = Deployment(CloudStore(BUCKET), running, environment)
        receiver = Receiver(it.answer, "/train")
        running.client.create_job(parent=PARENT, job=weekly(receiver.url))
        yield it
        receiver.close()


def decide(deployment: Deployment, run: str, *failed: Check) -> None:
    decision = Decision(passed=not failed, checks=failed)
    key = layout.candidate(run, layout.DECISION)
    deployment.store.write(key, encode(decision), if_generation=0, content_type="application/json")


def test_nothing_new_ends_well_and_says_so(deployment: Deployment) -> None:
    decide(deployment, run_id(1))
    deployment.ended(attempts.answered(Summary("unchanged", run_id(1))))
    done = deployment.retrain()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"started {NAME}"
    assert f"unchanged: the same data, spec and code gave {run_id(1)}" in done.stdout


def test_what_the_gate_refuses_ends_with_three_and_its_reasons(deployment: Deployment) -> None:
    check = Check(name="score", passed=False, observed=0.0, threshold=0.1, reason="R² is 0.0", status="failed")
    decide(deployment, run_id(2), check)
    deployment.ended(attempts.answered(Summary("trained", run_id(2))))
    done = deployment.retrain()
    assert done.returncode == 3, done
    assert "    score: R² is 0.0" in done.stdout.splitlines()


def test_a_table_that_is_refused_ends_with_three_and_every_problem(deployment: Deployment) -> None:
    refusal = Refusal(422, [Problem("", "invalid_dataset", f"line {n}: no number") for n in (7, 9)])
    deployment.ended(attempts.refused(refusal), 200)  # a scheduler would call again for another status
    done = deployment.retrain()
    assert done.returncode == 3, done
    assert done.stdout.splitlines()[-2:] == ["    line 7: no number", "    line 9: no number"]


def test_force_is_in_the_bucket_before_the_call(deployment: Deployment) -> None:
    seen: list[object] = []

    def end() -> int:
        seen.append(forced_at(deployment.store))
        attempts.keep(deployment.store, attempts.answered(Summary("unchanged", run_id(1))))
        return 200

    deployment.ends.append(end)
    assert deployment.retrain("--force").returncode == 0
    assert seen != [None]


def test_without_waiting_the_job_is_only_started(deployment: Deployment) -> None:
    deployment.ends.append(lambda: 200)
    done = deployment.retrain("--wait", "0")
    assert (done.returncode, done.stdout) == (0, f"started {NAME}\n")
