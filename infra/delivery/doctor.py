"""`make doctor`: what this computer lacks to run the project and to deploy it, and what a Google Cloud project lacks.

A list with the command that mends each; ends with 1 where something is missing, which `make` turns into a 2. It reads,
and changes nothing. It runs on old Pythons and without any of our packages, since that is what it has to tell.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence  # noqa: UP035 (this file runs on old Pythons)

from infra.delivery.required import (
    ACCOUNT,
    APPLICATION_TOKEN,
    BUILD_PAGE,
    BUILD_REGIONS,
    GCLOUD,
    TERRAFORM,
    Tool,
    build_quota,
    limits_in,
    may_build,
    numbers,
    project_state,
)
from shared import terminal

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 15.0
"""The longest that one question to gcloud may take; all are asked side by side."""
DISK_GB = 6
PORTS = {
    "PREDICT_PORT": 8080,
    "PREDICT_PRODUCTION_PORT": 8090,
    "TRAIN_PORT": 8081,
    "VALIDATE_PORT": 8082,
    "BATCH_PORT": 8083,
    "WATCH_PORT": 8084,
    "STORAGE_HTTP_PORT": 8480,
    "STORAGE_HTTPS_PORT": 8443,
    "SCHEDULER_PORT": 8470,
    "CERTS_PORT": 8471,
}
APIS = (
    *("artifactregistry", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler"),
    *("eventarc", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "serviceusage", "storage", "sts"),
)
PRODUCTION_APIS = ("cloudresourcemanager", "iam", "logging", "monitoring", "run", "storage")
ROLES = (
    *("roles/editor", "roles/resourcemanager.projectIamAdmin", "roles/iam.serviceAccountAdmin", "roles/run.admin"),
    *("roles/cloudfunctions.admin", "roles/storage.admin", "roles/pubsub.admin", "roles/artifactregistry.admin"),
    "roles/iam.roleAdmin",  # the custom roles of the grants on objects
)
"""What a deploy needs of somebody who is not the project's owner."""
VCPU = 8
"""CPUs of Cloud Run that a deployment needs in the region: training's, and a few instances of each predict service."""

PRODUCTION_ROLES = (
    *("roles/iam.serviceAccountAdmin", "roles/monitoring.editor", "roles/resourcemanager.projectIamAdmin"),
    *("roles/run.admin", "roles/serviceusage.serviceUsageAdmin", "roles/iam.serviceAccountUser"),
)
"""Likewise, in a project that has production alone."""

OK, LACKS, UNKNOWN = "ok", "lacks", "?"


@dataclass(frozen=True)
class Finding:
    """One line of the list. `mend` is the command for what is lacking."""

    state: str
    name: str
    found: str
    mend: str = ""


Check = Callable[[], Finding]


def local_checks() -> list[Check]:
    """What running the project here takes."""
    return [_python, _venv, _make, lambda: _tool("git", "apt-get install git, or brew install git"), _disk, _ports]


def tool_checks() -> list[Check]:
    """What working with Google Cloud takes."""
    return [
        lambda: _versioned(GCLOUD),
        lambda: _tool("gsutil", "it comes with the Google Cloud CLI: " + GCLOUD.source),
        lambda: _versioned(TERRAFORM),
        _login,
        _application_login,
    ]


def project_checks(project: str, region: str) -> list[Check]:
    """What the project needs before a deploy; one line where nobody is signed in who could look."""
    if not _account():
        unseen = Finding(UNKNOWN, "project", "it cannot be looked at before somebody is signed in", "gcloud auth login")
        return [lambda: unseen]
    return [
        lambda: _project(project),
        lambda: _billing(project),
        lambda: _apis(project),
        lambda: _roles(project),
        lambda: _quota(project, region),
        lambda: _builds(project, region),
    ]


def production_checks(project: str, region: str) -> list[Check]:
    """What a project of production's own needs; one line where nobody is signed in who could look."""
    if not _account():
        return project_checks(project, region)
    return [
        lambda: _project(project),
        lambda: _billing(project),
        lambda: _apis(project, PRODUCTION_APIS),
        lambda: _roles(project, PRODUCTION_ROLES),
        lambda: _quota(project, region),
    ]


def _python() -> Finding:
    version = tuple(sys.version_info[:3])
    found = ".".join(map(str, version))
    if version < (3, 11):
        return Finding(LACKS, "Python", f"{found}, needs 3.11", "install one, then make PYTHON=python3.12 ...")
    return Finding(OK, "Python", found)


def _venv() -> Finding:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        return Finding(LACKS, "venv", "no module venv or ensurepip", "apt-get install python3-venv")
    return Finding(OK, "venv", "there")


