"""history, promote and rollback as a person runs them, against the local storage and a real validation."""

import http.server
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.clients import boto_file, gcloud_environment
from shared import layout
from tests.candidates import build, publish, run_id
from tests.http_receiver import Scripted, listening
from tests.journey.deployment import BUCKET, Deployment, deployed
from tests.local_storage import ROOT
from tests.tools import DEAD_PROXIES, require

SECONDS = 240


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("commands"), relay=("--min-backoff", "0.1", "--max-backoff", "1")) as it:
        yield it


PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale of ASCII alone, which Python is kept from mending."""


def run(deployment: Deployment, command: str, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command with the environment that `source .local/env` gives; a change to "" unsets."""
    host, _, port = deployment.storage.https_url.removeprefix("https://").partition(":")
    boto = deployment.storage.state / "boto"
    boto.write_text(boto_file(host, int(port), deployment.storage.state / "gsutil"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(deployment.storage.state),
        "PYTHONPATH": str(ROOT),
        "BUCKET": BUCKET,
        "STORAGE_EMULATOR_HOST": deployment.storage.http_url,
        "GOOGLE_CLOUD_PROJECT": "local",
        "BOTO_CONFIG": str(boto),
        **gcloud_environment(deployment.storage.http_url, deployment.storage.state / "gcloud"),
        **changes,
    }
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [sys.executable, "-m", f"infra.operate.{command}", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def stage(deployment: Deployment, minute: int) -> None:
    publish(deployment.store, build(run_id(minute)))
    deployment.drain()
    assert deployment.serving("staging") == run_id(minute)


def refused(done: subprocess.CompletedProcess[str], code: int, *sentences: str) -> None:
    """Require that the command failed with one line, which contains these sentences."""
    assert done.returncode == code, done
    assert all(sentence in done.stderr for sentence in sentences), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_before_anything_served_every_command_says_so(deployment: Deployment) -> None:
    refused(run(deployment, "history"), 1, "production has not served anything yet")
    refused(run(deployment, "history", "--at", "2026-11-01"), 1, "production served nothing at 2026-11-01T00:00:00Z")
    refused(run(deployment, "promote"), 1, "staging serves nothing yet: train a model first")
    refused(run(deployment, "rollback"), 1, "there is nothing to roll back to")


def test_a_proxy_in_the_environment_is_not_asked_for_what_is_on_this_computer(deployment: Deployment) -> None:
    """Also where a command is run by itself: neither make nor `.local/env` has excepted the loopback."""
    done = run(deployment, "history", **DEAD_PROXIES, NO_PROXY="", no_proxy="")
    refused(done, 1, "production has not served anything yet")


def test_promote_rollback_and_forward_again(deployment: Deployment) -> None:
    stage(deployment, 1)
    first = run(deployment, "promote")
    assert first.returncode == 0, first.stderr
    copy = f"gsutil cp gs://{BUCKET}/staging/current.json gs://{BUCKET}/promote/production.json"
    assert copy in first.stdout.splitlines()
    assert first.stdout.splitlines()[-1].startswith(f"production's pointer names {run_id(1)};")
    refused(run(deployment, "rollback"), 1, f"production has served nothing but {run_id(1)}")
    stage(deployment, 2)
    again = run(deployment, "promote", BOTO_CONFIG="")
    assert again.stdout.splitlines()[-1].startswith(f"production's pointer names {run_id(2)};"), again
    back = run(deployment, "rollback")
    assert (back.returncode, deployment.serving("production")) == (0, run_id(1)), back
    assert f"-{run_id(1)}.json gs://{BUCKET}/promote/production.json" in back.stdout
    advice = run(deployment, "status").stdout.splitlines()[-1]
    assert f"production went back from {run_id(2)}, which staging serves" in advice
    refused(run(deployment, "rollback"), 1, f"nothing served before {run_id(1)} but what was rolled back from")
    forward = run(deployment, "rollback", "--to", run_id(2))
    assert (forward.returncode, deployment.serving("production")) == (0, run_id(2)), forward
    refused(run(deployment, "rollback", "--to", run_id(2)), 1, f"{run_id(2)} is what production serves already")


def test_history_tells_what_served_when_and_why(deployment: Deployment) -> None:
    done = run(deployment, "history", "--stage", "production")
    assert done.returncode == 0, done.stderr
    heads = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in heads] == [run_id(1), run_id(2), run_id(1), run_id(2)]
    assert heads[0].endswith("replaced nothing")
    assert heads[-1].endswith(f"replaced {run_id(1)}  serves now")
    assert "R² on the held-out rows is" in done.stdout
    moment = run(deployment, "history", "--at", "2999-01-01T00:00:00+02:00")
    assert moment.stdout.splitlines()[0] == "production at 2998-12-31T22:00:00Z"
    assert "better_than_mean passed" in moment.stdout
    refused(run(deployment, "history", "--at", "1999-01-01"), 1, "its first run served from")
    assert len(run(deployment, "history", "--stage", "staging").stdout.splitlines()) == 6


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("history", ("--stage", "prod"), "invalid choice: 'prod'"),
        ("history", ("--at", "yesterday"), "expected a moment such as 2026-11-01T00:00:00Z, found 'yesterday'"),
        ("rollback", ("--to", "latest"), "expected a run id such as 20260105T070000Z-0123abcd, found 'latest'"),
        ("promote", ("--now",), "unrecognized arguments: --now"),
    ],
)
def test_a_typo_is_one_line(deployment: Deployment, command: str, options: tuple[str, ...], sentence: str) -> None:
    refused(run(deployment, command, *options), 2, sentence)


