"""Production in a project of its own: what moves there and what does not, who may what, and nothing for whom it is not.

The default deployment is the same plan, to the last value, whether production's project is left out or named.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.delivery.production import KEY
from tests.infra.accounts import LIVE, PEOPLE, Plan, grants, table
from tests.infra.google_rules import CHECKS
from tests.infra.granted import grants as grants_on_objects
from tests.infra.iam import NEEDS, held
from tests.infra.terraform import Workspace, of_type, owners_plan

PROMOTER, CALLER = PEOPLE
SETTINGS: dict[str, Any] = {
    "promoters": [PROMOTER],
    "callers": [CALLER],
    "notification_email": "ml@example.com",
    "slo": {},
}
APART = {"production_project": LIVE}
NUMBERED = {**APART, "production_project_number": "210987654321"}
Changes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("delivery")).get()


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("owner"), "owner").get()


@pytest.fixture(scope="module")
def together(workspace: Workspace) -> Plan:
    return workspace.plan(**SETTINGS)


@pytest.fixture(scope="module")
def apart(workspace: Workspace) -> Plan:
    return workspace.plan(**SETTINGS, **NUMBERED)


@pytest.fixture(scope="module")
def owners_together(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("together"))


@pytest.fixture(scope="module")
def owners_apart(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("apart"), **APART)


def planned(workspace: Workspace, **variables: Any) -> Changes:
    """The planned actions, values and unknown values by address."""
    return {change["address"]: change["change"] for change in workspace.changes(**variables)}


def in_production(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resources that are made in production's project."""
    yield from ((address, values) for address, values in plan.items() if values.get("project") == LIVE)


def test_one_project_is_the_same_plan_whether_it_is_named_or_left_out(workspace: Workspace, owners: Workspace) -> None:
    same = {"production_project": "my-project"}
    assert planned(workspace, **SETTINGS) == planned(
        workspace, **SETTINGS, **same, production_project_number="123456789012"
    )
    assert planned(owners) == planned(owners, **same)


ALERTS = ("errors", "latency", "down")


def test_what_serves_production_moves_and_nothing_else_does(together: Plan, apart: Plan) -> None:
    moved = {address for address, _ in in_production(apart)}
    assert moved == {
        'module.predict["production"].google_cloud_run_v2_service.this',
        f'google_cloud_run_v2_service_iam_member.callers["production {CALLER}"]',
        'google_cloud_run_v2_service_iam_member.uptime_asks["production"]',
        *(f'module.production_alert["{name}"].google_monitoring_alert_policy.this' for name in ALERTS),
        *(f'google_monitoring_alert_policy.burn["{name}"]' for name in ("availability", "latency")),
        *(f'google_monitoring_slo.production["{name}"]' for name in ("availability", "latency")),
        'google_monitoring_service.production["production"]',
        'google_monitoring_uptime_check_config.production["production"]',
        "google_monitoring_notification_channel.production[0]",
        "google_monitoring_dashboard.production[0]",
    }
    new = set(apart) - set(together)
    assert new == {"google_monitoring_notification_channel.production[0]", "google_monitoring_dashboard.production[0]"}
    assert set(together) <= set(apart)
    other = {address for address in together if together[address] != apart[address]} - moved
    # Its account's e-mail, and nothing of what it may do.
    assert {address.partition('"].')[0] for address in other} == {'module.predict_access["production'}


def test_every_policy_is_where_the_metric_is_that_it_watches(apart: Plan) -> None:
    policies = of_type(apart, "google_monitoring_alert_policy")
    assert len(policies) > 10
    for address, policy in policies.items():
        of_production = "tabular-predict-production" in str(policy["conditions"]) or ".burn[" in address
        assert (policy.get("project") == LIVE) == (of_production or '_alert["down"]' in address), address


def test_production_s_account_may_in_the_bucket_what_it_always_might(together: Plan, apart: Plan) -> None:
    module = 'predict_access["production"]'
    found = grants_on_objects(apart, module)
    assert found == grants_on_objects(together, module)
    assert found == {"reader": ("production/", "watch/production/index.html"), "creator": ("live/production/",)}
    members = {v["member"] for a, v in apart.items() if a.startswith(f"module.{module}")}
    assert members == {f"serviceAccount:tabular-production@{LIVE}.iam.gserviceaccount.com"}


