"""Connects the subscriptions behind the event triggers with the topic for events that were never acknowledged.

Eventarc makes these subscriptions by itself, and Terraform has no argument for its dead letter topic. Doing it again
changes nothing, so every deployment does it: a trigger that was made anew has a new subscription.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import options
from infra.delivery.commands import ask
from infra.delivery.errors import Stopped, exit_code
from shared import terminal

ATTEMPTS = 100
"""The most that Pub/Sub allows: with Eventarc's pauses of up to 10 minutes, most of a day."""
BY_EVENT = ("validate", "batch", "watch")
"""The functions that have a trigger."""


def connect(project: str, region: str, name: str) -> list[str]:
    """The subscriptions, which now give events up to the topic `<name>-undelivered`. Raises Stopped."""
    return [_connected(project, region, name, f"{name}-{key}") for key in BY_EVENT]


def _connected(project: str, region: str, name: str, function: str) -> str:
    where = (f"--project={project}", "--quiet")
    trigger = ask(
        *("gcloud", "functions", "describe", function, "--v2", f"--region={region}", *where),
        "--format=value(eventTrigger.trigger)",
    )
    if not trigger:
        raise Stopped(f"the function {function} has no event trigger: deploy it first (make deploy)")
    subscription = ask(
        "gcloud", "eventarc", "triggers", "describe", trigger, *where, "--format=value(transport.pubsub.subscription)"
    )
    if not subscription:
        raise Stopped(f"the trigger {trigger} has no subscription yet: try again in a minute")
    number = ask("gcloud", "projects", "describe", project, "--quiet", "--format=value(projectNumber)")
    agent = f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    ask(
        *("gcloud", "pubsub", "subscriptions", "add-iam-policy-binding", subscription, *where),
        *(f"--member={agent}", "--role=roles/pubsub.subscriber"),
    )
    ask(
        *("gcloud", "pubsub", "subscriptions", "update", subscription, *where),
        *(f"--dead-letter-topic=projects/{project}/topics/{name}-undelivered", f"--max-delivery-attempts={ATTEMPTS}"),
    )
    return subscription


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("dead_letters", "Let the event triggers give events up to the dead letter topic.")
    given = parser.parse_args(arguments)
    return exit_code("dead_letters", lambda: _connect(given))


def _connect(given: argparse.Namespace) -> int:
    for subscription in connect(given.project, given.region, given.name):
        print(f"{subscription} gives up to {given.name}-undelivered after {ATTEMPTS} attempts")
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
