"""What Google's APIs say of themselves: the discovery documents that google-api-python-client carries as files.

The planned values of a resource are laid over the API's own schema of it, name by name (`event_trigger` over
`eventTrigger`), and what the schema knows is compared: enumerations, the form of durations, kinds of values.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.infra.terraform import TOOLS

DOCUMENTS = TOOLS.parent / "lib"
RESOURCES = {
    "google_artifact_registry_repository": ("artifactregistry.v1", "Repository"),
    "google_bigquery_dataset": ("bigquery.v2", "Dataset"),
    "google_bigquery_table": ("bigquery.v2", "Table"),
    "google_billing_budget": ("billingbudgets.v1", "GoogleCloudBillingBudgetsV1Budget"),
    "google_cloud_run_v2_job": ("run.v2", "GoogleCloudRunV2Job"),
    "google_cloud_run_v2_service": ("run.v2", "GoogleCloudRunV2Service"),
    "google_cloud_scheduler_job": ("cloudscheduler.v1", "Job"),
    "google_cloudbuild_trigger": ("cloudbuild.v1", "BuildTrigger"),
    "google_cloudfunctions2_function": ("cloudfunctions.v2", "Function"),
    "google_compute_firewall": ("compute.v1", "Firewall"),
    "google_compute_instance_template": ("compute.v1", "InstanceProperties"),
    "google_compute_network": ("compute.v1", "Network"),
    "google_compute_subnetwork": ("compute.v1", "Subnetwork"),
    "google_iam_workload_identity_pool_provider": ("iam.v1", "WorkloadIdentityPoolProvider"),
    "google_logging_metric": ("logging.v2", "LogMetric"),
    "google_monitoring_alert_policy": ("monitoring.v3", "AlertPolicy"),
    "google_monitoring_notification_channel": ("monitoring.v3", "NotificationChannel"),
    "google_monitoring_service": ("monitoring.v3", "Service"),
    "google_monitoring_slo": ("monitoring.v3", "ServiceLevelObjective"),
    "google_monitoring_uptime_check_config": ("monitoring.v3", "UptimeCheckConfig"),
    "google_project_iam_custom_role": ("iam.v1", "Role"),
    "google_pubsub_subscription": ("pubsub.v1", "Subscription"),
    "google_pubsub_topic": ("pubsub.v1", "Topic"),
    "google_storage_bucket": ("storage.v1", "Bucket"),
}
DURATION = re.compile(r"\d+(\.\d{1,9})?s")


@dataclass(frozen=True)
class Field:
    """One planned value with what the API says of it."""

    path: str
    value: Any
    described: dict[str, Any]


@cache
def document(name: str) -> dict[str, Any]:
    """The description of one API, such as `run.v2`."""
    (path,) = DOCUMENTS.glob(f"*/site-packages/googleapiclient/discovery_cache/documents/{name}.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fields(kind: str, values: dict[str, Any], address: str) -> Iterator[Field]:
    """The planned values that the API's own schema of the resource knows by name."""
    api, schema = RESOURCES[kind]
    yield from _below(document(api)["schemas"], schema, values, address)


def problems(field: Field) -> Iterator[str]:
    """What the description says against the value."""
    described, value = field.described, field.value
    allowed = described.get("enum")
    if allowed and isinstance(value, str) and value and value not in allowed:
        yield f"{field.path}: {value!r} is none of {', '.join(allowed)}"
    if (
        described.get("format") == "google-duration"
        and isinstance(value, str)
        and value
        and not DURATION.fullmatch(value)
    ):
        yield f"{field.path}: {value!r} is no duration such as 60s"
    if described.get("type") == "integer" and isinstance(value, float) and not value.is_integer():
        yield f"{field.path}: {value} is no whole number"
    if described.get("readOnly") and value is not None:
        yield f"{field.path}: only the API sets it"


def _below(schemas: dict[str, Any], schema: str, values: dict[str, Any], path: str) -> Iterator[Field]:
    properties = schemas[schema].get("properties", {})
    for name, value in values.items():
        described = properties.get(_camel(name))
        if described is None or value is None:
            continue
        inner = described.get("$ref") or described.get("items", {}).get("$ref")
        if inner is None:
            items = described.get("items", {}) if described.get("type") == "array" else described
            listed = value if isinstance(value, list) else [value]
            yield from (Field(f"{path}.{name}", one, items) for one in listed if not isinstance(one, dict | list))
        else:
            for position, block in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(block, dict):
                    yield from _below(schemas, inner, block, f"{path}.{name}[{position}]")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
