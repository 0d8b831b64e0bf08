"""What has to be there before anything is changed: tools, versions, login; what is missing is said all at once."""

from collections.abc import Callable

from infra.delivery.commands import ask
from infra.delivery.errors import Stopped
from infra.delivery.required import (
    ACCOUNT,
    APPLICATION_TOKEN,
    BUILD_REGIONS,
    GCLOUD,
    TERRAFORM,
    Tool,
    build_quota,
    may_build,
    project_state,
)

CHECK_SECONDS = 30.0


def require_tools(project: str) -> str:
    """The account that is signed in. Raises Stopped with one line for each thing that is missing."""
    tools: tuple[Callable[[], None], ...] = (
        lambda: _newer(GCLOUD, "gcloud components update"),
        lambda: _newer(TERRAFORM, TERRAFORM.source),
    )
    missing = [line for check in tools if (line := _complaint(check))]
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
        may = may_build(ask(*build_quota(project), seconds=CHECK_SECONDS), region)
    except Stopped:
        may = None
    others = ", ".join(BUILD_REGIONS)
    if may is False:
        raise Stopped(
            f"nothing was changed: this project may not run builds in {region} (a quota of 0), so no function could be"
            f" built there. Every project may in {others}"
        )
    if may is None:
        print(
            f"  a new project may be kept from building in {region}, and whether this one is cannot be read; if the"
            f" functions are refused with 'cannot run builds in this region', take one of {others}",
            flush=True,
        )


def _complaint(check: Callable[[], None]) -> str:
    try:
        check()
    except Stopped as stopped:
        return str(stopped)
    return ""


def _newer(tool: Tool, mend: str) -> None:
    found = tool.version(ask(*tool.command, seconds=CHECK_SECONDS))
    if not tool.is_enough(found):
        raise Stopped(f"{tool.name} {tool.least[0]}.{tool.least[1]} or newer, found {found}: {mend}")


def _account() -> str:
    return ask(*ACCOUNT, seconds=CHECK_SECONDS)


def _login() -> None:
    if not _account():
        raise Stopped("nobody is signed in to gcloud: gcloud auth login")


def _application_login() -> None:
    try:
        ask(*APPLICATION_TOKEN, seconds=CHECK_SECONDS)
    except Stopped:
        raise Stopped("Terraform has no credentials: gcloud auth application-default login") from None


def _project(project: str) -> None:
    if _account():
        require_project(project)


def require_project(project: str) -> None:
    """Raises Stopped where the project does not exist, cannot be seen, or is being deleted."""
    try:
        state = ask(*project_state(project), seconds=CHECK_SECONDS)
    except Stopped:
        raise Stopped(
            f"project {project} does not exist, or this account may not see it: gcloud projects list"
        ) from None
    if state != "ACTIVE":
        raise Stopped(f"project {project} is to be ACTIVE, found {state}: gcloud projects undelete {project}")
