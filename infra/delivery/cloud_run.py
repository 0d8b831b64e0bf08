"""One predict service on Cloud Run and its images in Artifact Registry, through gcloud: asked, moved, moved back."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.delivery.commands import ask, ask_json, do, find
from infra.delivery.errors import Stopped

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "predict"
CANDIDATE, PREVIOUS = "candidate", "previous"
"""Traffic tags: of the revision that is being released, and of the one that served before the last release."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class State:
    """What serves: the service's address, the image of its newest revision, and which revision gets how much.

    `shares`: percent of the traffic by revision, none of them 0. `tags`: revision and address by traffic tag.
    """

    url: str
    image: str
    shares: Mapping[str, int]
    tags: Mapping[str, tuple[str, str]]

    @property
    def revision(self) -> str:
        """The one revision that gets all the traffic. Raises Stopped where several share it."""
        if len(self.shares) != 1:
            raise Stopped(
                f"one revision was to get all the traffic, found {len(self.shares)}: go on with the release that is"
                " under way (make release at its commit), or end it (make release BACK=1)"
            )
        return next(iter(self.shares))


@dataclass(frozen=True)
class CloudRunService:
    """A service by its name."""

    project: str
    region: str
    name: str

    def state(self) -> State:
        """Raises Stopped, also where the answer lacks what is needed."""
        found = ask_json("gcloud", "run", "services", "describe", self.name, *self._place, "--format=json")
        try:
            image = found["spec"]["template"]["spec"]["containers"][0]["image"]
            traffic = found["status"].get("traffic", [])
            shares = {str(entry["revisionName"]): int(entry["percent"]) for entry in traffic if entry.get("percent")}
            tags = {
                entry["tag"]: (str(entry["revisionName"]), str(entry["url"])) for entry in traffic if "tag" in entry
            }
            return State(found["status"]["url"], image, shares, tags)
        except (KeyError, IndexError, TypeError) as error:
            raise Stopped(f"the description of service {self.name} has no {error}: does it run at all?") from None

    def image_of(self, revision: str) -> str:
        """The image that a revision was made with. Raises Stopped."""
        field = "--format=value(spec.containers[0].image)"
        return ask("gcloud", "run", "revisions", "describe", revision, *self._place, field)

    def introduce(self, image: str) -> None:
        """A new revision with this image, without traffic, tagged CANDIDATE. Raises Stopped where it does not start."""
        do("gcloud", "run", "services", "update", self.name, f"--image={image}", "--no-traffic", f"--tag={CANDIDATE}",
           *self._place, "--quiet")  # fmt: skip

    def share(self, percent: int) -> None:
        """Give the candidate `percent` of the traffic, and the rest to what served before."""
        self._traffic(f"--to-tags={CANDIDATE}={percent}")

    def settle(self, previous: str) -> None:
        """All the traffic to the newest revision, and to every newer one; `previous` is tagged so that it can be
        found again."""
        self._traffic("--to-latest", f"--update-tags={PREVIOUS}={previous}")

    def back_to(self, revision: str, image: str) -> None:
        """The traffic to a revision that served, at once; then its image again in the newest revision, so that
        nothing that creates a revision later brings the refused image back."""
        self._traffic(f"--to-revisions={revision}=100")
        do("gcloud", "run", "services", "update", self.name, f"--image={image}", *self._place, "--quiet")
        self._traffic("--to-latest")

    def _traffic(self, *options: str) -> None:
        do("gcloud", "run", "services", "update-traffic", self.name, *options, *self._place, "--quiet")

    @property
    def _place(self) -> tuple[str, str]:
        return f"--project={self.project}", f"--region={self.region}"


def tested_tag(commit: str) -> str:
    """The tag of the image that staging tested for a commit."""
    return f"tested-{commit}"


def find_image(repository: str, tag: str, name: str = IMAGE) -> str | None:
    """`REPOSITORY/NAME@sha256:…` of a tag, or None where there is no such image. Raises Stopped."""
    command = ("gcloud", "artifacts", "docker", "images", "describe", f"{repository}/{name}:{tag}")
    digest = find(*command, "--format=value(image_summary.digest)")
    if digest is None:
        return None
    if not _DIGEST.fullmatch(digest):
        raise Stopped(f"the registry was to name a digest for {name}:{tag}, found {digest[:80]!r}")
    return f"{repository}/{name}@{digest}"


def tag_image(image: str, tag: str) -> None:
    """Give an image, named by its digest, one more tag."""
    do("gcloud", "artifacts", "docker", "tags", "add", image, f"{image.partition('@')[0]}:{tag}", "--quiet")


def identity_token(url: str) -> str:
    """A token that a private service accepts: a build's service account names the audience, a person cannot."""
    account = ask("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    audience = (f"--audiences={url}",) if account.endswith(".gserviceaccount.com") else ()
    return ask("gcloud", "auth", "print-identity-token", *audience)


def smoke(url: str, token: str) -> bool:
    """Whether `make smoke` passes; its lines are shown."""
    command = [sys.executable, "-m", "tests.smoke", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKEN": token}
    print(f"  $ make smoke URL={url}", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
