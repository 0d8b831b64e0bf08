"""Who may do what, as both roots plan it and as the second table of infra/README.md says it."""

import re
from pathlib import Path
from typing import Any

from tests.infra.terraform import ROOT

Plan = dict[str, Any]
Grant = tuple[str, str, str]
"""Identity as the table names it, role without `roles/`, and what it is granted on."""
PEOPLE = {"user:ada@example.com": "promoters", "group:school@example.com": "callers"}
AGENTS = {
    "eventarc_agent": "Eventarc's agent",
    "undelivered": "Pub/Sub's agent",
    "uptime_asks": "Monitoring's agent",
    "production_pulls": "Cloud Run's agent, of production's project",
    "storage_publishes": "Cloud Storage's agent",
}
"""By what is in the address: an agent's member holds its project's number, which is not known before an apply."""
LIVE = "my-project-live"
"""Production's project, where it is one of its own."""


def grants(plan: Plan) -> set[Grant]:
    """Every grant of a plan but those on objects, which the first table has."""
    return {
        (identity(address, values), role(values), place(address, values))
        for address, values in plan.items()
        if "_iam_member." in address and "_object_" not in values["role"]
    }


def identity(address: str, values: dict[str, Any]) -> str:
    if ".github[" in address:
        return "GitHub's workflows"
    member = values.get("member", "")
    account = re.fullmatch(rf"serviceAccount:tabular-([a-z]+)@(?:my-project|{LIVE})\.iam\.gserviceaccount\.com", member)
    if account:
        return f"NAME-{account[1]}"
    if member in PEOPLE:
        return PEOPLE[member]
    return next(agent for part, agent in AGENTS.items() if part in address)


def role(values: dict[str, Any]) -> str:
    return str(values["role"]).removeprefix("roles/").removeprefix("projects/my-project/roles/tabular_")


def place(address: str, values: dict[str, Any]) -> str:
    kind = re.search(r"google_(\w+)_iam_member", address)
    assert kind
    match kind[1]:
        case "project":
            if values["project"] == LIVE:
                return "production's project"
            return "the sources" if "the sources" in str(values.get("condition")) else "project"
        case "service_account":
            name = str(values["service_account_id"]).rpartition("/")[2].partition("@")[0]
        case "storage_bucket":
            name = values["bucket"].replace("my-project-", "")
        case "artifact_registry_repository":
            return "repository"
        case "bigquery_dataset":
            return "each of bigquery_datasets"
        case "pubsub_topic":
            return "NAME-alarms" if ".alarms" in address else "NAME-undelivered"
        case _:
            name = values["name"]
    return re.sub(r"^tabular", "NAME", name)


def table(number: int = 1) -> set[Grant]:
    """The first or second table of roles: cells of names in backticks; each identity has each role of its row on each
    thing of its row."""
    found: set[Grant] = set()
    who: list[str] = []
    text = (Path(ROOT) / "infra" / "README.md").read_text(encoding="utf-8")
    for line in text.split("| identity | role | on | why |")[number].partition("\n\n")[0].splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")[1:5]]
        who = re.findall(r"`([^`]+)`", cells[0]) or ([cells[0]] if cells[0] else who)
        roles, places = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:3])
        found |= {(name, one, thing) for name in who for one in roles for thing in places}
    return found
