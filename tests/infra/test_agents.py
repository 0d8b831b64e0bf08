"""What Google's own agents are called: a wrong address is refused at an apply, or is nobody's and grants nothing.

The addresses are those of modules/project/service-agents.yaml in GoogleCloudPlatform/cloud-foundation-fabric,
and monitoring's of https://cloud.google.com/monitoring/support/notification-options#pubsub.
"""

import re
import shutil
from pathlib import Path

from infra.delivery.terraform import AGENTS, PRODUCTION_AGENTS
from tests.infra.terraform import HERE, INFRA, Workspace

DOMAINS = {
    "gcp-sa-eventarc": "eventarc",
    "gcp-sa-monitoring-notification": "monitoring",
    "gcp-sa-pubsub": "pubsub",
    "serverless-robot-prod": "run",
}
"""Behind `service-NUMBER@`, with the API that the agent acts for."""
PRODUCTION = {"serverless-robot-prod", "gcp-sa-monitoring-notification"}


def agents(*files: Path) -> set[str]:
    """The domains of the agents that these files name, each by a project's number."""
    found = set()
    for file in files:
        for number, domain in re.findall(r"service-([^@\"]+)@([a-z-]+)\.iam\.gserviceaccount\.com", file.read_text()):
            assert "number" in number, f"{file.name}: {number}"
            found.add(domain)
    return found


def test_every_agent_that_is_granted_something_has_a_known_address_and_is_made_before() -> None:
    """`make deploy` makes them: turning an API on does not (provider issues 25294 and 14584)."""
    terraform = agents(*INFRA.rglob("*.tf"))
    assert terraform | agents(HERE.parents[1] / "infra" / "delivery" / "dead_letters.py") == set(DOMAINS)
    assert {DOMAINS[domain] for domain in terraform} <= {*AGENTS, *PRODUCTION_AGENTS}
    assert {DOMAINS[domain] for domain in PRODUCTION} == set(PRODUCTION_AGENTS)


def test_the_owner_s_grants_reach_the_agents_of_the_right_project(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "owner").get()
    folder = workspace.infra / "tests"
    folder.mkdir()
    shutil.copy(HERE / "agents.tftest.hcl", folder)
    result = workspace.run("test", "-no-color")
    assert result.status == 0, result.text
    assert "1 passed, 0 failed" in result.text