@pytest.mark.parametrize("command", ["history", "promote", "rollback", "status"])
def test_help_and_a_missing_bucket(deployment: Deployment, command: str) -> None:
    done = run(deployment, command, "--help", BUCKET="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout
    refused(run(deployment, command, BUCKET=""), 2, "BUCKET is not set: 'source .local/env' for the local cloud")
    refused(run(deployment, command, BUCKET="no-such"), 1, "no-such")


def test_the_status_says_what_serves_and_what_is_next(deployment: Deployment) -> None:
    done = run(deployment, "status")
    assert done.returncode == 0, done.stderr
    staging, scores, production, same, training, after = done.stdout.splitlines()
    assert re.fullmatch(r" {14}\S+, R² 0\.\d{4} on held-out rows", scores) and same == scores
    assert staging.startswith(f"staging       {run_id(2)} since 20")
    assert production.startswith(f"production    {run_id(2)} since 20")
    assert training == f"last training {run_id(2)} passed"
    assert after == "next          nothing: production serves what staging does"
    status = json.loads(run(deployment, "status", "--json").stdout)
    assert (status["production"]["run_id"], status["last_training"]["verdict"]) == (run_id(2), "passed")


def test_promote_waits_until_the_service_answers_with_the_run(deployment: Deployment) -> None:
    """A pointer that was swapped is no promise: an idle instance may answer with the model of before."""
    answers = iter([run_id(1), run_id(1), run_id(2)])

    class Meta(Scripted):
        def do_GET(self) -> None:
            self.answer(200, json.dumps({"run_id": next(answers, run_id(2))}).encode())

    with listening(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Meta)) as url:
        done = run(deployment, "promote", PRODUCTION_URL=url)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"production serves {run_id(2)}"), done
    assert next(answers, None) is None
    silent = run(deployment, "promote", "--wait", "1", PRODUCTION_URL="http://127.0.0.1:9")
    assert (silent.returncode, f"production's pointer names {run_id(2)}, but" in silent.stderr) == (1, True), silent


