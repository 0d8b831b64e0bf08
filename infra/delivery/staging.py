"""What a build of main does once the image is pushed: staging serves it, `make smoke` asks it, and it is marked tested.

A refused image leaves staging as it was before, and is never marked, so that no release finds it.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.delivery import options
from infra.delivery.cloud_run import Service, State, find_image, identity_token, smoke, tag_image, tested_tag
from infra.delivery.errors import Stopped, exit_code


def serve_and_test(service: Service, image: str) -> State:
    """Move the service to the image and ask it; on any failure back to what served. Raises Stopped."""
    before = service.state()
    print(f"{service.name} serves {before.image} in {before.revision}", flush=True)
    try:
        service.move(image)
        after = service.state()
        if not smoke(after.url, identity_token(after.url)):
            raise Stopped(f"{service.name} does not pass the smoke check with {image}")
    except BaseException as failure:
        raise _moved_back(service, before, failure) from failure
    print(f"{service.name} serves {image} in {after.revision}", flush=True)
    return after


def _moved_back(service: Service, before: State, failure: BaseException) -> Stopped:
    why = str(failure) or type(failure).__name__
    try:
        service.back_to(before)
    except Stopped as second:
        return Stopped(
            f"{why}; and moving back failed too: {second}. Look at it now: gcloud run services describe {service.name}"
            f" --project={service.project} --region={service.region}; revision {before.revision} served before"
        )
    return Stopped(f"{why}; moved back to {before.image}, which served before")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("staging", "Let staging serve a pushed image, test it there and mark it as tested.")
    options.add_image(parser)
    given = parser.parse_args(arguments)
    return exit_code("staging", lambda: _test(given))


def _test(given: argparse.Namespace) -> int:
    image = find_image(given.repository, given.commit)
    if image is None:
        raise Stopped(f"{given.repository} has no predict image of commit {given.commit}: was it pushed?")
    serve_and_test(Service(given.project, given.region, f"{given.name}-predict-staging"), image)
    tag_image(image, tested_tag(given.commit))
    return 0


if __name__ == "__main__":
    sys.exit(main())
