"""The stand-in for terraform: it makes what the real one plans, in the order of its dependencies, and meets refusals.

The plan is the real terraform's, over the provider's true schema; what Google would answer to each resource is played:
services that are off, agents that do not exist, grants that have not spread, permissions that an account lacks.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra.accounts import Grant, Plan
from tests.infra.iam import NEEDS, held, spelled
from tests.infra.rehearsal.google import LIVE, PERSON, PROJECT, REGION, Google
from tests.infra.rehearsal.refusals import Refused

APIS = {
    "artifact_registry": "artifactregistry",
    "billing": "billingbudgets",
    "cloud_run": "run",
    "cloud_scheduler": "cloudscheduler",
    "cloudbuild": "cloudbuild",
    "cloudfunctions2": "cloudfunctions",
    "iam_workload": "iam",
    "logging": "logging",
    "monitoring": "monitoring",
    "pubsub": "pubsub",
    "service_account": "iam",
}
"""Which API a kind of resource needs, by how its name begins."""
ORDER = ("project_service", "service_account.", "custom_role", "storage_bucket.", "_object", "topic", "subscription")
"""What is made before the rest."""
SPREAD_SECONDS = 240
"""How long a grant takes to be known everywhere: longer than the owner's root waits, as people have seen."""


@dataclass
class Terraform:
    """Both roots over one Google. `plans` by the root's state prefix; `states`: addresses that are there."""

    google: Google
    plans: Mapping[str, Plan]
    make_bucket: Callable[[str], None]
    states: dict[str, set[str]] = field(default_factory=lambda: {"owner": set(), "terraform": set()})
    applied: list[tuple[str, str]] = field(default_factory=list)

    def run(self, account: str, root: str, verb: str, words: list[str]) -> str:
        """What one command prints. Raises Refused."""
        if verb == "output":
            return self._outputs()
        if verb == "state":
            return "\n".join(sorted(self.states[root]))
        action = {"plan": self._plan, "apply": self._apply, "destroy": self._destroy}.get(verb)
        if action:
            self._require_place(words)
            action(account, root)
        return f"{verb}: done"

    def _require_place(self, words: list[str]) -> None:
        """Raises Refused for a plan that would take production down where it is and make it elsewhere."""
        said = f"-var=production_project={LIVE}" in words
        if said != (self.google.live is not None) and "plan.tfplan" not in words:
            raise Refused(409, "CONFLICT", f"production moves from one project to another: {' '.join(words)}")

    def _of(self, values: Mapping[str, Any]) -> Google:
        """The project that a resource is in."""
        live = self.google.live
        return live if live is not None and values.get("project") == LIVE else self.google

    def _plan(self, account: str, root: str) -> None:
        for address in self.states[root]:
            self._allowed(account, root, address, (".get", ".getIamPolicy"))

    def _apply(self, account: str, root: str) -> None:
        self._plan(account, root)
        plan = self.plans[root]
        new = sorted(set(plan) - self.states[root], key=lambda address: (_rank(address), address))
        for address in new:
            self._allowed(account, root, address, (".create", ".get", ".setIamPolicy", ".update"))
            self._make(address, plan[address])
            self.states[root].add(address)
        self.applied.append((root, account))

    def _destroy(self, account: str, root: str) -> None:
        if account != PERSON:
            raise Refused(403, "PERMISSION_DENIED", f"{account} may not destroy")
        kept = {address for address in self.states[root] if address == "google_storage_bucket.pipeline"}
        self.states[root] = kept
        if kept:
            raise Refused(409, "CONFLICT", "the bucket is not empty, and force_destroy is false")
        if root == "owner":
            self._hold({})

    def _allowed(self, account: str, root: str, address: str, verbs: tuple[str, ...]) -> None:
        """Raises Refused where the account lacks what the kind of resource asks for."""
        if account == PERSON or address.startswith("terraform_data") or ".terraform_data" in address:
            return
        kind = _kind(address)
        if kind not in NEEDS["terraform"]:
            raise Refused(403, "PERMISSION_DENIED", f"Permission denied: {account} may not read {address}")
        there = self._of(self.plans[root].get(address, {}))
        for _, _, permission, thing in spelled(address, "delivery", NEEDS["terraform"][kind]):
            if permission.endswith(verbs):
                there.require(account, permission, thing)

    def _make(self, address: str, values: Mapping[str, Any]) -> None:
        google, kind, there = self.google, _kind(address), self._of(values)
        if kind == "google_project_service":
            there.on.add(values["service"].partition(".")[0])
        self._require_api(kind, address, there)
        self._require_agent(address)
        if "_iam_member" in kind:
            google.granted_at[address] = google.clock
        if kind == "google_storage_bucket":
            self.make_bucket(values["name"])
        elif kind == "google_cloud_run_v2_service":
            there.services.create(values["name"], values["template"][0]["containers"][0]["image"])
        elif kind == "google_cloud_scheduler_job":
            google.jobs.add(values["name"])
        elif kind == "google_cloudfunctions2_function":
            self._build_function(address, values)
        elif "grants_have_spread" in address:
            google.clock += 180  # its provisioner's sleep
        if address.startswith("owner.google_project_iam_member.account"):
            self._hold(held(self.plans["terraform"], self.plans["owner"]))

    def _hold(self, grants: Mapping[Grant, set[str]]) -> None:
        """What is granted, in the eyes of every project."""
        for project in filter(None, (self.google, self.google.live)):
            project.held = grants

    def _require_api(self, kind: str, address: str, there: Google) -> None:
        needed = next((api for start, api in APIS.items() if kind.startswith(f"google_{start}")), None)
        if needed and needed not in there.on:
            problem = f"{address}: {needed} API has not been used in project {there.project}"
            raise Refused(403, "PERMISSION_DENIED", problem)

    def _require_agent(self, address: str) -> None:
        wanted = {"eventarc_agent": "eventarc", "storage_publishes": "storage", "pubsub_topic_iam_member": "pubsub"}
        for part, agent in wanted.items():
            if part in address and agent not in self.google.agents:
                raise Refused(400, "INVALID_ARGUMENT", f"{address}: Service account of {agent} does not exist.")
        if "production_pulls" in address and "run" not in self._of({"project": LIVE}).agents:
            raise Refused(400, "INVALID_ARGUMENT", f"{address}: Service account of run does not exist.")

    def _build_function(self, address: str, values: Mapping[str, Any]) -> None:
        google, name = self.google, values["name"]
        late = [grant for grant, since in google.granted_at.items() if google.clock - since < SPREAD_SECONDS]
        if any("reads_sources" in grant or "pushes" in grant or "eventarc_agent" in grant for grant in late):
            google.clock += 120
            raise Refused(400, "FAILED", f"{address}: Build failed: the service account may not read the sources")
        trigger = f"projects/{PROJECT}/locations/{REGION}/triggers/{name}-1"
        subscription = f"projects/{PROJECT}/subscriptions/eventarc-{REGION}-{name}-1-sub-1"
        google.functions[name] = {"name": name, "environment": "GEN_2", "state": "ACTIVE"}
        told = values["service_config"][0]["environment_variables"]
        google.functions[name]["serviceConfig"] = {"environmentVariables": told}
        if values.get("event_trigger"):
            google.functions[name]["eventTrigger"] = {"trigger": trigger}
            google.triggers[f"{name}-1"] = {
                "name": trigger,
                "transport": {"pubsub": {"subscription": subscription, "topic": "t"}},
            }
            google.subscriptions[subscription.rpartition("/")[2]] = {"name": subscription, "topic": "t"}

    def _outputs(self) -> str:
        stages = ("staging", "production")
        values = {
            "bucket": f"{PROJECT}-tabular",
            "repository": f"{REGION}-docker.pkg.dev/{PROJECT}/tabular",
            "job": f"projects/{PROJECT}/locations/{REGION}/jobs/tabular-train-weekly",
            "services": {stage: f"tabular-predict-{stage}" for stage in stages},
            "staging_url": "https://staging",
            "training": {"job": None, "seconds": 1800},
        }
        there = self.states["terraform"]
        return json.dumps({name: {"value": value} for name, value in values.items()} if there else {})


def _kind(address: str) -> str:
    found = re.search(r"(?:^|\.)((?:google|terraform)_\w+)\.", address)
    return found[1] if found else ""


def _rank(address: str) -> int:
    late = 100 if "grants_have_spread" in address else len(ORDER) + ("google_cloudfunctions2" in address)
    return next((rank for rank, part in enumerate(ORDER) if part in address), late)