def test_a_run_that_never_served_is_named_with_the_nearest(deployment: Deployment) -> None:
    refused(run(deployment, "rollback", "--to", run_id(2, "0123abce")), 1, f"did you mean {run_id(2)}?")
    refused(run(deployment, "rollback", "--to", "20301231T235959Z-ffffffff"), 1, f"newest first: {run_id(2)}")


def test_a_refusal_prints_the_reasons_and_fails(deployment: Deployment) -> None:
    for stage_name in layout.STAGES:
        key = layout.staged(stage_name, run_id(1), layout.MODEL)
        deployment.store.write(key, b"tampered", if_generation=None, content_type="application/octet-stream")
    refused(
        run(deployment, "rollback", "--to", run_id(1)),
        1,
        "refused, run_not_verified: ",
        f"production/{run_id(1)}/: model.onnx has 8 bytes",
        f"staging/{run_id(1)}/: model.onnx has 8 bytes",
    )
    assert deployment.serving("production") == run_id(2)


def test_without_a_verdict_it_says_what_to_look_at(deployment: Deployment) -> None:
    deployment.instances[0].kill()
    refused(
        run(deployment, "promote", "--wait", "1", BOTO_CONFIG=""), 1, "no verdict within 1 s: is validation running?"
    )
    deployment.instances[0].start()
    deployment.drain()


def test_storage_that_is_down_is_one_line(deployment: Deployment) -> None:
    refused(run(deployment, "history", STORAGE_EMULATOR_HOST="http://127.0.0.1:1"), 1, "is 'make run' running?")


def test_gsutil_is_what_runs_where_it_is_installed(deployment: Deployment, tmp_path: Path) -> None:
    """A gsutil that says no: its words reach the person."""
    require("gsutil", source="it comes with the Google Cloud SDK")
    fake = tmp_path / "gsutil"
    fake.write_text("#!/bin/sh\necho 'AccessDeniedException: 403' >&2\nexit 1\n")
    fake.chmod(0o755)
    done = run(deployment, "promote", PATH=f"{tmp_path}:{os.environ['PATH']}")
    refused(done, 1, "gsutil ended with 1: AccessDeniedException: 403")


def test_a_challenge_is_asked_for_refused_begun_and_stopped_by_gsutil(deployment: Deployment) -> None:
    refused(run(deployment, "challenge"), 1, "refused, same_run", f"{run_id(2)} is what production serves already")
    stage(deployment, 3)
    done = run(deployment, "challenge", "--mode", "canary", "--percent", "10", BY="Ada", WHY="newer data, für Ben")
    assert done.returncode == 0, done
    command, *_, told, until = done.stdout.splitlines()
    assert command.startswith("gsutil -h x-goog-meta-mode:canary -h x-goog-meta-percent:10 -h ")
    assert command.endswith(f"gs://{BUCKET}/staging/current.json gs://{BUCKET}/promote/production.challenger.json")
    assert told.startswith(f"{run_id(3)} beside {run_id(2)}, answers 10 % of the requests, since 20")
    assert told.endswith(", asked by Ada: newer data, für Ben")
    assert until.endswith("; where it is not worse, it is reported")
    refused(run(deployment, "challenge", "--mode", "canary"), 1, "terms_malformed", "a canary needs percent")
    assert f"challenger    {run_id(3)} beside" in run(deployment, "status").stdout
    stopped = run(deployment, "challenge", "--stop", BOTO_CONFIG="", WHY="genügt", **PLAIN_C)
    assert (stopped.returncode, "stopped at " in stopped.stdout) == (0, True), stopped
    assert "stopped: genügt" in run(deployment, "history").stdout


def test_who_promoted_and_why_stands_in_the_history(deployment: Deployment) -> None:
    done = run(deployment, "promote", BY="Zoë", WHY="größer", **PLAIN_C)
    assert (done.returncode, deployment.serving("production")) == (0, run_id(3)), done
    assert "    asked by Zoë: größer" in run(deployment, "history").stdout.splitlines()
