"""`make release`, and what a tag v* starts: production serves the image that staging tested for this commit.

Nothing is built. The image's revision is asked at an address of its own before it gets any traffic. PERCENT=10 leaves
it at that share, `make release` again goes on, `make release BACK=1` goes back to what served before.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import options, production
from infra.delivery.cloud_run import CloudRunService, find_image, tag_image, tested_tag
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.rollout import ALL, roll_out, take_back
from infra.options import whole
from shared import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("release", "Let production serve the image that staging tested for a commit.")
    options.add_image(parser)
    options.add_production(parser)
    parser.add_argument("--tag", type=options.TAG, help="the release's name, which the image gets too")
    parser.add_argument("--percent", type=whole(1, ALL), default=ALL, help="share of the traffic (100)")
    parser.add_argument("--back", action="store_true", help="go back to what served before")
    given = parser.parse_args(arguments)
    if given.back and (given.tag or given.percent != ALL):
        parser.error("--back goes back with all the traffic: give neither --percent nor --tag")
    return exit_code("release", lambda: _back(given) if given.back else _release(given))


def _back(given: argparse.Namespace) -> int:
    service = _production(given)
    print(f"{service.name} serves {take_back(service)} again")
    return 0


def _release(given: argparse.Namespace) -> int:
    image = find_image(given.repository, tested_tag(given.commit))
    if image is None:
        raise Stopped(
            f"staging tested no image of commit {given.commit}: wait until the build of main has passed, or start it"
            " again; a release never builds"
        )
    try:
        roll_out(_production(given), image, given.percent)
    except Stopped as stopped:
        raise Stopped(f"{stopped}. If production has no model yet, promote one first: make promote") from stopped
    if given.percent < ALL:
        print("go on:   make release (PERCENT=50, or all without it)\ngo back: make release BACK=1")
    elif given.tag:
        tag_image(image, given.tag)
    return 0


def _production(given: argparse.Namespace) -> CloudRunService:
    target = production.located(given.project, given.region, given.name, given.production_project)
    return CloudRunService(target.production, given.region, f"{given.name}-predict-production")


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
