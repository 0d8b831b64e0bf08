"""`make plan`: what `make deploy` would change in the infrastructure; it changes nothing."""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import bundles, options, production, variables
from infra.delivery.errors import exit_code
from infra.delivery.preflight import require_tools
from infra.delivery.terraform import ROOTS
from shared import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("plan", "Show what a deploy would change.")
    options.add_production(parser)
    given = parser.parse_args(arguments)
    return exit_code("plan", lambda: _plan(given))


def _plan(given: argparse.Namespace) -> int:
    require_tools(given.project)
    for fn in bundles.FROM_SOURCE:
        bundles.build(fn)
    target = production.located(given.project, given.region, given.name, given.production_project)
    if target.has_state():
        for root in ROOTS:
            variables.settle(target.state_bucket, root, variables.typed)
            target.init(root)
            target.plan(root)
    else:
        print(f"there is no gs://{target.state_bucket} yet, so this is a first deploy", flush=True)
        for root in ROOTS:
            target.first_plan(root)
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
