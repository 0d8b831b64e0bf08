"""Every permission that a step needs is in the roles granted, no role is there for nothing, and none can widen itself.

What a role holds and what a step needs is data: tests/infra/iam.toml, with its source and date.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.accounts import PEOPLE, Grant, Plan, grants
from tests.infra.fake_cloud import ROOT
from tests.infra.terraform import Workspace, of_type, owners_plan

IAM = tomllib.loads((Path(__file__).parent / "iam.toml").read_text(encoding="utf-8"))
NEEDS = IAM["needs"]
Need = tuple[str, str, str, str]
"""Step, account without `NAME-`, permission, and the thing that it is needed on."""
WIDENING = (
    *("resourcemanager.projects.setIamPolicy", "iam.roles.update", "iam.roles.create", "iam.serviceAccounts.create"),
    *("iam.serviceAccounts.setIamPolicy", "iam.serviceAccountKeys.create", "iam.serviceAccounts.getAccessToken"),
    *("cloudbuild.connections.create", "billing.budgets.update", "iam.workloadIdentityPools.update"),
)


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    promoter, caller = PEOPLE
    folder = tmp_path_factory.mktemp("delivery")
    settings = {"promoters": [promoter], "callers": [caller], "notification_email": "ml@example.com"}
    return Workspace(folder).get().plan(**settings)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("owner"))


def ready_made(role: str) -> set[str]:
    return {f"{kind}.{verb}" for kind, verbs in IAM["roles"][role].items() for verb in verbs.split()}


def held(delivery: Plan, owner: Plan) -> dict[Grant, set[str]]:
    """What each grant to an account of ours allows. Those on objects count for the state or the sources, whole."""
    custom = {
        f"projects/my-project/roles/{role['role_id']}": set(role["permissions"])
        for role in of_type(owner, "google_project_iam_custom_role").values()
    }
    found = {}
    for who, role, thing in grants(delivery) | grants(owner):
        if who.startswith("NAME-"):
            own = f"projects/my-project/roles/tabular_{role}"
            found[who, role, thing] = custom[own] if own in custom else ready_made(role)
    for module, thing, plan in (("delivery_state", "state", owner), ("delivery_sources", "NAME-sources", delivery)):
        for address, values in plan.items():
            if f"module.{module}.google_storage_bucket_iam_member" in address:
                found["NAME-delivery", values["role"].rpartition("/")[2], thing] = custom[values["role"]]
    return found


def spelled(step: str, account: str, needs: dict[str, str]) -> Iterator[Need]:
    for thing, permissions in needs.items():
        if thing == "as":
            yield from ((step, account, "iam.serviceAccounts.actAs", f"NAME-{name}") for name in permissions.split())
        else:
            yield from ((step, account, permission, thing) for permission in permissions.split())


def needed() -> list[Need]:
    steps = {**NEEDS["terraform"], **NEEDS["commands"]}
    found = [need for step, needs in steps.items() for need in spelled(step, "delivery", needs)]
    return found + [need for who, needs in NEEDS["accounts"].items() for need in spelled("it", who, needs)]


def lacking(grants_held: dict[Grant, set[str]]) -> list[Need]:
    """The needs that nothing granted covers."""

    def covered(need: Need) -> bool:
        _, account, permission, thing = need
        return any(
            who == f"NAME-{account}" and where in (thing, "project") and permission in permissions
            for (who, _, where), permissions in grants_held.items()
        )

    return [need for need in needed() if not covered(need)]


def test_every_permission_that_a_step_needs_is_in_the_roles_granted(delivery: Plan, owner: Plan) -> None:
    assert lacking(held(delivery, owner)) == []


def test_no_role_is_granted_that_nothing_needs(delivery: Plan, owner: Plan) -> None:
    everything = held(delivery, owner)
    for grant in everything:
        fewer = {other: permissions for other, permissions in everything.items() if other != grant}
        assert lacking(fewer), f"{grant}: no step needs it"


def test_nothing_that_the_delivery_holds_can_widen_what_anybody_may_do_on_the_project(
    delivery: Plan, owner: Plan
) -> None:
    for (who, role, _), permissions in held(delivery, owner).items():
        assert permissions.isdisjoint(WIDENING), f"{who} {role}"


def test_every_kind_of_resource_and_every_command_of_a_build_has_its_needs(delivery: Plan) -> None:
    kinds = {match[1] for address in delivery if (match := re.search(r"(?:^|\.)(google_\w+)\.", address))}
    files = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra" / "terraform").glob("*.tf"))
    kinds |= set(re.findall(r'^data "(google_\w+)"', files, re.MULTILINE))
    assert kinds - set(NEEDS["terraform"]) == set(), "say in iam.toml what applying it asks for"
    assert set(NEEDS["terraform"]) - kinds == set(), "nothing of the kind is made any more"
