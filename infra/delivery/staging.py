"""What a build of main does once the image is pushed: staging serves it, `make smoke` asks it, and it is marked tested.

A refused image never gets traffic on staging and is never marked, so that no release finds it.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import newest, options
from infra.delivery.cloud_run import CloudRunService, find_image, tag_image, tested_tag
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.rollout import roll_out
from shared import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("staging", "Let staging serve a pushed image, test it there and mark it as tested.")
    options.add_image(parser)
    newest.add_trigger(parser)
    given = parser.parse_args(arguments)
    return exit_code("staging", lambda: _test(given))


def _test(given: argparse.Namespace) -> int:
    image = find_image(given.repository, given.commit)
    if image is None:
        raise Stopped(f"{given.repository} has no predict image of commit {given.commit}: was it pushed?")
    newest.require(given)
    roll_out(CloudRunService(given.project, given.region, f"{given.name}-predict-staging"), image)
    tag_image(image, tested_tag(given.commit))
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
