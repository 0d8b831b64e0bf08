"""Terraform over the two roots of `infra/terraform/` for one deployment, with their states in a bucket of its own.

`owner/` holds what only an owner may change: a person applies it, first. The rest is the delivery's: a build applies it
too. Each has its own state and its own file of settings.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.delivery.commands import ask, ask_json, do, find
from infra.delivery.errors import Stopped

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra" / "terraform"
AGENTS = ("pubsub", "eventarc", "monitoring")
PRODUCTION_AGENTS = ("run", "monitoring")
"""Google's agents in production's own project: one pulls the image, the other asks whether production is up."""
AGENT_APIS = (*AGENTS, "storage", "run", "cloudfunctions", "cloudbuild", "artifactregistry")
INIT = ("init", "-input=false", "-reconfigure", "-lockfile=readonly")
"""The provider is that of the committed lock file, and no deploy changes the checkout by a checksum of its platform."""
KEPT = ("google_storage_bucket.",)
"""What a destroy that keeps the data leaves in the state: the bucket."""


@dataclass(frozen=True)
class Root:
    """A folder of Terraform's. Its state is kept below `prefix`, its settings as `key`; what builds apply
    too is told of the commit and of the project's number."""

    folder: Path
    prefix: str
    key: str
    knows_commit: bool

    @property
    def settings(self) -> Path:
        """The file of variables that people edit."""
        return self.folder / "terraform.tfvars"


OWNERS = Root(INFRA / "owner", "owner", "owner.tfvars", knows_commit=False)
DELIVERYS = Root(INFRA, "terraform", "terraform.tfvars", knows_commit=True)
ROOTS = (OWNERS, DELIVERYS)
"""The roots, in the order in which they are applied."""


