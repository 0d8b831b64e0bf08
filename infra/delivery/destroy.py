"""`make destroy`: takes a deployment down once its project is typed; the data and the state stay unless asked."""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import bundles, options, variables
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.preflight import require_tools
from infra.delivery.terraform import ROOTS, Deployment
from shared import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("destroy", "Take a deployment down.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--data", action="store_true", help="delete the data and every model too")
    given = parser.parse_args(arguments)
    return exit_code("destroy", lambda: _destroy(given))


def _destroy(given: argparse.Namespace) -> int:
    target = Deployment(given.project, given.region, given.name)
    require_tools(given.project)
    if not target.has_state():
        raise Stopped(f"there is no gs://{target.state_bucket}: nothing of {given.name} is deployed in {given.project}")
    data = f"gs://{given.project}-{given.name} (data, models, history)"
    print(f"goes:  functions, services, schedule, alerts, images{f', and {data} FOR GOOD' if given.data else ''}")
    print(f"stays: gs://{target.state_bucket} (the state){'' if given.data else f', {data}'}", flush=True)
    if not given.yes and _typed(given.project) != given.project:
        raise Stopped("not confirmed; nothing was changed")
    for fn in bundles.FROM_SOURCE:
        bundles.build(fn)
    for root in ROOTS:
        variables.settle(target.state_bucket, root, variables.typed)
        target.init(root)
    target.destroy(given.data)
    print(f"gone. What is left of it: gcloud storage rm --recursive gs://{target.state_bucket}")
    if not given.data:
        print(f"the data stays in {data}; a new make deploy {target.again} takes it over")
    return 0


def _typed(project: str) -> str:
    try:
        return input(f"type the project's name ({project}) to go on: ").strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
