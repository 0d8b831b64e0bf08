"""Every permission that a step needs is in the roles granted, no role is there for nothing, and none can widen itself.

What a role holds and what a step needs is data: tests/infra/iam.toml, with its source and date.
"""

import re

import pytest

from tests.infra.accounts import PEOPLE, Plan
from tests.infra.iam import NEEDS, held, lacking
from tests.infra.terraform import Workspace, owners_plan, with_the_job

WIDENING = (
    *("resourcemanager.projects.setIamPolicy", "iam.roles.update", "iam.roles.create", "iam.serviceAccounts.create"),
    *("iam.serviceAccounts.setIamPolicy", "iam.serviceAccountKeys.create", "iam.serviceAccounts.getAccessToken"),
    *("cloudbuild.connections.create", "billing.budgets.update", "iam.workloadIdentityPools.update"),
)


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    promoter, caller = PEOPLE
    folder = tmp_path_factory.mktemp("delivery")
    settings: dict[str, object] = {
        "promoters": [promoter],
        "callers": [caller],
        "notification_email": "ml@example.com",
        "slo": {},
    }
    return with_the_job(Workspace(folder).get(), **settings)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("owner"))


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
    assert kinds - set(NEEDS["terraform"]) == set(), "say in iam.toml what applying it asks for"
    assert set(NEEDS["terraform"]) - kinds == set(), "nothing of the kind is made any more"
