"""Machines for a search on Dask, made when it needs them: a scheduler and workers, from the templates of Terraform's.

At rest there are none. Each deletes itself when the time is over that its template gives it, so that nothing has to be
taken down, whatever becomes of the run that asked for them.
"""

from dataclasses import dataclass
from typing import Any

from shared import logs
from shared.errors import NotPermitted, TransientError

COMPUTE = "https://compute.googleapis.com"
CALL_SECONDS = 60.0
THERE = 409
"""Who is asked for already, by an earlier try of this run."""


@dataclass(frozen=True)
class Machines:
    """So many `workers` in `zone` of `project`; `name`: what the templates' and the machines' names begin with."""

    project: str
    zone: str
    name: str
    workers: int


def start(machines: Machines, url: str = COMPUTE) -> None:
    """Ask for the machines that are not there, by Compute Engine's REST API; they come when they come.

    Fewer workers than were asked for do. Raises TransientError for a scheduler or for every worker that is refused (a
    quota, an outage), NotPermitted where that is for a permission.
    Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
    """
    session = _session()
    refused = [_refusal(session, machines, "scheduler", f"{machines.name}-scheduler", url)]
    refused += [
        _refusal(session, machines, "worker", f"{machines.name}-worker-{number:03}", url)
        for number in range(machines.workers)
    ]
    for error in filter(None, (refused[0], None if None in refused[1:] else refused[1])):
        raise error
    if lost := [error for error in refused if error]:
        logs.warning(f"{len(lost)} of {machines.workers} workers are not to be had: {lost[0]}", reason="fewer_workers")


def _session() -> Any:
    """One for all machines: each session would ask for a token of its own. Raises TransientError."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/compute"])
    except GoogleAuthError as error:
        raise TransientError(f"no machine: {type(error).__name__}: {error}") from error
    return AuthorizedSession(credentials)


def _refusal(session: Any, machines: Machines, kind: str, name: str, url: str) -> TransientError | None:
    """Why the machine is not to be had; None where it was asked for."""
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException

    place = f"{url}/compute/v1/projects/{machines.project}/zones/{machines.zone}/instances"
    template = f"projects/{machines.project}/global/instanceTemplates/{machines.name}-{kind}"
    try:
        answer = session.post(
            place, params={"sourceInstanceTemplate": template}, json={"name": name}, timeout=CALL_SECONDS
        )
    except (GoogleAuthError, RequestException) as error:
        return TransientError(f"no machine {name}: {type(error).__name__}: {error}")
    if answer.ok or answer.status_code == THERE:
        return None
    reason, message = _said(answer)
    found = NotPermitted if reason in ("forbidden", "required") else TransientError
    return found(f"no machine {name}: {answer.status_code} {message}")


def _said(answer: Any) -> tuple[str, str]:
    """Google's reason and message; a quota is a 403 too, with another reason than a permission."""
    try:
        error = answer.json()["error"]
        return str(error["errors"][0].get("reason")), str(error["message"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", str(answer.reason)
