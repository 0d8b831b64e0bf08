"""`make destroy`: takes a deployment down once its project is typed; the data and the state stay unless asked."""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import bundles, options, production, variables
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.preflight import require_tools
from infra.delivery.terraform import ROOTS, Deployment
from shared import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("destroy", "Take a deployment down.")
    options.add_production(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--data", action="store_true", help="delete the data and every model too")
    given = parser.parse_args(arguments)
    return exit_code("destroy", lambda: _destroy(given))


def _destroy(given: argparse.Namespace) -> int:
    require_tools(given.project)
    target = production.located(given.project, given.region, given.name, given.production_project)
    if not target.has_state():
        raise Stopped(f"there is no gs://{target.state_bucket}: nothing of {given.name} is deployed in {given.project}")
    data = f"gs://{given.project}-{given.name} (data, models, history)"
    gone = f", and {data} FOR GOOD" if given.data else ""
    there = f", production's in {target.production}" if target.is_apart else ""
    print(f"goes:  functions, services, schedule, alerts, images, accounts, triggers, roles{there}{gone}")
    print("stays:\n" + "\n".join(f"  - {line}" for line in left_behind(target, given.data)), flush=True)
    if not given.yes and _typed(given.project) != given.project:
        raise Stopped("not confirmed; nothing was changed")
    for fn in bundles.FROM_SOURCE:
        bundles.build(fn)
    for root in ROOTS:
        variables.settle(target.state_bucket, root, variables.typed)
        target.init(root)
    target.destroy(given.data)
    print("gone; what stays is listed above")
    if not given.data:
        print(f"the data stays in {data}; a new make deploy {target.again} takes it over")
    return 0


def left_behind(target: Deployment, data: bool) -> list[str]:
    """Everything that a destroy leaves, with the command that takes it away where there is one."""
    project, bucket = target.project, f"gs://{target.project}-{target.name}"
    buckets = f"gs://gcf-v2-sources-NUMBER-{target.region} and gs://gcf-v2-uploads-NUMBER-{target.region}"
    return [
        *([] if data else [f"{bucket} with the data, models and history: make destroy DATA=1 takes it too"]),
        f"gs://{target.state_bucket} (both states, settings): gcloud storage rm --recursive gs://{target.state_bucket}",
        "deleted objects, for the 7 days of soft deletion, billed as they were",
        f"Cloud Functions' own buckets {buckets}: gcloud storage rm --recursive, if nothing else deploys there",
        *(
            f"the APIs that were turned on: gcloud services disable API --project={project_id}"
            for project_id in dict.fromkeys((project, target.production))
        ),
        "the agents of Google's services (service-NUMBER@…), and logs, metrics and builds until Google forgets them",
        "the ids of the custom roles, which cannot be used again for 37 days: a new NAME= can",
    ]


def _typed(project: str) -> str:
    try:
        return input(f"type the project's name ({project}) to go on: ").strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