def test_google_s_agents_are_those_of_the_project_that_each_acts_in(apart: Plan) -> None:
    def member(number: str, agent: str) -> str:
        return f"serviceAccount:service-{number}@{agent}.iam.gserviceaccount.com"

    undelivered = apart["google_pubsub_topic_iam_member.undelivered"]
    assert undelivered["member"] == member("123456789012", "gcp-sa-pubsub")
    asks = apart['google_cloud_run_v2_service_iam_member.uptime_asks["production"]']
    assert asks["member"] == member("210987654321", "gcp-sa-monitoring-notification")


def test_the_table_of_the_readme_is_what_is_granted_beside_the_other(
    together: Plan, apart: Plan, owners_together: Plan, owners_apart: Plan
) -> None:
    one, two = grants(together) | grants(owners_together), grants(apart) | grants(owners_apart)
    assert one - two == set()
    assert two - one == table(2)


def test_the_owner_makes_production_s_account_apis_and_pull_and_the_triggers_carry_where_it_is(
    owners_together: Plan, owners_apart: Plan
) -> None:
    def services(plan: Plan) -> set[str]:
        made = of_type(plan, "google_project_service").values()
        return {entry["service"] for entry in made if entry.get("project") == LIVE}

    assert services(owners_together) == set()
    assert services(owners_apart) >= {"run.googleapis.com", "monitoring.googleapis.com", "storage.googleapis.com"}
    accounts = of_type(owners_apart, "google_service_account")
    assert [a for a, v in accounts.items() if v.get("project")] == [
        'owner.google_service_account.account["production"]'
    ]
    for trigger in of_type(owners_apart, "google_cloudbuild_trigger").values():
        assert trigger["substitutions"]["_PRODUCTION_PROJECT"] == LIVE
    for trigger in of_type(owners_together, "google_cloudbuild_trigger").values():
        assert "_PRODUCTION_PROJECT" not in trigger["substitutions"]
    acting = owners_apart['owner.google_service_account_iam_member.delivery_acts_as["production"]']
    assert acting["service_account_id"].startswith(f"projects/{LIVE}/serviceAccounts/tabular-production@{LIVE}.")


def needs_in_production(plan: Plan) -> set[str]:
    """The permissions that applying, asking and moving what is in production's project take there."""
    kinds = {match[1] for address, _ in in_production(plan) if (match := re.search(r"(google_\w+)\.", address))}
    steps = [NEEDS["terraform"][kind] for kind in kinds]
    asked = re.compile("gcloud run (services|revisions)")
    steps += [needs for command, needs in NEEDS["commands"].items() if asked.match(command)]
    return {permission for step in steps for permission in step["project"].split()} | {"run.routes.invoke"}


def test_the_delivery_holds_in_production_s_project_what_it_needs_there_and_no_role_for_nothing(
    apart: Plan, owners_apart: Plan
) -> None:
    there = {
        role: permissions
        for (who, role, where), permissions in held(apart, owners_apart).items()
        if (who, where) == ("NAME-delivery", "production's project")
    }
    assert needs_in_production(apart) - set().union(*there.values()) == set()
    for role, permissions in there.items():
        others = set().union(*(other for name, other in there.items() if name != role))
        assert (needs_in_production(apart) & permissions) - others, f"nothing needs {role}"


@pytest.mark.parametrize("rule", CHECKS)
def test_the_plan_keeps_google_s_rules(apart: Plan, owners_apart: Plan, rule: str) -> None:
    assert list(CHECKS[rule]({**owners_apart, **apart})) == []


def test_a_project_of_its_own_needs_its_number(workspace: Workspace) -> None:
    result = workspace.refused_or_planned(**APART)
    assert result.status == 1
    assert "production_project needs production_project_number" in result.text.replace("│ ", "")


def test_the_readme_names_the_key_that_is_kept() -> None:
    readme = (Path(__file__).resolve().parents[2] / "infra" / "README.md").read_text(encoding="utf-8")
    assert f"`{KEY}`" in readme
