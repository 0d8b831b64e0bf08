"""Which project production serves in: that of the deployment, or one of its own (`PRODUCTION_PROJECT=`).

It is said at the first deploy and kept beside the settings, for whoever deploys next: with the default in its place
Terraform would take production down there and make it here.
"""

import tempfile
from pathlib import Path

from infra.delivery.commands import ask, do, find
from infra.delivery.errors import Stopped
from infra.delivery.terraform import OWNERS, Deployment

KEY = "terraform.tfvars.production"
"""The object that names production's project. It begins like the settings: builds may read and not write it."""


def located(project: str, region: str, name: str, asked: str | None) -> Deployment:
    """The deployment, with the project that production serves in. Raises Stopped where `asked` is another one."""
    target = Deployment(project, region, name)
    kept = _kept(target)
    serves = kept or (project if asked not in (None, project) and _is_made(target) else asked or project)
    if asked not in (None, serves):
        where = f"gs://{target.state_bucket}/{KEY}"
        said = f"; then gcloud storage rm {where}" if kept else ""
        raise Stopped(
            f"production of {name} is in project {serves}, and PRODUCTION_PROJECT={asked} names another one; nothing"
            f" was changed. Leave it out to go on there; to move production, take the deployment down first: make"
            f" destroy {target.again}{said}"
        )
    return Deployment(project, region, name, serves)


def keep(target: Deployment) -> None:
    """Write down where production serves, where that is a project of its own. Raises Stopped."""
    if target.production == target.project or _kept(target):
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / KEY
        file.write_text(f"{target.production}\n", encoding="utf-8")
        do("gcloud", "storage", "cp", "--if-generation-match=0", str(file), f"gs://{target.state_bucket}/{KEY}")


def _kept(target: Deployment) -> str | None:
    address = f"gs://{target.state_bucket}/{KEY}"
    return ask("gcloud", "storage", "cat", address) if _is_there(address) else None


def _is_made(target: Deployment) -> bool:
    """Whether anything was applied: production is somewhere then."""
    return _is_there(f"gs://{target.state_bucket}/{OWNERS.prefix}/default.tfstate")


def _is_there(address: str) -> bool:
    return find("gcloud", "storage", "objects", "describe", address, "--format=value(generation)") is not None
