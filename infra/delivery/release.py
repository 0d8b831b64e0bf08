"""`make release`, and what a tag v* starts: production serves the image that staging tested for this commit.

Nothing is built. Where staging tested no image of the commit the release is refused; where the smoke check fails
production goes back to what served before.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import options
from infra.delivery.cloud_run import Service, find_image, tag_image, tested_tag
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.staging import serve_and_test


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("release", "Let production serve the image that staging tested for a commit.")
    options.add_image(parser)
    parser.add_argument("--tag", type=options.TAG, help="the release's name, which the image gets too")
    given = parser.parse_args(arguments)
    return exit_code("release", lambda: _release(given))


def _release(given: argparse.Namespace) -> int:
    image = find_image(given.repository, tested_tag(given.commit))
    if image is None:
        raise Stopped(
            f"staging tested no image of commit {given.commit}: wait until the build of main has passed, or start it"
            " again; a release never builds"
        )
    try:
        serve_and_test(Service(given.project, given.region, f"{given.name}-predict-production"), image)
    except Stopped as stopped:
        raise Stopped(f"{stopped}. If production has no model yet, promote one first: make promote") from stopped
    if given.tag:
        tag_image(image, given.tag)
    return 0


if __name__ == "__main__":
    sys.exit(main())
