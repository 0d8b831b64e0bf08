"""Builds of their own: other people's code (a dependency's, a test's) runs under an account that may do nothing else.

The build of a push and `make deploy` send the sources and wait. A command of its own for each: `checks` lints and tests
the checkout, `image` builds and pushes the image of predict from its bundle. Those of the training job and of
Dataflow's workers are built by `infra.delivery.training` and `infra.delivery.dataflow`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.delivery import bundles, options
from infra.delivery.cloud_run import IMAGE, find_image
from infra.delivery.commands import do
from infra.delivery.errors import Stopped, exit_code
from shared import terminal

CONFIGS = Path(__file__).resolve().parent
CHECKS, IMAGES = CONFIGS / "cloudbuild-checks.yaml", CONFIGS / "cloudbuild-image.yaml"


def check(project: str, region: str, name: str) -> None:
    """Lint and test the checkout. Raises Stopped where a check fails."""
    _submit(project, region, name, "checks", bundles.ROOT, CHECKS)


def build_image(project: str, region: str, name: str, address: str, bundle: str = "predict") -> None:
    """Push the image of a bundle in build/ as `address`. Raises Stopped."""
    source = bundles.BUILD / f"{bundle}.zip"
    _submit(project, region, name, "build", source, IMAGES, f"--substitutions=_IMAGE={address}")


def require_image(
    project: str, region: str, name: str, repository: str, tag: str, *, image: str = IMAGE, bundle: str = "predict"
) -> str:
    """`REPOSITORY/IMAGE@sha256:…` of a tag, built from the bundle where it is not there yet. Raises Stopped."""
    found = find_image(repository, tag, image)
    if found is None:
        build_image(project, region, name, f"{repository}/{image}:{tag}", bundle)
        found = find_image(repository, tag, image)
    if found is None:
        raise Stopped(f"the build ended well, but {repository}/{image}:{tag} is not there")
    return found


def _submit(project: str, region: str, name: str, account: str, source: Path, config: Path, *more: str) -> None:
    do(
        *("gcloud", "builds", "submit", str(source), f"--config={config}", f"--project={project}"),
        *(f"--region={region}", "--quiet", *more),
        # The account may read this folder of this bucket and no other, and logs without a bucket.
        f"--gcs-source-staging-dir=gs://{project}-{name}-sources/{account}",
        f"--service-account=projects/{project}/serviceAccounts/{name}-{account}@{project}.iam.gserviceaccount.com",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("builds", "Run a build under an account that may do nothing else, and wait for it.")
    parser.add_argument("what", choices=("checks", "image"), help="what to build")
    parser.add_argument(
        "--repository", type=options.REPOSITORY, help="of the image: REGION-docker.pkg.dev/PROJECT/NAME"
    )
    parser.add_argument("--commit", type=options.COMMIT, help="the image's tag: the full id of the commit")
    given = parser.parse_args(arguments)
    if given.what == "image" and not (given.repository and given.commit):
        parser.error("an image needs --repository and --commit")
    return exit_code("builds", lambda: _build(given))


def _build(given: argparse.Namespace) -> int:
    place = (given.project, given.region, given.name)
    if given.what == "checks":
        check(*place)
    else:
        build_image(*place, f"{given.repository}/{IMAGE}:{given.commit}")
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
