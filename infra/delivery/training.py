"""The image of the training job: built where there is none of these sources, and the job moved to it.

Where training is a function there is no job, and nothing is done: Terraform deploys the function from its bundle.
"""

import sys
from collections.abc import Sequence

from infra.delivery import builds, bundles, newest
from infra.delivery.cloud_run import find_image, tag_image
from infra.delivery.commands import do, find
from shared import terminal

BUNDLE, IMAGE = "training", "train"
CURRENT = "current"
"""The tag by which the machines of a search (search_machines) fetch what the job runs."""


def deliver(project: str, region: str, name: str, repository: str) -> None:
    """Let the next execution of the job, where there is one, run this checkout's code. Raises Stopped."""
    job = f"{name}-train"
    place = (f"--project={project}", f"--region={region}")
    field = "--format=value(spec.template.spec.template.spec.containers[0].image)"
    runs = find("gcloud", "run", "jobs", "describe", job, *place, field)
    if runs is None:
        print("  training is a function here, and its bundle was deployed", flush=True)
        return
    tag = f"src-{bundles.build(BUNDLE)[:16]}"
    image = builds.require_image(project, region, name, repository, tag, image=IMAGE, bundle=BUNDLE)
    if runs == image:
        print(f"  {job} runs {image} already", flush=True)
    else:
        do("gcloud", "run", "jobs", "update", job, f"--image={image}", *place, "--quiet")
    if find_image(repository, CURRENT, IMAGE) != image:
        tag_image(image, CURRENT)


def main(arguments: Sequence[str] | None = None) -> int:
    return newest.deliver(
        "training", "Move the training job, where there is one, to the code of this checkout.", deliver, arguments
    )


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