def _make() -> Finding:
    mend = "apt-get install make; on macOS: brew install make, then gmake ..."
    done = _ask("make", "--version")
    if done is None:
        return Finding(LACKS, "make", "not on PATH", mend)
    version = numbers(done[1])
    if version < (3, 82):
        return Finding(LACKS, "make", f"{done[1].splitlines()[:1]}, needs 3.82", mend)
    return Finding(OK, "make", ".".join(map(str, version)))


def _disk() -> Finding:
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < DISK_GB:
        return Finding(LACKS, "disk", f"{free:.1f} GB free, needs {DISK_GB}", f"make room on the disk of {ROOT.name}/")
    return Finding(OK, "disk", f"{free:.0f} GB free")


def _ports() -> Finding:
    if _local_cloud_runs():
        return Finding(OK, "ports", "the local cloud has them: make run is running")
    taken = {name: port for name, port in _configured_ports().items() if not _is_free(port)}
    if not taken:
        return Finding(OK, "ports", "all free")
    others = " ".join(f"{name}={port + 1000}" for name, port in taken.items())
    return Finding(LACKS, "ports", f"taken: {', '.join(map(str, taken.values()))}", f"make run {others}")


def _local_cloud_runs() -> bool:
    try:
        os.kill(int((ROOT / ".local" / "up.pid").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True


def _configured_ports() -> dict[str, int]:
    return {name: int(os.environ[name]) if os.environ.get(name, "").isdigit() else n for name, n in PORTS.items()}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _tool(name: str, mend: str) -> Finding:
    return Finding(OK, name, "there") if shutil.which(name) else Finding(LACKS, name, "not on PATH", mend)


def _versioned(tool: Tool) -> Finding:
    if shutil.which(tool.name) is None:
        return Finding(LACKS, tool.name, "not on PATH", tool.source)
    done = _ask(*tool.command)
    found = tool.version(done[1]) if done else "no answer"
    if not tool.is_enough(found):
        return Finding(LACKS, tool.name, f"{found}, needs {tool.least[0]}.{tool.least[1]}", tool.source)
    return Finding(OK, tool.name, found)


def _login() -> Finding:
    if shutil.which("gcloud") is None:
        return Finding(LACKS, "login", "no gcloud to sign in with", "gcloud auth login")
    account = _account()
    if not account:
        return Finding(LACKS, "login", "nobody is signed in", "gcloud auth login")
    return Finding(OK, "login", account)


def _account() -> str:
    done = _ask(*ACCOUNT)
    return done[1].strip() if done and done[0] == 0 else ""


def _application_login() -> Finding:
    mend = "gcloud auth application-default login"
    done = _ask(*APPLICATION_TOKEN)
    if done is None or done[0] != 0:
        return Finding(LACKS, "credentials", "no application default credentials, which Terraform uses", mend)
    return Finding(OK, "credentials", "application default credentials are there")


def _project(project: str) -> Finding:
    done = _ask(*project_state(project))
    if done is None or done[0] != 0:
        return Finding(LACKS, "project", _why(done), f"gcloud projects list; or gcloud projects create {project}")
    if done[1].strip() != "ACTIVE":
        return Finding(LACKS, "project", done[1].strip(), f"gcloud projects undelete {project}")
    return Finding(OK, "project", f"{project} is active")


def _billing(project: str) -> Finding:
    done = _ask("gcloud", "billing", "projects", "describe", project, "--format=value(billingEnabled)")
    if done is None or done[0] != 0:
        return Finding(UNKNOWN, "billing", _why(done), f"gcloud billing projects describe {project}")
    if done[1].strip().lower() != "true":
        mend = f"gcloud billing accounts list, then gcloud billing projects link {project} --billing-account=ID"
        return Finding(LACKS, "billing", "no account is linked", mend)
    return Finding(OK, "billing", "linked")


def _apis(project: str, apis: Sequence[str] = APIS) -> Finding:
    done = _ask("gcloud", "services", "list", "--enabled", f"--project={project}", "--format=value(config.name)")
    wanted = [f"{api}.googleapis.com" for api in apis]
    if done is None or done[0] != 0:
        return Finding(UNKNOWN, "APIs", _why(done), f"gcloud services list --enabled --project={project}")
    missing = [api for api in wanted if api not in done[1].split()]
    if missing:
        mend = f"gcloud services enable {' '.join(missing)} --project={project}   (make deploy does it too)"
        return Finding(LACKS, "APIs", f"{len(missing)} of {len(wanted)} are off", mend)
    return Finding(OK, "APIs", f"all {len(wanted)} are on")


def _roles(project: str, roles: Sequence[str] = ROLES) -> Finding:
    account = _account()
    done = _ask("gcloud", "projects", "get-iam-policy", project, "--format=json")
    try:
        if done is None or done[0] != 0 or not account:
            raise ValueError
        bindings = json.loads(done[1]).get("bindings", [])
        kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
        held = {entry["role"] for entry in bindings if f"{kind}:{account}" in entry.get("members", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Finding(UNKNOWN, "roles", _why(done), f"ask an owner: gcloud projects get-iam-policy {project}")
    missing = [] if "roles/owner" in held else [role for role in roles if role not in held]
    if not missing:
        return Finding(OK, "roles", "owner" if "roles/owner" in held else "all that a deploy needs")
    grants = "; ".join(
        f"gcloud projects add-iam-policy-binding {project} --member={kind}:{account} --role={role}" for role in missing
    )
    return Finding(LACKS, "roles", f"not granted to {account} itself: {', '.join(missing)}", grants)


def _quota(project: str, region: str) -> Finding:
    page = f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
    done = _ask(
        *("gcloud", "beta", "quotas", "info", "list", "--service=run.googleapis.com"),
        *(f"--project={project}", "--format=json"),
    )
    try:
        values = limits_in(json.loads(done[1]), region, "cpu") if done and done[0] == 0 else []
    except (ValueError, KeyError, TypeError, AttributeError):
        values = []
    if not values:
        return Finding(UNKNOWN, "quota", f"of Cloud Run's CPUs in {region} could not be read", page)
    limits = [value for value in values if value >= 0]
    if not limits:
        return Finding(OK, "quota", f"no limit on Cloud Run's CPUs in {region}")
    vcpu = min(limits) / 1000
    if vcpu < VCPU:
        return Finding(LACKS, "quota", f"{vcpu:g} vCPU of Cloud Run in {region}, needs {VCPU}", f"ask for more: {page}")
    return Finding(OK, "quota", f"{vcpu:g} vCPU of Cloud Run in {region}")


def _builds(project: str, region: str) -> Finding:
    """Some projects may build in a few regions only, and find out in the middle of their first deploy."""
    if region in BUILD_REGIONS:
        return Finding(OK, "builds", f"{region} is open to every project")
    done = _ask(*build_quota(project))
    may = may_build(done[1], region) if done and done[0] == 0 else None
    others = f"take one of {', '.join(BUILD_REGIONS)}"
    if may is None:
        why = f"a new project may be kept from building in {region}; whether this one is cannot be read"
        return Finding(UNKNOWN, "builds", why, f"{others}; or try: {BUILD_PAGE}")
    if not may:
        return Finding(LACKS, "builds", f"this project may not run builds in {region}", f"{others}; or ask for more")
    return Finding(OK, "builds", f"this project may run builds in {region}")


def _ask(*command: str) -> tuple[int, str, str] | None:
    """Exit code and output; None where the program is missing or did not end in time."""
    if shutil.which(command[0]) is None:
        return None
    environment = {**os.environ, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # gcloud is a script with a child of its own
            process.communicate()
            return None
    return process.returncode, out, err


def _why(done: tuple[int, str, str] | None) -> str:
    if done is None:
        return "gcloud is missing" if shutil.which("gcloud") is None else f"no answer in {SECONDS:g} s: network?"
    lines = [line for line in done[2].splitlines() if line.strip()]
    return lines[0][:160] if lines else "it could not be read"


def run(groups: Sequence[tuple[str, Sequence[Check]]]) -> int:
    """Print the list; 1 where something is lacking."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        asked = [(title, [pool.submit(check) for check in checks]) for title, checks in groups]
        lacking = 0
        for title, answers in asked:
            print(title)
            for answer in answers:
                finding = answer.result()
                lacking += finding.state == LACKS
                print(f"  {finding.state:5}  {finding.name:11}  {finding.found}")
                if finding.mend and finding.state != OK:
                    print(f"{'':22}{'mend' if finding.state == LACKS else 'look'}: {finding.mend}", flush=True)
    print(f"{lacking} lacking" if lacking else "nothing is lacking")
    return 1 if lacking else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="doctor", description="List what is lacking, with the command that mends it.")
    parser.add_argument("--project", help="look at this project too; needs --region")
    parser.add_argument("--region", help="e.g. europe-west1")
    parser.add_argument("--production-project", help="and at this one, where production is to serve")
    given = parser.parse_args(arguments)
    if bool(given.project) != bool(given.region) or (given.production_project and not given.project):
        parser.exit(2, "doctor: a project is looked at in a region: give both, PROJECT=... REGION=...\n")
    groups = [("to run it here", local_checks()), ("to deploy it", tool_checks())]
    if given.project:
        groups.append((f"project {given.project}", project_checks(given.project, given.region)))
    if given.production_project and given.production_project != given.project:
        title = f"production's project {given.production_project}"
        groups.append((title, production_checks(given.production_project, given.region)))
    return run(groups)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