@dataclass(frozen=True)
class Deployment:
    """Which one: everything that is named after it follows."""

    project: str
    region: str
    name: str
    production: str = ""
    """The project that production serves in; empty for the same one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "production", self.production or self.project)

    @property
    def state_bucket(self) -> str:
        return f"{self.project}-{self.name}-tfstate"

    @property
    def again(self) -> str:
        """The options of the commands that people type."""
        name = "" if self.name == "tabular" else f" NAME={self.name}"
        production = f" PRODUCTION_PROJECT={self.production}" if self.is_apart else ""
        return f"PROJECT={self.project} REGION={self.region}{name}{production}"

    @property
    def is_apart(self) -> bool:
        """Whether production has a project of its own."""
        return self.production != self.project

    def has_state(self) -> bool:
        """Raises Stopped where that cannot be told."""
        command = ("gcloud", "storage", "buckets", "describe", f"gs://{self.state_bucket}", self._project)
        return find(*command, "--format=value(name)") is not None

    def make_state_bucket(self) -> None:
        """Versioned and private; an existing one is left as it is but for the versions."""
        if not self.has_state():
            apis = ("serviceusage", "cloudresourcemanager", "storage")
            do("gcloud", "services", "enable", *(f"{api}.googleapis.com" for api in apis), self._project)
            do("gcloud", "storage", "buckets", "create", f"gs://{self.state_bucket}", self._project,
               f"--location={self.region}", "--uniform-bucket-level-access", "--public-access-prevention")  # fmt: skip
        do("gcloud", "storage", "buckets", "update", f"gs://{self.state_bucket}", "--versioning", self._project)

    def make_agents(self) -> None:
        """The service accounts by which Pub/Sub, Eventarc, Monitoring and Cloud Storage act for the project,
        and those of Cloud Run and Monitoring for production's own.

        A fresh project has none; nothing but asking makes them, and grants to an account that does not exist are
        refused. Asking again changes nothing.
        """
        apis = (f"{api}.googleapis.com" for api in AGENT_APIS)
        do("gcloud", "services", "enable", *apis, self._project)
        for api in AGENTS:
            do("gcloud", "beta", "services", "identity", "create", f"--service={api}.googleapis.com", self._project)
        do("gcloud", "storage", "service-agent", self._project)
        if self.is_apart:
            there = f"--project={self.production}"
            do("gcloud", "services", "enable", *(f"{api}.googleapis.com" for api in PRODUCTION_AGENTS), there)
            for api in PRODUCTION_AGENTS:
                do("gcloud", "beta", "services", "identity", "create", f"--service={api}.googleapis.com", there)

    def init(self, root: Root) -> None:
        backend = (f"-backend-config=bucket={self.state_bucket}", f"-backend-config=prefix={root.prefix}")
        _run(root, *INIT, *backend)

    def plan(self, root: Root) -> None:
        _run(root, "plan", "-input=false", "-lock-timeout=60s", *self._variables(root))

    def first_plan(self, root: Root) -> None:
        """A plan against nothing, where there is no state yet; nothing is kept of it."""
        with _local_backend(root) as environment:
            _run(root, *INIT, environment=environment)
            _run(root, "plan", "-input=false", *self._variables(root), environment=environment)

    def apply(self, root: Root) -> None:
        _run(root, "apply", "-input=false", "-auto-approve", "-lock-timeout=60s", *self._variables(root))

    def outputs(self) -> dict[str, Any]:
        """Raises Stopped where there are none."""
        answer = ask_json(*_command(DELIVERYS, "output", "-json"))
        found = {name: entry["value"] for name, entry in answer.items()}
        if not found:
            raise Stopped("Terraform has no outputs: was it applied to the end?")
        return found

    def destroy(self, data: bool) -> None:
        """All of it, or all but the bucket of the data. Raises Stopped where anything else is left."""
        variables = self._variables(DELIVERYS)
        if data:
            variables = (*variables, "-var=deletion_protection=false")
            target = "-target=google_storage_bucket.pipeline"
            _run(DELIVERYS, "apply", "-input=false", "-auto-approve", target, *variables)
        try:
            _run(DELIVERYS, "destroy", "-input=false", "-auto-approve", *variables)
        except Stopped as stopped:
            left = ask(*_command(DELIVERYS, "state", "list")).split()
            strangers = [address for address in left if not address.startswith(KEPT)]
            if data or strangers:
                raise Stopped(f"{stopped}. Still there: {', '.join(strangers or left)}") from stopped
        _run(OWNERS, "destroy", "-input=false", "-auto-approve", *self._variables(OWNERS))

    def _variables(self, root: Root) -> tuple[str, ...]:
        values = {"project": self.project, "region": self.region, "name": self.name}
        if root.knows_commit:
            values |= {"git_sha": commit() or "unknown", "project_number": number_of(self.project)}
        if self.is_apart:
            values["production_project"] = self.production
            if root.knows_commit:
                values["production_project_number"] = number_of(self.production)
        return tuple(f"-var={name}={value}" for name, value in values.items())

    @property
    def _project(self) -> str:
        return f"--project={self.project}"


def _command(root: Root, *arguments: str) -> tuple[str, ...]:
    return ("terraform", f"-chdir={root.folder}", *arguments)


def _run(root: Root, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    do(*_command(root, *arguments), environment=environment)


def number_of(project: str) -> str:
    """The project's number. Raises Stopped."""
    return ask("gcloud", "projects", "describe", project, "--quiet", "--format=value(projectNumber)")


def commit() -> str | None:
    """The commit of the checkout; None where it has changes that no commit has, or where git is missing."""
    try:
        head = ask("git", "-C", str(ROOT), "rev-parse", "HEAD")
        return None if ask("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no") else head
    except Stopped:
        return None


@contextmanager
def _local_backend(root: Root) -> Iterator[dict[str, str]]:
    folder = ROOT / "build" / "first-plan" / root.prefix
    folder.mkdir(parents=True, exist_ok=True)
    override = root.folder / "first_plan_override.tf"
    override.write_text(f'terraform {{\n  backend "local" {{\n    path = "{folder}/none.tfstate"\n  }}\n}}\n')
    try:
        yield {**os.environ, "TF_DATA_DIR": str(folder)}
    finally:
        override.unlink(missing_ok=True)
