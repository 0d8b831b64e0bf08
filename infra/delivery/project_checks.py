"""What doctor looks at of a project of Google Cloud, before a deploy finds it out.

Plain Python that runs on old versions, as all that doctor imports.
"""

from __future__ import annotations

import json
from typing import Sequence  # noqa: UP035 (this file runs on old Pythons)

from infra.delivery.findings import LACKS, OK, UNKNOWN, Check, Finding, ask, signed_in, why
from infra.delivery.required import BUILD_PAGE, BUILD_REGIONS, build_quota, limits_in, may_build, project_state

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


def project_checks(project: str, region: str) -> list[Check]:
    """What the project needs before a deploy; one line where nobody is signed in who could look."""
    if not signed_in():
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
    if not signed_in():
        return project_checks(project, region)
    return [
        lambda: _project(project),
        lambda: _billing(project),
        lambda: _apis(project, PRODUCTION_APIS),
        lambda: _roles(project, PRODUCTION_ROLES),
        lambda: _quota(project, region),
    ]


def _project(project: str) -> Finding:
    done = ask(*project_state(project))
    if done is None or done[0] != 0:
        return Finding(LACKS, "project", why(done), f"gcloud projects list; or gcloud projects create {project}")
    if done[1].strip() != "ACTIVE":
        return Finding(LACKS, "project", done[1].strip(), f"gcloud projects undelete {project}")
    return Finding(OK, "project", f"{project} is active")


def _billing(project: str) -> Finding:
    done = ask("gcloud", "billing", "projects", "describe", project, "--format=value(billingEnabled)")
    if done is None or done[0] != 0:
        return Finding(UNKNOWN, "billing", why(done), f"gcloud billing projects describe {project}")
    if done[1].strip().lower() != "true":
        mend = f"gcloud billing accounts list, then gcloud billing projects link {project} --billing-account=ID"
        return Finding(LACKS, "billing", "no account is linked", mend)
    return Finding(OK, "billing", "linked")


def _apis(project: str, apis: Sequence[str] = APIS) -> Finding:
    done = ask("gcloud", "services", "list", "--enabled", f"--project={project}", "--format=value(config.name)")
    wanted = [f"{api}.googleapis.com" for api in apis]
    if done is None or done[0] != 0:
        return Finding(UNKNOWN, "APIs", why(done), f"gcloud services list --enabled --project={project}")
    missing = [api for api in wanted if api not in done[1].split()]
    if missing:
        mend = f"gcloud services enable {' '.join(missing)} --project={project}   (make deploy does it too)"
        return Finding(LACKS, "APIs", f"{len(missing)} of {len(wanted)} are off", mend)
    return Finding(OK, "APIs", f"all {len(wanted)} are on")


def _roles(project: str, roles: Sequence[str] = ROLES) -> Finding:
    account = signed_in()
    done = ask("gcloud", "projects", "get-iam-policy", project, "--format=json")
    try:
        if done is None or done[0] != 0 or not account:
            raise ValueError
        bindings = json.loads(done[1]).get("bindings", [])
        kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
        held = {entry["role"] for entry in bindings if f"{kind}:{account}" in entry.get("members", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Finding(UNKNOWN, "roles", why(done), f"ask an owner: gcloud projects get-iam-policy {project}")
    missing = [] if "roles/owner" in held else [role for role in roles if role not in held]
    if not missing:
        return Finding(OK, "roles", "owner" if "roles/owner" in held else "all that a deploy needs")
    grants = "; ".join(
        f"gcloud projects add-iam-policy-binding {project} --member={kind}:{account} --role={role}" for role in missing
    )
    return Finding(LACKS, "roles", f"not granted to {account} itself: {', '.join(missing)}", grants)


def _quota(project: str, region: str) -> Finding:
    page = f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
    done = ask(
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
    done = ask(*build_quota(project))
    may = may_build(done[1], region) if done and done[0] == 0 else None
    others = f"take one of {', '.join(BUILD_REGIONS)}"
    if may is None:
        why = f"a new project may be kept from building in {region}; whether this one is cannot be read"
        return Finding(UNKNOWN, "builds", why, f"{others}; or try: {BUILD_PAGE}")
    if not may:
        return Finding(LACKS, "builds", f"this project may not run builds in {region}", f"{others}; or ask for more")
    return Finding(OK, "builds", f"this project may run builds in {region}")
