"""Whether a build's commit is still the newest of main: an older, slower build must not overwrite a newer one's work.

The builds of one trigger tell: the commit that was built first most recently is main's head. A build that was started
again by hand is no newer than its commit's first build.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.delivery import options
from infra.delivery.commands import ask_json
from infra.delivery.errors import Stopped, exit_code
from shared import terminal

LOOKED_AT = 50
"""Builds; a main that is pushed to oftener than that within one build's time has other troubles."""


def add_trigger(parser: argparse.ArgumentParser) -> None:
    """--trigger, whose builds are compared; without it (a person's own call) nothing is."""
    parser.add_argument("--trigger", default="", help="name of the trigger that started this build")


def require(given: argparse.Namespace) -> None:
    """Raises Stopped where another commit came after `given.commit`."""
    if not given.trigger:
        return
    builds = ask_json(
        *("gcloud", "builds", "list", f"--project={given.project}", f"--region={given.region}"),
        *(f"--filter=substitutions.TRIGGER_NAME={given.trigger}", "--sort-by=~createTime", f"--limit={LOOKED_AT}"),
        "--format=json",
    )
    head = newest_commit(builds)
    if head is not None and head != given.commit:
        raise Stopped(
            f"commit {given.commit} is not main's newest any more: {head} came after it, and its own build delivers."
            " Nothing was changed"
        )


def deliver(
    command: str,
    description: str,
    made: Callable[[str, str, str, str], None],
    arguments: Sequence[str] | None,
) -> int:
    """A command that delivers an image of this checkout, unless a newer commit came: its exit status.

    `made` is called with the project, the region, the resources' name and the repository.
    """
    parser = options.parser(command, description)
    options.add_image(parser)
    add_trigger(parser)
    given = parser.parse_args(arguments)

    def act() -> int:
        require(given)
        made(given.project, given.region, given.name, given.repository)
        return 0

    return exit_code(command, act)


def newest_commit(builds: Sequence[Mapping[str, Any]]) -> str | None:
    """The commit whose first build of these began last; None where none names a commit."""
    first: dict[str, str] = {}
    for build in builds:
        commit, began = build.get("substitutions", {}).get("COMMIT_SHA"), str(build.get("createTime", ""))
        if commit:
            first[commit] = min(first.get(commit, began), began)
    return max(first, key=lambda commit: first[commit]) if first else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("newest", "Stop a build whose commit is not main's newest any more.")
    parser.add_argument("--commit", required=True, type=options.COMMIT, help="the full id of the commit")
    add_trigger(parser)
    given = parser.parse_args(arguments)
    return exit_code("newest", lambda: _check(given))


def _check(given: argparse.Namespace) -> int:
    require(given)
    print(f"{given.commit} is main's newest commit")
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
