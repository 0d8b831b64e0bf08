"""What a deploy requires of this computer and of a project, said once: doctor lists it, deploy insists on it.

Plain Python that runs on old versions, and nothing of ours is imported: doctor has to tell what is lacking.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program in a version: `command` prints JSON that holds it as `field`; `source` says where it comes from."""

    name: str
    command: tuple[str, ...]
    field: str
    least: tuple[int, int]
    source: str

    def version(self, answer: str) -> str:
        """The version in what the command printed, or that there is none."""
        try:
            return str(json.loads(answer)[self.field])
        except (ValueError, KeyError, TypeError):
            return "no version"

    def is_enough(self, version: str) -> bool:
        """Whether that version will do."""
        return numbers(version) >= self.least


GCLOUD = Tool(
    *("gcloud", ("gcloud", "version", "--format=json"), "Google Cloud SDK", (450, 0)),
    "https://cloud.google.com/sdk/docs/install",
)
TERRAFORM = Tool(
    *("terraform", ("terraform", "version", "-json"), "terraform_version", (1, 9)),
    "https://developer.hashicorp.com/terraform/install",
)

ACCOUNT = ("gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
APPLICATION_TOKEN = ("gcloud", "auth", "application-default", "print-access-token")

BUILD_REGIONS = (
    *("us-central1", "us-west2", "europe-west1", "asia-east1", "australia-southeast1", "southamerica-east1"),
)
"""Where every project may run builds; elsewhere a new one may get "due to quota restrictions, cannot run builds in this
region" (https://cloud.google.com/build/docs/locations)."""
BUILD_PAGE = "https://cloud.google.com/build/docs/locations"


def project_state(project: str) -> tuple[str, ...]:
    """The command that prints a project's state."""
    return ("gcloud", "projects", "describe", project, "--format=value(lifecycleState)")


def build_quota(project: str) -> tuple[str, ...]:
    """The command that lists Cloud Build's quotas of a project."""
    listing = ("gcloud", "beta", "quotas", "info", "list", "--service=cloudbuild.googleapis.com")
    return (*listing, f"--project={project}", "--format=json")


def may_build(answer: str, region: str) -> bool | None:
    """Whether a project may build in the region, from what `build_quota` printed; None where that cannot be told."""
    try:
        limits = limits_in(json.loads(answer), region, "concurrent|build")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return any(limits) if limits else None  # -1 is no limit


def limits_in(quotas: list[dict[str, object]], region: str, kind: str) -> list[int]:
    """The limits that hold in the region, of the quotas whose id matches `kind`; -1 means none."""
    values = []
    for quota in quotas:
        if not re.search(kind, str(quota.get("quotaId", "")), re.IGNORECASE):
            continue
        for entry in quota.get("dimensionsInfos", []):  # type: ignore[attr-defined]
            places = entry.get("applicableLocations", [])
            if region in places or entry.get("dimensions", {}).get("region") == region:
                values.append(int(entry["details"]["value"]))
    return values


def numbers(text: str) -> tuple[int, ...]:
    """The first two numbers of a version; empty for none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()
