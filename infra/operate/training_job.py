"""Where the weekly job leads: to the training function, or to a Cloud Run job, which may take a day and more.

Of a Cloud Run job its API says how long a run may take and how the newest one fares: a run that the platform ended
leaves no word in the bucket.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

API = "https://run.googleapis.com"
FUNCTION_SECONDS = 3700.0
"""A little longer than a call of the training function may take, and its verdict."""
JUDGED_SECONDS = 900.0
"""Time for what comes after a run of the job: the event, validation, the gate."""
CALL_SECONDS = 30.0
ENDED_BADLY = {"EXECUTION_FAILED": "failed", "EXECUTION_CANCELLED": "was cancelled"}
_RUNS = re.compile(rf"{re.escape(API)}/v2/(projects/[^/]+/locations/[^/]+/jobs/[^/:]+):run")


class HttpSession(Protocol):
    """What `requests.Session` has, and google-auth's signed one."""

    def get(self, url: str, *, timeout: float) -> Any: ...


class TrainingJob:
    """One call of the Cloud Run job `name` (projects/P/locations/L/jobs/J), from the moment of its making: an execution
    of before does not count."""

    def __init__(self, name: str, session: HttpSession, api: str = API) -> None:
        """Raises OSError where Cloud Run's API cannot be asked."""
        self._session, self._url = session, f"{api}/v2/{name}"
        described = self._described()
        self._before = self._execution(described).get("name")
        template = described["template"]["template"]
        tries = 1 + int(template.get("maxRetries", 0))
        self.seconds = tries * float(template["timeout"].removesuffix("s")) + JUDGED_SECONDS

    def ended_badly(self) -> str:
        """A sentence where the newest execution failed or was cancelled; empty otherwise, also where nobody answers."""
        with suppress(OSError):
            execution = self._execution(self._described())
            status = ENDED_BADLY.get(str(execution.get("completionStatus")))
            if status and execution["name"] != self._before:
                return f"execution {execution['name'].rpartition('/')[2]} of the training job {status}; see its log"
        return ""

    def _described(self) -> Mapping[str, Any]:
        from google.auth.exceptions import GoogleAuthError

        try:
            answer = self._session.get(self._url, timeout=CALL_SECONDS)
        except GoogleAuthError as error:
            raise ConnectionError(str(error)) from error
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found

    @staticmethod
    def _execution(described: Mapping[str, Any]) -> Mapping[str, Any]:
        return described.get("latestCreatedExecution") or {}


def called_by(scheduler: "CloudSchedulerClient", job: str) -> str | None:
    """The name of the Cloud Run job that the scheduler's job starts; None where it calls a function, and where who asks
    may not see the job. Raises google.api_core's GoogleAPICallError."""
    from google.api_core import exceptions

    with suppress(exceptions.PermissionDenied):
        target = scheduler.get_job(name=job, timeout=CALL_SECONDS).http_target.uri
        if found := _RUNS.fullmatch(target):
            return found[1]
    return None


def signed_session() -> HttpSession:
    """A session of whoever is signed in. Raises google.auth's DefaultCredentialsError."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session: HttpSession = AuthorizedSession(credentials)
    return session
