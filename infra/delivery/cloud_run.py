"""One predict service on Cloud Run and its images in Artifact Registry, through gcloud: asked, moved, moved back."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.delivery.commands import ask, ask_json, do, holds
from infra.delivery.errors import Stopped

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "predict"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class State:
    """What serves: its address, the image of the newest revision, the revision that gets the traffic."""

    url: str
    image: str
    revision: str


@dataclass(frozen=True)
class Service:
    """A service by its name."""

    project: str
    region: str
    name: str

    def state(self) -> State:
        """Raises Stopped, also where the answer lacks what is needed."""
        found = ask_json("gcloud", "run", "services", "describe", self.name, *self._place, "--format=json")
        try:
            image = found["spec"]["template"]["spec"]["containers"][0]["image"]
            return State(found["status"]["url"], image, _serving(found["status"]))
        except (KeyError, IndexError, TypeError) as error:
            raise Stopped(f"the description of service {self.name} has no {error}: does it run at all?") from None

    def move(self, image: str) -> None:
        """A new revision with this image, and all the traffic to it. Raises Stopped where it does not come up."""
        do("gcloud", "run", "services", "update", self.name, f"--image={image}", *self._place, "--quiet")
        do("gcloud", "run", "services", "update-traffic", self.name, "--to-latest", *self._place, "--quiet")

    def back_to(self, before: State) -> None:
        """The traffic to the revision that served at once; then its image again in the newest revision, so that
        nothing that creates a revision later brings the refused image back."""
        target = f"--to-revisions={before.revision}=100"
        do("gcloud", "run", "services", "update-traffic", self.name, target, *self._place, "--quiet")
        self.move(before.image)

    @property
    def _place(self) -> tuple[str, str]:
        return f"--project={self.project}", f"--region={self.region}"


def _serving(status: dict[str, Any]) -> str:
    shares = [entry for entry in status.get("traffic", []) if entry.get("percent", 0) > 0]
    if len(shares) != 1:
        raise Stopped(
            f"one revision was to get all the traffic, found {len(shares)}: settle it with"
            " 'gcloud run services update-traffic SERVICE --to-latest', then try again"
        )
    return str(shares[0]["revisionName"])


def tested_tag(commit: str) -> str:
    """The tag of the image that staging tested for a commit."""
    return f"tested-{commit}"


def find_image(repository: str, tag: str) -> str | None:
    """`REPOSITORY/predict@sha256:…` of a tag, or None where there is no such image. Raises Stopped."""
    command = ("gcloud", "artifacts", "docker", "images", "describe", f"{repository}/{IMAGE}:{tag}")
    try:
        digest = ask(*command, "--format=value(image_summary.digest)")
    except Stopped as stopped:
        if re.search(r"not.?found", str(stopped), re.IGNORECASE):
            return None
        raise
    if not _DIGEST.fullmatch(digest):
        raise Stopped(f"the registry was to name a digest for {IMAGE}:{tag}, found {digest[:80]!r}")
    return f"{repository}/{IMAGE}@{digest}"


def tag_image(image: str, tag: str) -> None:
    """Give an image, named by its digest, one more tag."""
    do("gcloud", "artifacts", "docker", "tags", "add", image, f"{image.partition('@')[0]}:{tag}", "--quiet")


def identity_token(url: str) -> str:
    """A token that a private service accepts: a build's service account names the audience, a person cannot."""
    if holds("gcloud", "auth", "print-identity-token", f"--audiences={url}"):
        return ask("gcloud", "auth", "print-identity-token", f"--audiences={url}")
    return ask("gcloud", "auth", "print-identity-token")


def smoke(url: str, token: str) -> bool:
    """Whether `make smoke` passes; its lines are shown."""
    command = [sys.executable, "-m", "tests.smoke", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKEN": token}
    print(f"  $ make smoke URL={url}", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
