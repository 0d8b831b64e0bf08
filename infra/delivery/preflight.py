"""What has to be there before anything is changed: tools, versions, login; what is missing is said all at once."""

import json
import re
from collections.abc import Callable

from infra.delivery.commands import ask
from infra.delivery.doctor import BUILD_REGIONS, build_limits, build_quota
from infra.delivery.errors import Stopped

GCLOUD = (450, 0)
TERRAFORM = (1, 9)
CHECK_SECONDS = 30.0


def require_tools(project: str) -> str:
    """The account that is signed in. Raises Stopped with one line for each thing that is missing."""
    missing = [line for check in (_gcloud, _terraform) if (line := _complaint(check))]
    account = ""
    if not any("gcloud" in line for line in missing):
        checks: tuple[Callable[[], None], ...] = (_login, _application_login, lambda: _project(project))
        missing += [line for check in checks if (line := _complaint(check))]
        account = "" if missing else _account()
    if missing:
        raise Stopped("nothing was changed; missing:\n" + "\n".join(f"  - {line}" for line in missing))
    return account


def require_build_region(project: str, region: str) -> None:
    """Raises Stopped where the project is known to be kept from building in the region; says so where it may be."""
    if region in BUILD_REGIONS:
        return
    try:
        limits = build_limits((0, ask(*build_quota(project), seconds=CHECK_SECONDS), ""), region)
    except Stopped:
        limits = []
    others = ", ".join(BUILD_REGIONS)
    if limits and max(limits, key=lambda limit: limit < 0 or limit) == 0:
        raise Stopped(
            f"nothing was changed: this project may not run builds in {region} (a quota of 0), so no function could be"
            f" built there. Every project may in {others}"
        )
    if not limits:
        print(
            f"  a new project may be kept from building in {region}, and whether this one is cannot be read; if the"
            f" functions are refused with 'cannot run builds in this region', take one of {others}",
            flush=True,
        )


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version; empty for none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()


def _complaint(check: Callable[[], None]) -> str:
    try:
        check()
    except Stopped as stopped:
        return str(stopped)
    return ""


def _gcloud() -> None:
    _newer("gcloud", "Google Cloud SDK", GCLOUD, ("gcloud", "version", "--format=json"), "gcloud components update")


def _terraform() -> None:
    _newer(
        "terraform",
        "terraform_version",
        TERRAFORM,
        ("terraform", "version", "-json"),
        "https://developer.hashicorp.com/terraform/install",
    )


def _newer(tool: str, field: str, least: tuple[int, int], command: tuple[str, ...], mend: str) -> None:
    answer = ask(*command, seconds=CHECK_SECONDS)
    try:
        found = str(json.loads(answer)[field])
    except (ValueError, KeyError, TypeError):
        found = "no version"
    if version_of(found) < least:
        raise Stopped(f"{tool} {least[0]}.{least[1]} or newer, found {found}: {mend}")


def _account() -> str:
    return ask("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)", seconds=CHECK_SECONDS)


def _login() -> None:
    if not _account():
        raise Stopped("nobody is signed in to gcloud: gcloud auth login")


def _application_login() -> None:
    try:
        ask("gcloud", "auth", "application-default", "print-access-token", seconds=CHECK_SECONDS)
    except Stopped:
        raise Stopped("Terraform has no credentials: gcloud auth application-default login") from None


def _project(project: str) -> None:
    if not _account():
        return
    try:
        state = ask("gcloud", "projects", "describe", project, "--format=value(lifecycleState)", seconds=CHECK_SECONDS)
    except Stopped:
        raise Stopped(
            f"project {project} does not exist, or this account may not see it: gcloud projects list"
        ) from None
    if state != "ACTIVE":
        raise Stopped(f"project {project} is to be ACTIVE, found {state}: gcloud projects undelete {project}")
