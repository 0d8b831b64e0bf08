"""Who may do what, as both roots plan it and as the second table of infra/README.md says it."""

import re
from pathlib import Path
from typing import Any

from tests.infra.terraform import ROOT

Plan = dict[str, Any]
Grant = tuple[str, str, str]
"""Identity as the table names it, role without `roles/`, and what it is granted on."""
PEOPLE = {"user:ada@example.com": "promoters", "group:school@example.com": "callers"}
AGENTS = {"gcp-sa-eventarc": "Eventarc's agent", "gcp-sa-pubsub": "Pub/Sub's agent", "": "Cloud Storage's agent"}


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
    member = values.get("member", "")  # an agent's holds the project's number, which is not known before an apply
    account = re.fullmatch(r"serviceAccount:tabular-([a-z]+)@my-project\.iam\.gserviceaccount\.com", member)
    if account:
        return f"NAME-{account[1]}"
    agent = "gcp-sa-eventarc" if "eventarc_agent" in address else "gcp-sa-pubsub" if "undelivered" in address else ""
    return PEOPLE.get(member, AGENTS[agent])


def role(values: dict[str, Any]) -> str:
    return str(values["role"]).removeprefix("roles/").removeprefix("projects/my-project/roles/tabular_")


def place(address: str, values: dict[str, Any]) -> str:
    kind = re.search(r"google_(\w+)_iam_member", address)
    assert kind
    match kind[1]:
        case "project":
            return "the sources" if "the sources" in str(values.get("condition")) else "project"
        case "service_account":
            name = str(values["service_account_id"]).rpartition("/")[2].partition("@")[0]
        case "storage_bucket":
            name = values["bucket"].replace("my-project-", "")
        case "artifact_registry_repository":
            return "repository"
        case "pubsub_topic":
            return "NAME-alarms" if ".alarms" in address else "NAME-undelivered"
        case _:
            name = values["name"]
    return re.sub(r"^tabular", "NAME", name)


def table() -> set[Grant]:
    """The table: cells of names in backticks; each identity has each role of its row on each thing of its row."""
    found: set[Grant] = set()
    who: list[str] = []
    text = (Path(ROOT) / "infra" / "README.md").read_text(encoding="utf-8")
    for line in text.partition("| identity | role | on | why |")[2].partition("\n\n")[0].splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")[1:5]]
        who = re.findall(r"`([^`]+)`", cells[0]) or ([cells[0]] if cells[0] else who)
        roles, places = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:3])
        found |= {(name, one, thing) for name in who for one in roles for thing in places}
    return found
