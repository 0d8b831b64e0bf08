"""Who may do what: the second table of infra/README.md is what both roots grant, and the delivery may widen nothing."""

import re

import pytest

from tests.infra.accounts import PEOPLE, Plan, grants, table
from tests.infra.terraform import Workspace, of_type, owners_plan

LEGACY = {"legacyBucketOwner", "legacyBucketReader", "legacyObjectOwner", "legacyObjectReader"}


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    promoter, caller = PEOPLE
    return Workspace(tmp_path_factory.mktemp("delivery")).get().plan(promoters=[promoter], callers=[caller], slo={})


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("owner"))


def test_the_table_of_the_readme_is_what_is_granted(delivery: Plan, owner: Plan) -> None:
    found = grants(delivery) | grants(owner)
    assert sorted(found - table()) == [], "granted, but not in the table"
    assert sorted(table() - found) == [], "in the table, but not granted"


def test_the_delivery_s_root_changes_nothing_that_only_an_owner_may_touch(delivery: Plan, owner: Plan) -> None:
    """With one root for both, every plan of a build got 403 from the pool and the budget, and it could grant itself
    anything on the project."""
    kinds = (
        *("project_iam_member", "project_iam_custom_role", "project_service", "service_account", "billing_budget"),
        *("service_account_iam_member", "cloudbuild_trigger", "iam_workload_identity_pool"),
        *("iam_workload_identity_pool_provider", "artifact_registry_repository"),
    )
    for kind in kinds:
        assert list(of_type(delivery, f"google_{kind}")) == [], f"google_{kind} belongs in infra/terraform/owner/"
        assert of_type(owner, f"google_{kind}"), f"nothing of the kind google_{kind} is made at all"


def test_the_delivery_may_change_no_grant_of_the_project_no_account_and_no_role(owner: Plan) -> None:
    held = {role for who, role, _ in grants(owner) if who == "NAME-delivery"}
    widening = ("resourcemanager.projectIamAdmin", "iam.roleAdmin", "iam.serviceAccountAdmin", "iam.securityAdmin")
    assert held.isdisjoint({*widening, "owner", "editor", "storage.admin", "serviceusage.serviceUsageAdmin"})


def test_the_account_of_the_checks_may_write_its_log_and_read_what_it_checks(delivery: Plan, owner: Plan) -> None:
    found = {grant[1:] for grant in grants(delivery) | grants(owner) if grant[0] == "NAME-checks"}
    assert found == {("logging.logWriter", "project"), ("storage.objectViewer", "the sources")}
    reading = owner['owner.google_project_iam_member.reads_sources["checks"]']
    assert reading["condition"][0]["expression"] == (
        'resource.name.startsWith("projects/_/buckets/my-project-tabular-sources/objects/checks/")'
    )


def test_no_bucket_keeps_what_the_project_s_viewers_and_editors_get_by_themselves(delivery: Plan, owner: Plan) -> None:
    bindings = of_type({**delivery, **owner}, "google_storage_bucket_iam_binding")
    buckets = {"my-project-tabular", "my-project-tabular-sources", "my-project-tabular-tfstate"}
    assert {(entry["bucket"], entry["role"].partition("storage.")[2]) for entry in bindings.values()} == {
        (bucket, legacy) for bucket in buckets for legacy in LEGACY
    }
    assert {member for entry in bindings.values() for member in entry["members"]} == {"projectOwner:my-project"}


def test_every_account_that_is_named_is_made(delivery: Plan, owner: Plan) -> None:
    made = {account["account_id"] for account in of_type(owner, "google_service_account").values()}
    named = set(re.findall(r"(tabular-[a-z]+)@my-project\.iam\.gserviceaccount\.com", str({**delivery, **owner})))
    assert named == made
