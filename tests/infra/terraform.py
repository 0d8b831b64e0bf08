"""The real `terraform` over a copy of infra/terraform/, with the offline provider in place of Google's."""

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import require

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra" / "terraform"
TOOLS = ROOT / ".venv" / "terraform" / "bin"
HERE = Path(__file__).parent
SOURCE = "https://developer.hashicorp.com/terraform/install"
PROVISIONER = re.compile(r'^  provisioner "local-exec" \{\n.*?^  \}\n', re.MULTILINE | re.DOTALL)
NEEDED = {"project": "my-project", "region": "europe-west1"}
NUMBER = {"project_number": "123456789012"}
"""What the delivery's root needs beside them."""


@dataclass(frozen=True)
class Result:
    """What one command said; `text` is both of its outputs."""

    status: int
    text: str


class Workspace:
    """A copy of infra/terraform/ in `folder` that may be changed, at the delivery's root or the owner's.

    Its state is local: the backend is left out.
    """

    def __init__(self, folder: Path, root: str = ".") -> None:
        self.terraform = require("terraform", source=SOURCE)
        python = require(str(TOOLS / "python"), source="make test installs it")
        copy = folder / "infra" / "terraform"
        shutil.copytree(INFRA, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfvars", "*override.tf"))
        shutil.copytree(INFRA.parent / "sql", folder / "infra" / "sql")
        self.infra = (copy / root).resolve()
        self.needed = NEEDED if root == "owner" else {**NEEDED, **NUMBER}
        self.change("versions.tf", '  backend "gcs" {}\n', "")
        _leave_commands_out(copy)
        bundles = folder / "build"
        bundles.mkdir()
        for name in ("train", "validate", "batch", "watch"):
            (bundles / f"{name}.zip").write_text(f"the bundle of {name}")
        self._environment = {
            **os.environ,
            **_command_line(folder, python),
            "TF_REATTACH_PROVIDERS": _provider(python),
            "GOGC": "400",  # a command ends in a second: what it saves by tidying its memory is not worth the time
        }

    def change(self, name: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in one file."""
        path = self.infra / name
        text = path.read_text()
        assert old in text, f"{name} does not hold {old!r} any more"
        path.write_text(text.replace(old, new))

    def run(self, *arguments: str) -> Result:
        """One command of terraform; lines broken to the terminal's width are joined."""
        done = subprocess.run(
            [self.terraform, f"-chdir={self.infra}", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return Result(done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr))

    def get(self) -> "Workspace":
        """Install the modules. With the provider overridden no `init` is needed."""
        result = self.run("get")
        assert result.status == 0, result.text
        return self

    def plan(self, **variables: Any) -> dict[str, Any]:
        """The planned resources by address, each with its values. Raises AssertionError with what terraform said."""
        return {change["address"]: change["change"]["after"] for change in self.changes(**variables)}

    def changes(self, *options: str, **variables: Any) -> list[dict[str, Any]]:
        """What is planned for each resource, as `terraform show -json` writes it."""
        result = self.refused_or_planned(*options, **variables)
        assert result.status == 0, result.text
        shown = subprocess.run(
            [self.terraform, f"-chdir={self.infra}", "show", "-json", "plan"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return [change for change in json.loads(shown.stdout)["resource_changes"] if change["mode"] == "managed"]

    def refused_or_planned(self, *options: str, **variables: Any) -> Result:
        """`terraform plan` with these options, and these variables beside those that are always needed."""
        given = {**self.needed, **variables}
        (self.infra / "terraform.tfvars.json").write_text(json.dumps(given))
        return self.run("plan", "-no-color", "-input=false", "-out=plan", *options)


ON_MACHINES: dict[str, Any] = {"train_as": "job", "search_machines": 4}
ON_DATAFLOW: dict[str, Any] = {"batch_engine_rows": 10**8}


def with_the_job(workspace: Workspace, **variables: Any) -> dict[str, Any]:
    """Everything that may be planned: training as a function, and what there is beside it where it is a job on machines
    of its own, and where the largest batches are Dataflow's."""
    return {**workspace.plan(**ON_MACHINES, **ON_DATAFLOW, **variables), **workspace.plan(**variables)}


OWNERS_SETTINGS = {
    "monthly_budget": 20,
    "billing_account": "012345-6789AB-CDEF01",
    "repository_connection": "projects/p/locations/europe-west1/connections/c/repositories/r",
    "github_repository": "owner/name",
    "sql": True,
    "dataflow": True,
    "search": {},
    "bigquery_datasets": ["my-project.sales"],
}
"""Everything that the owner's root may be asked for."""


def owners_plan(folder: Path, **variables: Any) -> dict[str, Any]:
    """The owner's root planned with all of its settings; its addresses begin with `owner.`.

    The root is planned once for each choice of variables, in the first `folder`.
    """
    planned: dict[str, Any] = json.loads(_owners_plan(folder, json.dumps({**OWNERS_SETTINGS, **variables})))
    return {f"owner.{address}": values for address, values in planned.items()}


_OWNERS_PLANS: dict[str, str] = {}


def _owners_plan(folder: Path, variables: str) -> str:
    if variables not in _OWNERS_PLANS:
        _OWNERS_PLANS[variables] = json.dumps(Workspace(folder, "owner").get().plan(**json.loads(variables)))
    return _OWNERS_PLANS[variables]


def _leave_commands_out(folder: Path) -> None:
    """`terraform test` runs provisioners even where the provider is a mock: no test may call gcloud, nor wait."""
    for path in sorted(folder.rglob("*.tf")):
        path.write_text(PROVISIONER.sub("", path.read_text()))
    assert not any("local-exec" in path.read_text() for path in folder.rglob("*.tf"))


def of_type(plan: dict[str, Any], kind: str) -> dict[str, Any]:
    """The planned resources of one type, those of modules included."""
    return {address: values for address, values in plan.items() if re.search(rf"(^|\.){kind}\.", address)}


@functools.cache
def _provider(python: str) -> str:
    """Start the offline provider, once for all commands of these tests; what tells terraform where it listens.

    Terraform itself would start it anew several times a command, and each start takes longer than what is asked of it.
    """
    process = subprocess.Popen(
        [python, str(HERE / "provider" / "__main__.py"), "--dev"], stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, process)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"TF_REATTACH_PROVIDERS='(.*)'", line):
            return found[1]
    raise AssertionError("the offline provider did not start")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.wait(10)


def _command_line(folder: Path, python: str) -> dict[str, str]:
    """Terraform told to start the offline provider, and to ask nobody for updates."""
    plugins = folder / "plugins"
    plugins.mkdir()
    launcher = plugins / "terraform-provider-google"
    launcher.write_text(f'#!/bin/sh\nexec "{python}" "{HERE / "provider" / "__main__.py"}" "$@"\n')
    launcher.chmod(0o755)
    config = folder / "terraform.rc"
    config.write_text(
        f'provider_installation {{\n  dev_overrides {{ "hashicorp/google" = "{plugins}" }}\n  direct {{}}\n}}\n'
    )
    return {
        "TF_CLI_CONFIG_FILE": str(config),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "PYTHONWARNINGS": "ignore",
        "TMPDIR": str(folder),
    }
