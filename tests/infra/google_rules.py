"""The checks of infra/google_rules.toml, by id: the planned values in, one sentence out for each that breaks it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.terraform import of_type

Plan = dict[str, Any]
Check = Callable[[Plan], Iterator[str]]
OWN_LOG = re.compile(r'(logName = "[^"]+"|log_id\("[^"]+"\))')


def seconds(text: str | None) -> float:
    """Seconds of a duration such as `90s`; 0 for none."""
    return float(text.removesuffix("s")) if text else 0.0


def memory_mib(text: str) -> float:
    """MiB of `512Mi` or `4Gi`."""
    number, unit = re.fullmatch(r"([\d.]+)(Mi|Gi|M|G)", text).groups()  # type: ignore[union-attr]
    return float(number) * (1024 if unit.startswith("G") else 1)


def each(plan: Plan, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from of_type(plan, kind).items()


def misnamed(plan: Plan, kind: str, field: str, pattern: str) -> Iterator[str]:
    """The resources of a kind whose `field` does not match the whole `pattern`."""
    for address, entry in each(plan, kind):
        if not re.fullmatch(pattern, entry[field]):
            yield f"{address}: {entry[field]!r}"


def thresholds(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for address, policy in each(plan, "google_monitoring_alert_policy"):
        for condition in policy["conditions"]:
            yield from ((address, threshold) for threshold in condition.get("condition_threshold") or [])


def missing_data_needs_a_duration(plan: Plan) -> Iterator[str]:
    for address, threshold in thresholds(plan):
        if threshold.get("evaluation_missing_data") and seconds(threshold["duration"]) < 60:
            yield f"{address}: evaluation_missing_data with a duration of {threshold['duration']}"


def durations_of_alerts_are_whole_minutes(plan: Plan) -> Iterator[str]:
    for address, threshold in thresholds(plan):
        if seconds(threshold["duration"]) % 60:
            yield f"{address}: a duration of {threshold['duration']}"


def alignment_is_at_least_a_minute(plan: Plan) -> Iterator[str]:
    for address, threshold in thresholds(plan):
        for part in (*(threshold.get("aggregations") or []), *(threshold.get("denominator_aggregations") or [])):
            if not 60 <= seconds(part["alignment_period"]) <= 90_000:
                yield f"{address}: an alignment period of {part['alignment_period']}"


def a_log_condition_needs_a_rate_limit(plan: Plan) -> Iterator[str]:
    for address, policy in each(plan, "google_monitoring_alert_policy"):
        of_logs = any(condition.get("condition_matched_log") for condition in policy["conditions"])
        limited = any(strategy.get("notification_rate_limit") for strategy in policy.get("alert_strategy") or [])
        if of_logs != limited:
            yield f"{address}: a condition on logs is {of_logs}, notification_rate_limit is {limited}"


def auto_close_is_between_half_an_hour_and_a_week(plan: Plan) -> Iterator[str]:
    for address, policy in each(plan, "google_monitoring_alert_policy"):
        for strategy in policy.get("alert_strategy") or []:
            if strategy.get("auto_close") and not 1800 <= seconds(strategy["auto_close"]) <= 7 * 86_400:
                yield f"{address}: auto_close of {strategy['auto_close']}"


def a_position_of_zero_is_left_out(plan: Plan) -> Iterator[str]:
    for address, dashboard in each(plan, "google_monitoring_dashboard"):
        for tile in json.loads(dashboard["dashboard_json"])["mosaicLayout"]["tiles"]:
            if 0 in (tile.get("xPos"), tile.get("yPos")):
                yield f"{address}: a tile at {tile.get('xPos')}, {tile.get('yPos')}"


def own_lines_by_the_name_of_their_log(plan: Plan) -> Iterator[str]:
    for address, metric in each(plan, "google_logging_metric"):
        if 'resource.type = "cloud_run_' in metric["filter"] and not OWN_LOG.search(metric["filter"]):
            yield f"{address}: its filter names no log"


def memory_for_the_second_generation(plan: Plan) -> Iterator[str]:
    for address, service in each(plan, "google_cloud_run_v2_service"):
        for template in service["template"]:
            for container in template["containers"]:
                memory = container["resources"][0]["limits"]["memory"]
                if template.get("execution_environment") == "EXECUTION_ENVIRONMENT_GEN2" and memory_mib(memory) < 512:
                    yield f"{address}: {memory}"


def concurrency_above_one_needs_a_cpu(plan: Plan) -> Iterator[str]:
    for address, service in each(plan, "google_cloud_run_v2_service"):
        for template in service["template"]:
            cpu = float(template["containers"][0]["resources"][0]["limits"]["cpu"])
            if cpu < 1 < (template.get("max_instance_request_concurrency") or 80):
                yield f"{address}: {cpu} CPU for several requests at a time"
    for address, function in each(plan, "google_cloudfunctions2_function"):
        config = function["service_config"][0]
        if float(config["available_cpu"]) < 1 < (config.get("max_instance_request_concurrency") or 1):
            yield f"{address}: {config['available_cpu']} CPU for several requests at a time"


def a_function_s_cpu_fits_its_memory(plan: Plan) -> Iterator[str]:
    for address, function in each(plan, "google_cloudfunctions2_function"):
        config = function["service_config"][0]
        cpu, memory = float(config["available_cpu"]), memory_mib(config["available_memory"])
        least_memory = 4096 if cpu > 4 else 2048 if cpu > 2 else 512 if cpu >= 1 else 128
        least_cpu = 4 if memory > 8192 else 2 if memory > 4096 else 0
        if memory < least_memory or cpu < least_cpu:
            yield f"{address}: {cpu:g} CPU with {config['available_memory']}"


def tasks(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for address, job in each(plan, "google_cloud_run_v2_job"):
        yield from ((address, task) for execution in job["template"] for task in execution["template"])


def a_task_lasts_a_week_at_most(plan: Plan) -> Iterator[str]:
    for address, task in tasks(plan):
        if not 1 <= seconds(task["timeout"]) <= 7 * 86_400:
            yield f"{address}: a timeout of {task['timeout']}"


def a_task_is_tried_again_ten_times_at_most(plan: Plan) -> Iterator[str]:
    for address, task in tasks(plan):
        if not 0 <= task["max_retries"] <= 10:
            yield f"{address}: {task['max_retries']} retries"


def a_task_s_cpu_fits_its_memory(plan: Plan) -> Iterator[str]:
    for address, task in tasks(plan):
        limits = task["containers"][0]["resources"][0]["limits"]
        cpu, memory = float(limits["cpu"]), memory_mib(limits["memory"])
        least_memory = 4096 if cpu > 4 else 2048 if cpu > 2 else 512
        least_cpu = (
            8 if memory > 24_576 else 6 if memory > 16_384 else 4 if memory > 8192 else 2 if memory > 4096 else 1
        )
        if memory < least_memory or cpu < least_cpu or cpu > 8:
            yield f"{address}: {cpu:g} CPU with {limits['memory']}"


def google_s_apis_take_an_access_token(plan: Plan) -> Iterator[str]:
    for address, job in each(plan, "google_cloud_scheduler_job"):
        target = job["http_target"][0]
        of_google = ".googleapis.com/" in (target.get("uri") or "")
        if of_google != bool(target.get("oauth_token")) or of_google == bool(target.get("oidc_token")):
            yield f"{address}: the wrong kind of token for {target.get('uri')}"


def an_event_function_ends_within_nine_minutes(plan: Plan) -> Iterator[str]:
    for address, function in each(plan, "google_cloudfunctions2_function"):
        most = 540 if function.get("event_trigger") else 3600
        if function["service_config"][0]["timeout_seconds"] > most:
            yield f"{address}: {function['service_config'][0]['timeout_seconds']} s, at most {most}"


def a_trigger_is_where_its_bucket_is(plan: Plan) -> Iterator[str]:
    locations = {bucket["name"]: bucket["location"].lower() for _, bucket in each(plan, "google_storage_bucket")}
    for address, function in each(plan, "google_cloudfunctions2_function"):
        for trigger in function.get("event_trigger") or []:
            for found in trigger["event_filters"]:
                if found["attribute"] == "bucket" and locations.get(found["value"]) != trigger["trigger_region"]:
                    yield f"{address}: its trigger is in {trigger['trigger_region']}"


def a_job_waits_half_an_hour_at_most(plan: Plan) -> Iterator[str]:
    for address, job in each(plan, "google_cloud_scheduler_job"):
        if not 15 <= seconds(job["attempt_deadline"]) <= 1800:
            yield f"{address}: attempt_deadline of {job['attempt_deadline']}"


def a_job_tries_again_five_times_at_most(plan: Plan) -> Iterator[str]:
    for address, job in each(plan, "google_cloud_scheduler_job"):
        if not 0 <= job["retry_config"][0]["retry_count"] <= 5:
            yield f"{address}: retry_count of {job['retry_config'][0]['retry_count']}"


def a_topic_keeps_for_a_month_at_most(plan: Plan) -> Iterator[str]:
    for kind in ("google_pubsub_topic", "google_pubsub_subscription"):
        for address, entry in each(plan, kind):
            kept = entry.get("message_retention_duration")
            if kept and not 600 <= seconds(kept) <= 31 * 86_400:
                yield f"{address}: messages are kept for {kept}"


def an_account_s_name_is_short(plan: Plan) -> Iterator[str]:
    yield from misnamed(plan, "google_service_account", "account_id", r"[a-z][a-z0-9-]{4,28}[a-z0-9]")


def a_custom_role_s_name(plan: Plan) -> Iterator[str]:
    yield from misnamed(plan, "google_project_iam_custom_role", "role_id", r"[a-zA-Z0-9_.]{3,64}")


def a_condition_is_short(plan: Plan) -> Iterator[str]:
    for kind in ("google_project_iam_member", "google_storage_bucket_iam_member"):
        for address, grant in each(plan, kind):
            for condition in grant.get("condition") or []:
                operators = len(re.findall(r"\|\||&&|!", condition.get("expression") or ""))
                if len(condition["title"]) > 100 or operators > 12:
                    yield f"{address}: a title of {len(condition['title'])} characters, {operators} operators"


def no_condition_on_a_primitive_role(plan: Plan) -> Iterator[str]:
    for address, grant in each(plan, "google_project_iam_member"):
        if grant["role"] in ("roles/owner", "roles/editor", "roles/viewer"):
            yield f"{address}: {grant['role']}"


def a_bucket_s_name(plan: Plan) -> Iterator[str]:
    for address, bucket in each(plan, "google_storage_bucket"):
        name = bucket["name"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name) or "google" in name or ".." in name:
            yield f"{address}: {name!r}"


def soft_delete_is_a_week_to_ninety_days(plan: Plan) -> Iterator[str]:
    for address, bucket in each(plan, "google_storage_bucket"):
        for policy in bucket.get("soft_delete_policy") or []:
            kept = policy["retention_duration_seconds"]
            if kept and not 7 * 86_400 <= kept <= 90 * 86_400:
                yield f"{address}: soft delete of {kept} s"


def a_pool_s_provider_asks_for_its_repository(plan: Plan) -> Iterator[str]:
    for address, provider in each(plan, "google_iam_workload_identity_pool_provider"):
        if "assertion.repository" not in (provider.get("attribute_condition") or ""):
            yield f"{address}: no condition on the repository"


def a_budget_is_whole_units(plan: Plan) -> Iterator[str]:
    for address, budget in each(plan, "google_billing_budget"):
        units = budget["amount"][0]["specified_amount"][0]["units"]
        shares = [rule["threshold_percent"] for rule in budget["threshold_rules"]]
        if not re.fullmatch(r"\d+", units) or min(shares) <= 0:
            yield f"{address}: {units} units, told at {shares}"


def a_trigger_s_build_account_is_named_whole(plan: Plan) -> Iterator[str]:
    for address, trigger in each(plan, "google_cloudbuild_trigger"):
        account = trigger.get("service_account")  # None: known only once it is made, from the account's own id
        if account is not None and not re.fullmatch(r"projects/[^/]+/serviceAccounts/[^/]+", account):
            yield f"{address}: {account!r}"


def a_function_s_images_are_cleaned_up(plan: Plan) -> Iterator[str]:
    cleaned = [
        repository["repository_id"]
        for _, repository in each(plan, "google_artifact_registry_repository")
        if repository.get("cleanup_policies")
    ]
    for address, function in each(plan, "google_cloudfunctions2_function"):
        repository = function["build_config"][0].get("docker_repository", "unknown until it is made")
        if repository == "" or not cleaned:
            yield f"{address}: its images go to gcf-artifacts"


def builds_may_not_read_the_models(plan: Plan) -> Iterator[str]:
    broad = re.compile(r"roles/(storage\.|cloudbuild\.builds\.builder|editor|owner)")
    for address, grant in each(plan, "google_project_iam_member"):
        if ".build" in address and broad.match(grant["role"]) and not grant.get("condition"):
            yield f"{address}: {grant['role']} on the whole project"


def an_objective_s_period_and_goal(plan: Plan) -> Iterator[str]:
    for address, objective in each(plan, "google_monitoring_slo"):
        if not 1 <= objective["rolling_period_days"] <= 30 or not 0 < objective["goal"] <= 0.9999:
            yield f"{address}: {objective['goal']} over {objective['rolling_period_days']} days"


def an_uptime_check_asks_from_three_places(plan: Plan) -> Iterator[str]:
    for address, check in each(plan, "google_monitoring_uptime_check_config"):
        places, period = check["selected_regions"], seconds(check["period"])
        few = places and len({*places} & {"USA", "EUROPE", "SOUTH_AMERICA", "ASIA_PACIFIC"}) < 3
        if (
            (few and "USA" not in places)
            or period not in (60, 300, 600, 900)
            or not 1 <= seconds(check["timeout"]) <= 60
        ):
            yield f"{address}: from {places} every {check['period']}, for {check['timeout']}"


def a_burn_rate_s_window_is_an_hour_or_more(plan: Plan) -> Iterator[str]:
    for address, threshold in thresholds(plan):
        filter_text = threshold.get("filter") or ""  # unknown until the objective is made
        window = re.search(r'select_slo_burn_rate\("[^"]*", "([^"]*)"\)', filter_text)
        if window and not (re.fullmatch(r"\d+s", window[1]) and 3600 <= seconds(window[1]) <= 30 * 86_400):
            yield f"{address}: a window of {window[1]}"


def an_external_table_s_objects_have_one_asterisk(plan: Plan) -> Iterator[str]:
    for address, table in each(plan, "google_bigquery_table"):
        for external in table.get("external_data_configuration") or []:
            for uri in external["source_uris"]:
                if uri.count("*") > 1 or "*" in uri.split("/")[2] or "//" in uri.removeprefix("gs://"):
                    yield f"{address}: {uri}"


def a_dataset_s_name(plan: Plan) -> Iterator[str]:
    yield from misnamed(plan, "google_bigquery_dataset", "dataset_id", r"[A-Za-z0-9_]{1,1024}")


def a_service_runs_as_an_account_of_its_own_project(plan: Plan) -> Iterator[str]:
    for address, service in each(plan, "google_cloud_run_v2_service"):
        account = service["template"][0]["service_account"]
        project = service.get("project") or "my-project"  # the provider's own
        if not account.endswith(f"@{project}.iam.gserviceaccount.com"):
            yield f"{address}: in {project} as {account}"


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        missing_data_needs_a_duration,
        durations_of_alerts_are_whole_minutes,
        alignment_is_at_least_a_minute,
        a_log_condition_needs_a_rate_limit,
        auto_close_is_between_half_an_hour_and_a_week,
        a_position_of_zero_is_left_out,
        own_lines_by_the_name_of_their_log,
        memory_for_the_second_generation,
        concurrency_above_one_needs_a_cpu,
        a_function_s_cpu_fits_its_memory,
        a_task_lasts_a_week_at_most,
        a_task_is_tried_again_ten_times_at_most,
        a_task_s_cpu_fits_its_memory,
        google_s_apis_take_an_access_token,
        an_event_function_ends_within_nine_minutes,
        a_trigger_is_where_its_bucket_is,
        a_job_waits_half_an_hour_at_most,
        a_job_tries_again_five_times_at_most,
        a_topic_keeps_for_a_month_at_most,
        an_account_s_name_is_short,
        a_custom_role_s_name,
        a_condition_is_short,
        no_condition_on_a_primitive_role,
        a_bucket_s_name,
        soft_delete_is_a_week_to_ninety_days,
        a_pool_s_provider_asks_for_its_repository,
        a_budget_is_whole_units,
        a_trigger_s_build_account_is_named_whole,
        a_function_s_images_are_cleaned_up,
        builds_may_not_read_the_models,
        an_objective_s_period_and_goal,
        an_uptime_check_asks_from_three_places,
        a_burn_rate_s_window_is_an_hour_or_more,
        an_external_table_s_objects_have_one_asterisk,
        a_dataset_s_name,
        a_service_runs_as_an_account_of_its_own_project,
    )
}
