"""`make retrain`: runs the training job now, on the local cloud or the real one, with Cloud Scheduler's client."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.options import OneLineParser
from shared.errors import PipelineError

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

CALL_SECONDS = 30.0
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
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    where = host or "cloudscheduler.googleapis.com"
    try:
        with client(host) as scheduler:
            scheduler.run_job(name=job, timeout=CALL_SECONDS)
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
    try:
        run(options.job, options.host)
    except CannotRun as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    print(f"started {options.job}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="python -m infra.operate.retrain", description=__doc__)
    parser.add_argument(
        "--job", default=os.environ.get("JOB") or None, help="projects/P/locations/L/jobs/J (environment: JOB)"
    )
    parser.add_argument(
        "--host",
        default=os.environ.get("SCHEDULER_HOST") or None,
        help="HOST:PORT of a local scheduler (environment: SCHEDULER_HOST); without it the real service",
    )
    options = parser.parse_args(arguments)
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
    sys.exit(main())
