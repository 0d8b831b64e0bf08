"""Rules that only Google's servers know: the plan keeps each, and each finds the mistake that is planted for it."""

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infra import api_descriptions
from tests.infra.google_rules import CHECKS, Plan
from tests.infra.terraform import Workspace, of_type, owners_plan, with_the_job

ROOT = Path(__file__).resolve().parents[2]
RULES = {rule["id"]: rule for rule in tomllib.loads((ROOT / "infra" / "google_rules.toml").read_text())["rule"]}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The planned resources of both roots."""
    delivery = Workspace(tmp_path_factory.mktemp("rules")).get()
    planned = with_the_job(delivery, promoters=["user:ada@example.com"], notification_email="ml@example.com", slo={})
    return {**owners_plan(tmp_path_factory.mktemp("owner")), **planned}


def one(plan: Plan, kind: str, part: str = "") -> Any:
    return next(values for address, values in of_type(plan, kind).items() if part in address)


def threshold(plan: Plan, part: str = "") -> Any:
    policies = of_type(plan, "google_monitoring_alert_policy")
    return next(
        condition["condition_threshold"][0]
        for address, policy in policies.items()
        for condition in policy["conditions"]
        if part in address and condition.get("condition_threshold")
    )


def container(plan: Plan) -> Any:
    return one(plan, "google_cloud_run_v2_service")["template"][0]["containers"][0]


def task(plan: Plan) -> Any:
    return one(plan, "google_cloud_run_v2_job")["template"][0]["template"][0]


def task_limits(plan: Plan) -> Any:
    return task(plan)["containers"][0]["resources"][0]["limits"]


def config(plan: Plan, part: str) -> Any:
    return one(plan, "google_cloudfunctions2_function", part)["service_config"][0]


def tile_at_zero(plan: Plan) -> None:
    dashboard = one(plan, "google_monitoring_dashboard")
    drawn = json.loads(dashboard["dashboard_json"])
    drawn["mosaicLayout"]["tiles"][0]["xPos"] = 0
    dashboard["dashboard_json"] = json.dumps(drawn)


def without_its_log(plan: Plan) -> None:
    metric = one(plan, "google_logging_metric", "training-failed")
    metric["filter"] = metric["filter"].partition(" AND ")[2]


MISTAKES: list[tuple[str, Callable[[Plan], Any]]] = [
    (
        "an_external_table_s_objects_have_one_asterisk",
        lambda p: one(p, "google_bigquery_table", "documents")["external_data_configuration"][0].update(
            source_uris=["gs://b/live/*/*.json"]
        ),
    ),
    ("a_dataset_s_name", lambda p: one(p, "google_bigquery_dataset").update(dataset_id="my-table")),
    (
        "a_service_runs_as_an_account_of_its_own_project",
        lambda p: one(p, "google_cloud_run_v2_service", "production").update(project="my-project-live"),
    ),
    ("an_objective_s_period_and_goal", lambda p: one(p, "google_monitoring_slo").update(rolling_period_days=90)),
    ("an_objective_s_period_and_goal", lambda p: one(p, "google_monitoring_slo").update(goal=1.0)),
    (
        "an_uptime_check_asks_from_three_places",
        lambda p: one(p, "google_monitoring_uptime_check_config").update(selected_regions=["EUROPE"]),
    ),
    (
        "an_uptime_check_asks_from_three_places",
        lambda p: one(p, "google_monitoring_uptime_check_config").update(period="120s"),
    ),
    (
        "a_burn_rate_s_window_is_an_hour_or_more",
        lambda p: threshold(p, "policy.burn").update(filter='select_slo_burn_rate("slo", "60m")'),
    ),
    (
        "missing_data_needs_a_duration",
        lambda p: threshold(p, "log_alert").update(evaluation_missing_data="EVALUATION_MISSING_DATA_INACTIVE"),
    ),
    ("durations_of_alerts_are_whole_minutes", lambda p: threshold(p).update(duration="90s")),
    (
        "alignment_is_at_least_a_minute",
        lambda p: threshold(p, "production_alert")["aggregations"][0].update(alignment_period="30s"),
    ),
    (
        "a_log_condition_needs_a_rate_limit",
        lambda p: one(p, "google_monitoring_alert_policy", "job_stopped")["alert_strategy"][0].update(
            notification_rate_limit=[]
        ),
    ),
    (
        "auto_close_is_between_half_an_hour_and_a_week",
        lambda p: one(p, "google_monitoring_alert_policy", "job_stopped")["alert_strategy"][0].update(auto_close="60s"),
    ),
    ("a_position_of_zero_is_left_out", tile_at_zero),
    ("own_lines_by_the_name_of_their_log", without_its_log),
    ("memory_for_the_second_generation", lambda p: container(p)["resources"][0]["limits"].update(memory="256Mi")),
    ("concurrency_above_one_needs_a_cpu", lambda p: container(p)["resources"][0]["limits"].update(cpu="0.5")),
    (
        "a_function_s_cpu_fits_its_memory",
        lambda p: config(p, "train").update(available_cpu="8", available_memory="2Gi"),
    ),
    ("a_function_s_cpu_fits_its_memory", lambda p: config(p, "validate").update(available_memory="16Gi")),
    ("a_task_lasts_a_week_at_most", lambda p: task(p).update(timeout="700000s")),
    ("a_task_is_tried_again_ten_times_at_most", lambda p: task(p).update(max_retries=11)),
    ("a_task_s_cpu_fits_its_memory", lambda p: task_limits(p).update(cpu="2", memory="16Gi")),
    ("a_task_s_cpu_fits_its_memory", lambda p: task_limits(p).update(cpu="16", memory="32Gi")),
    (
        "google_s_apis_take_an_access_token",
        lambda p: one(p, "google_cloud_scheduler_job", "job.train")["http_target"][0].update(
            uri="https://run.googleapis.com/v2/projects/p/locations/r/jobs/j:run"
        ),
    ),
    ("an_event_function_ends_within_nine_minutes", lambda p: config(p, "validate").update(timeout_seconds=600)),
    ("an_event_function_ends_within_nine_minutes", lambda p: config(p, "train").update(timeout_seconds=3601)),
    (
        "a_trigger_is_where_its_bucket_is",
        lambda p: one(p, "google_storage_bucket", "pipeline").update(location="EUROPE-WEST4"),
    ),
    (
        "a_job_waits_half_an_hour_at_most",
        lambda p: one(p, "google_cloud_scheduler_job").update(attempt_deadline="3600s"),
    ),
    (
        "a_job_tries_again_five_times_at_most",
        lambda p: one(p, "google_cloud_scheduler_job")["retry_config"][0].update(retry_count=6),
    ),
    (
        "a_topic_keeps_for_a_month_at_most",
        lambda p: one(p, "google_pubsub_topic").update(message_retention_duration="3000000s"),
    ),
    ("an_account_s_name_is_short", lambda p: one(p, "google_service_account").update(account_id="a" * 31)),
    ("a_custom_role_s_name", lambda p: one(p, "google_project_iam_custom_role").update(role_id="object-reader")),
    (
        "a_condition_is_short",
        lambda p: one(p, "google_storage_bucket_iam_member", "objects")["condition"][0].update(title="x" * 101),
    ),
    (
        "a_condition_is_short",
        lambda p: one(p, "google_storage_bucket_iam_member", "objects")["condition"][0].update(
            expression=" || ".join(["true"] * 14)
        ),
    ),
    ("no_condition_on_a_primitive_role", lambda p: one(p, "google_project_iam_member").update(role="roles/editor")),
    ("a_bucket_s_name", lambda p: one(p, "google_storage_bucket").update(name="My_Bucket")),
    (
        "soft_delete_is_a_week_to_ninety_days",
        lambda p: one(p, "google_storage_bucket")["soft_delete_policy"][0].update(retention_duration_seconds=3600),
    ),
    (
        "a_pool_s_provider_asks_for_its_repository",
        lambda p: one(p, "google_iam_workload_identity_pool_provider").update(attribute_condition="true"),
    ),
    (
        "a_budget_is_whole_units",
        lambda p: one(p, "google_billing_budget")["amount"][0]["specified_amount"][0].update(units="12.5"),
    ),
    (
        "a_trigger_s_build_account_is_named_whole",
        lambda p: one(p, "google_cloudbuild_trigger").update(service_account="tabular-delivery@p.iam"),
    ),
    (
        "a_function_s_images_are_cleaned_up",
        lambda p: one(p, "google_cloudfunctions2_function")["build_config"][0].update(docker_repository=""),
    ),
    (
        "builds_may_not_read_the_models",
        lambda p: one(p, "google_project_iam_member", ".build").update(role="roles/cloudbuild.builds.builder"),
    ),
]


def test_every_rule_is_stated_checked_and_tried() -> None:
    assert set(RULES) == set(CHECKS) == {rule for rule, _ in MISTAKES}
    assert len(MISTAKES) >= 25
    for rule in RULES.values():
        assert rule["says"].endswith(".")
        assert rule["source"]


@pytest.mark.parametrize("rule", CHECKS)
def test_the_plan_keeps_the_rule(plan: Plan, rule: str) -> None:
    assert list(CHECKS[rule](plan)) == []
    for kind in RULES[rule]["binds"]:
        assert of_type(plan, kind), f"nothing planned is bound: {kind}"


@pytest.mark.parametrize(("rule", "plant"), MISTAKES, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(MISTAKES)])
def test_a_planted_mistake_is_found_by_its_rule(plan: Plan, rule: str, plant: Callable[[Plan], Any]) -> None:
    wrong = copy.deepcopy(plan)
    plant(wrong)
    assert list(CHECKS[rule](wrong))


@pytest.mark.parametrize("kind", api_descriptions.RESOURCES)
def test_the_api_s_own_description_has_nothing_against_what_is_planned(plan: Plan, kind: str) -> None:
    found = [
        field
        for address, values in of_type(plan, kind).items()
        for field in api_descriptions.fields(kind, values, address)
    ]
    assert len(found) >= 2, "the plan and the description have no names in common"
    assert [problem for field in found for problem in api_descriptions.problems(field)] == []


@pytest.mark.parametrize(
    ("kind", "plant", "said"),
    [
        (
            "google_monitoring_alert_policy",
            lambda p: threshold(p, "production_alert")["aggregations"][0].update(per_series_aligner="ALIGN_DELTAS"),
            "ALIGN_DELTAS",
        ),
        (
            "google_monitoring_alert_policy",
            lambda p: threshold(p, "production_alert").update(duration="5m"),
            "no duration",
        ),
        (
            "google_cloudfunctions2_function",
            lambda p: config(p, "validate").update(ingress_settings="INTERNAL"),
            "INTERNAL",
        ),
        (
            "google_cloudfunctions2_function",
            lambda p: one(p, "google_cloudfunctions2_function", "validate")["event_trigger"][0].update(
                retry_policy="RETRY"
            ),
            "RETRY",
        ),
        ("google_cloud_run_v2_service", lambda p: one(p, "google_cloud_run_v2_service").update(ingress="ALL"), "ALL"),
    ],
)
def test_a_value_that_the_api_does_not_know_is_found(
    plan: Plan, kind: str, plant: Callable[[Plan], Any], said: str
) -> None:
    wrong = copy.deepcopy(plan)
    plant(wrong)
    found = [
        problem
        for address, values in of_type(wrong, kind).items()
        for field in api_descriptions.fields(kind, values, address)
        for problem in api_descriptions.problems(field)
    ]
    assert any(said in problem for problem in found)


def test_the_table_is_where_the_readme_says() -> None:
    assert "google_rules.toml" in (ROOT / "infra" / "README.md").read_text()
