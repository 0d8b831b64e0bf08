"""`make retrain`: runs the training job now, on the local cloud or the real one, and waits for its verdict.

Exit code: 0 where the run was trained and serves in staging, or nothing changed; 3 where training or the gate refused;
1 where it failed, or no verdict came in time. Without BUCKET, or with --wait 0, the job is only started.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from functions.train.lease import Force
from infra.operate.served import store_of
from infra.operate.training import Verdict, Waiting
from infra.operate.training_job import FUNCTION_SECONDS, TrainingJob, called_by, signed_session
from infra.options import OneLineParser, number
from shared import layout, terminal
from shared.clock import utc_now
from shared.codec import encode
from shared.errors import PipelineError
from shared.store import Store

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

CALL_SECONDS = 30.0
MOST_SECONDS = 350_000.0
"""A little longer than three tries of a job that may take 30 hours each."""
EXIT_CODES = {"promoted": 0, "unchanged": 0, "refused": 3, "failed": 1}
_JOB = re.compile(r"projects/[^/]+/locations/[^/]+/jobs/[A-Za-z0-9_-]+")


class CannotRun(PipelineError):
    """The job was not started; the message is one line that says why and what to do."""


def client(host: str | None) -> "CloudSchedulerClient":
    """A client of the scheduler at `host` (HOST:PORT, unencrypted: the local one), or of the real service for None.

    Raises google.auth's DefaultCredentialsError where the real service is asked for and nobody is signed in.
    """
    import grpc
    from google.cloud import scheduler_v1
    from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport

    if host is None:
        return scheduler_v1.CloudSchedulerClient()
    channel = grpc.insecure_channel(host, options=[("grpc.enable_http_proxy", 0)])
    return scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))


def run(job: str, host: str | None) -> None:
    """Start the job now. Raises CannotRun."""
    with _asking(job, host) as scheduler:
        scheduler.run_job(name=job, timeout=CALL_SECONDS)


def training_job(job: str, host: str | None) -> TrainingJob | None:
    """The Cloud Run job that the scheduler's job starts; None for the function. Raises CannotRun."""
    with _asking(job, host) as scheduler:
        name = called_by(scheduler, job)
    if name is None:
        return None
    try:
        return TrainingJob(name, signed_session())
    except OSError as error:  # of the network, and of an answer that is none: who may start it need not see it
        _say(f"Cloud Run's API does not say how the training job fares: {_one_line(error)}")
        return None


@contextmanager
def _asking(job: str, host: str | None) -> "Iterator[CloudSchedulerClient]":
    """A client of the scheduler whose failures are sentences. Raises CannotRun."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    where = host or "cloudscheduler.googleapis.com"
    try:
        with client(host) as scheduler:
            yield scheduler
    except GoogleAuthError as error:
        raise CannotRun(
            "no Google credentials: run 'gcloud auth application-default login', or for the local cloud"
            " 'source .local/env'"
        ) from error
    except exceptions.NotFound as error:
        raise CannotRun(f"{where} has no job {job}") from error
    except (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded) as error:
        hint = "is 'make run' running?" if host else "check the network"
        raise CannotRun(f"the scheduler at {where} does not answer: {hint}") from error
    except (exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
        raise CannotRun(f"not allowed to run {job}: cloudscheduler.jobs.run is needed ({_one_line(error)})") from error
    except exceptions.GoogleAPICallError as error:
        raise CannotRun(f"{where} refused to run {job}: {_one_line(error)}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    bucket = layout.bucket_name(os.environ.get("BUCKET", ""))
    try:
        store = store_of(bucket) if bucket else None
        if options.force and store is not None:
            force(store)
        waiting = _waiting(store, options) if store is not None and options.wait != 0 else None
        run(options.job, options.host)
        _say(f"started {options.job}")
        return _print(waiting.verdict()) if waiting else 0
    except PipelineError as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("retrain: the training goes on; 'make status' tells how it ended", file=sys.stderr)
        return 130


def _waiting(store: Store, options: argparse.Namespace) -> Waiting:
    """The wait that was asked for, or one for as long as training may take where it runs."""
    job = training_job(options.job, options.host)
    if job is None:
        return Waiting(store, options.wait or FUNCTION_SECONDS, _say)
    return Waiting(store, options.wait or job.seconds, _say, ended_badly=job.ended_badly)


def force(store: Store) -> None:
    """Let the next call of training train, whatever was trained on before."""
    asked = encode(Force(asked_at=utc_now()))
    store.write(layout.FORCE, asked, if_generation=None, content_type="application/json")


def _print(verdict: Verdict) -> int:
    _say(f"{verdict.outcome}: {verdict.headline}" if verdict.outcome not in verdict.headline else verdict.headline)
    for reason in verdict.reasons:
        _say(f"    {reason}")
    return EXIT_CODES[verdict.outcome]


def _say(line: str) -> None:
    print(line, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="retrain", description=__doc__)
    parser.add_argument(
        "--job", default=os.environ.get("JOB") or None, help="projects/P/locations/L/jobs/J (environment: JOB)"
    )
    parser.add_argument(
        "--host",
        default=os.environ.get("SCHEDULER_HOST") or None,
        help="HOST:PORT of a local scheduler (environment: SCHEDULER_HOST); without it the real service",
    )
    parser.add_argument("--force", action="store_true", help="train although nothing changed; needs BUCKET")
    parser.add_argument(
        "--wait",
        type=number(0, MOST_SECONDS),
        metavar="SECONDS",
        help="for the verdict (as long as training may take: 3700 for the function); 0: not",
    )
    options = parser.parse_args(arguments)
    if options.force and not os.environ.get("BUCKET"):
        parser.error("--force needs BUCKET: 'source .local/env' for the local cloud, or give BUCKET=your-bucket")
    if options.job is None:
        parser.error("no job: give --job, or set JOB (for the local cloud: source .local/env)")
    if not _JOB.fullmatch(options.job):
        parser.error(f"a job is projects/P/locations/L/jobs/J, found {options.job!r}")
    if options.host is not None and not re.fullmatch(r"[^\s:/]+:\d{1,5}", options.host):
        parser.error(f"a host is HOST:PORT, found {options.host!r}")
    return options


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
