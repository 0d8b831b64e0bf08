"""infra/terraform/*.tf under the real terraform with the provider's true schema: formatted, valid, and what holds."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from functions.batch.dataflow import DataflowSettings
from functions.batch.settings import BatchSettings
from tests.infra.provider.build_schema import used
from tests.infra.terraform import HERE, INFRA, ON_DATAFLOW, ROOT, SOURCE, Workspace, of_type, owners_plan
from tests.tools import require

PRIMITIVE = {"roles/owner", "roles/editor", "roles/viewer"}
PUBLIC = {"allUsers", "allAuthenticatedUsers"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("terraform")).get()


@pytest.fixture(scope="module")
def plan(workspace: Workspace) -> dict[str, Any]:
    return workspace.plan(
        promoters=["user:ada@example.com"], callers=["group:school@example.com"], notification_email="ml@example.com"
    )


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return owners_plan(tmp_path_factory.mktemp("owner"))


def test_the_files_are_formatted() -> None:
    terraform = require("terraform", source=SOURCE)
    files = [*INFRA.rglob("*.tf"), *HERE.glob("*.tftest.hcl")]
    done = subprocess.run([terraform, "fmt", "-check", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run 'terraform fmt -recursive infra/terraform': {done.stdout}{done.stderr}"


def test_the_schema_holds_every_type_that_is_used_and_no_other() -> None:
    schema = json.loads((HERE / "provider" / "schema.json").read_text())
    assert {kind: sorted(schema[kind]) for kind in ("resource", "data")} == used()


def test_the_files_are_valid(workspace: Workspace) -> None:
    result = workspace.run("validate", "-no-color")
    assert result.status == 0, result.text


def test_the_expectations_hold(workspace: Workspace) -> None:
    folder = workspace.infra / "tests"
    folder.mkdir()
    shutil.copy(HERE / "expectations.tftest.hcl", folder)
    result = workspace.run(
        "test", "-no-color", "-var=project=my-project", "-var=region=europe-west1", "-var=project_number=1234567"
    )
    assert result.status == 0, result.text
    assert "0 failed" in result.text


def test_nobody_has_a_primitive_role_and_nothing_is_public(plan: dict[str, Any], owners: dict[str, Any]) -> None:
    bindings = [values for address, values in {**plan, **owners}.items() if "_iam_member." in address]
    assert len(bindings) > 40
    for binding in bindings:
        assert binding.get("role") not in PRIMITIVE, binding
        assert binding.get("member") not in PUBLIC, binding


def test_every_grant_on_objects_is_conditional_except_for_names(plan: dict[str, Any]) -> None:
    grants = of_type(plan, "google_storage_bucket_iam_member")
    assert len(grants) > 10
    for address, grant in grants.items():
        conditional = bool(grant["condition"])
        assert conditional == (".objects[" in address), f"{address}: only listing names may be unconditional"
        for condition in grant["condition"]:
            assert f"projects/_/buckets/{grant['bucket']}/objects/" in condition["expression"]
    unconditional = {grant["role"].rpartition("/")[2] for grant in grants.values() if not grant["condition"]}
    assert unconditional == {"tabular_object_lister", "tabular_bucket_keeper"}  # neither reads or writes an object


def test_no_rule_deletes_a_live_file_of_a_stage(plan: dict[str, Any]) -> None:
    rules = plan["google_storage_bucket.pipeline"]["lifecycle_rule"]
    deleting = [rule["condition"][0] for rule in rules if rule["action"][0]["type"] == "Delete"]
    live = [condition for condition in deleting if condition["with_state"] != "ARCHIVED"]
    prefixes = [prefix for condition in live for prefix in condition["matches_prefix"] or ["everything"]]
    # None of a stage: its oldest file may be the one that serves.
    assert sorted(prefixes) == ["batch/", "candidates/", "live/", "locks/", "runs/"]
    assert [c["days_since_noncurrent_time"] for c in deleting if c["with_state"] == "ARCHIVED"] == [30]


def test_those_who_may_promote_may_write_the_markers_and_nothing_else(plan: dict[str, Any]) -> None:
    grants = {address: values for address, values in plan.items() if address.startswith("module.promoter_access")}
    for role in ("creator", "remover"):
        (grant,) = [values for address, values in grants.items() if f'["{role}"]' in address]
        prefixes = re.findall(r"/objects/([^\"]*)", grant["condition"][0]["expression"])
        assert prefixes == ["promote/production.json", "promote/production.challenger.json"]


def test_the_predict_services_are_probed_and_boosted(plan: dict[str, Any]) -> None:
    services = of_type(plan, "google_cloud_run_v2_service")
    assert sorted(values["name"] for values in services.values()) == [
        "tabular-predict-production",
        "tabular-predict-staging",
    ]
    for values in services.values():
        (container,) = values["template"][0]["containers"]
        assert container["startup_probe"][0]["http_get"][0]["path"] == "/ready"
        assert container["liveness_probe"][0]["http_get"][0]["path"] == "/health"
        assert container["resources"][0]["startup_cpu_boost"] is True
        assert container["image"] == "us-docker.pkg.dev/cloudrun/container/hello"


def test_every_alert_says_what_to_do_and_tells_somebody(plan: dict[str, Any]) -> None:
    alerts = of_type(plan, "google_monitoring_alert_policy")
    assert len(alerts) >= 9
    for address, alert in alerts.items():
        assert len(alert["documentation"][0]["content"]) > 80, address
        assert "When an alert comes" in alert["documentation"][0]["content"], address


def test_promises_are_off_unless_asked_for(workspace: Workspace, plan: dict[str, Any]) -> None:
    kinds = ("google_monitoring_slo", "google_monitoring_service", "google_monitoring_uptime_check_config")
    assert [of_type(plan, kind) for kind in kinds] == [{}, {}, {}]
    asked = workspace.plan(slo={"latency_ms": 200}, notification_email="ml@example.com")
    goals = {entry["slo_id"]: entry["goal"] for entry in of_type(asked, "google_monitoring_slo").values()}
    assert goals == {"tabular-availability": 0.995, "tabular-latency": 0.95}
    cut = asked['google_monitoring_slo.production["latency"]']["request_based_sli"][0]["distribution_cut"][0]
    assert cut["range"][0]["max"] == 200
    burns = [asked[f'google_monitoring_alert_policy.burn["{kind}"]'] for kind in ("availability", "latency")]
    for policy in burns:
        rates = [condition["condition_threshold"][0]["threshold_value"] for condition in policy["conditions"]]
        assert rates == [14.4, 6]
    more = len(of_type(asked, "google_monitoring_alert_policy")) - len(of_type(plan, "google_monitoring_alert_policy"))
    assert more == 3  # five conditions, which the README prices


def test_the_alerts_that_are_priced_are_those_that_are_planned(workspace: Workspace, plan: dict[str, Any]) -> None:
    def references(planned: dict[str, Any]) -> int:
        policies = of_type(planned, "google_monitoring_alert_policy").values()
        thresholds = [t for policy in policies for c in policy["conditions"] for t in c["condition_threshold"]]
        return sum(1 + bool(threshold["denominator_filter"]) for threshold in thresholds)

    readme = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    priced = [int(number) for number in re.findall(r"(\d+) (?:more )?metric references?", readme)]
    always = references(plan)
    with_slo, with_job = workspace.plan(slo={}), workspace.plan(train_as="job")
    assert priced == [always, references(with_job) - always, references(with_slo) - always]


def test_new_code_is_a_new_object_and_unchanged_code_is_the_same(workspace: Workspace, plan: dict[str, Any]) -> None:
    def names(planned: dict[str, Any]) -> list[str]:
        return sorted(values["name"] for values in of_type(planned, "google_storage_bucket_object").values())

    before = names(plan)
    assert names(workspace.plan()) == before
    bundle = workspace.infra.parents[1] / "build" / "train.zip"
    kept = bundle.read_text()
    bundle.write_text("other code")
    after = names(workspace.plan())
    bundle.write_text(kept)
    assert [name for name in before if name.startswith("validate/")] == [n for n in after if n.startswith("validate/")]
    assert before != after


def test_the_largest_batches_run_on_dataflow_only_where_they_are_asked_for(
    workspace: Workspace, plan: dict[str, Any], tmp_path: Path
) -> None:
    asked = workspace.plan(**ON_DATAFLOW)
    service = next(values for address, values in asked.items() if address.startswith("module.batch.google_cloudf"))
    given = service["service_config"][0]["environment_variables"]
    for reader in ("batch", "dataflow"):
        grant = asked[f'module.flex_access["{reader}"].google_storage_bucket_iam_member.objects["reader"]']
        [prefix] = re.findall(r"projects/_/buckets/([^\"]*)", grant["condition"][0]["expression"])
        assert given["DATAFLOW_TEMPLATE"].startswith(f"gs://{prefix.replace('/objects/', '/')}")
    settings = BatchSettings.from_env(given)
    assert settings.engine_rows == 10**8
    assert settings.dataflow == DataflowSettings(
        "my-project", "europe-west1", given["DATAFLOW_TEMPLATE"], given["DATAFLOW_ACCOUNT"], 10
    )
    owned = owners_plan(tmp_path)
    working = owned["owner.google_project_iam_member.dataflow_works[0]"]
    assert working["member"] == f"serviceAccount:{given['DATAFLOW_ACCOUNT']}"
    assert working["condition"][0]["expression"] == 'resource.type != "storage.googleapis.com/Object"'
    assert "dataflow" not in str({address: values for address, values in plan.items() if "dashboard" not in address})


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"bucket_location": "EU"}, "bucket_location must equal region"),
        ({"train_budget_seconds": 1790}, "train_budget_seconds must leave 120 s"),
        ({"train_budget_seconds": 3000}, 'For a longer run set train_as = "job"'),
        ({"train_as": "job", "train_budget_seconds": 6000}, "leave a fifth of train_job_timeout_seconds"),
        ({"train_as": "vm"}, 'train_as must be "function" or "job"'),
        ({"train_job_timeout_seconds": 600000}, "train_job_timeout_seconds must be from 600 to 108000"),
        ({"train_as": "job", "train_cpu": 2, "train_memory_gib": 16}, "at most 4 GiB per processor"),
        ({"batch_engine_rows": 1000}, "batch_engine_rows must be 0, or a whole number from 1000000"),
        ({"validate_timeout_seconds": 600}, "validate_timeout_seconds must be from 60 to 540"),
        ({"train_schedule": "weekly"}, "train_schedule must be a cron"),
        ({"public": True}, "public = true needs public_reason"),
        ({"promoters": ["allUsers"]}, "promoters must be IAM members"),
        ({"callers": ["allUsers"]}, "callers must be IAM members"),
        ({"allowed_origins": ["https://example.org/page"]}, "allowed_origins must be origins"),
        ({"region": "europe-west1-b"}, "region must be a region's name"),
        ({"slo": {"availability": 1}}, "slo's availability and fast_share must be from 0.5 to 0.9999"),
        ({"slo": {"latency_ms": 5}}, "slo's latency_ms must be from 10 to 60000"),
        ({"dataset": "candidates/x.toml"}, "dataset must be a key below data/"),
    ],
)
def test_an_impossible_wish_is_refused_with_a_sentence(
    workspace: Workspace, variables: dict[str, Any], sentence: str
) -> None:
    result = workspace.refused_or_planned(**variables)
    assert result.status == 1
    assert sentence in result.text.replace("│ ", "")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"monthly_budget": 20}, "monthly_budget must be 0, or at least 1 together with billing_account"),
        ({"github_repository": "name"}, "github_repository must be owner/name"),
        ({"bigquery_datasets": ["sales"]}, "bigquery_datasets must be project.dataset each"),
        ({"search": {"hours": 48}}, "search's hours must be a whole number from 1 to 24"),
        ({"repository_connection": "main"}, "repository_connection must be projects/P"),
        ({"region": "europe-west1-b"}, "region must be a region's name"),
        ({"project": "My Project"}, "project must be a project id"),
    ],
)
def test_an_impossible_wish_of_an_owner_is_refused_with_a_sentence(
    tmp_path: Path, variables: dict[str, Any], sentence: str
) -> None:
    result = Workspace(tmp_path, "owner").get().refused_or_planned(**variables)
    assert (result.status, sentence in result.text.replace("│ ", "")) == (1, True), result.text


def test_every_variable_and_output_is_described_and_every_variable_typed() -> None:
    for path in sorted(INFRA.rglob("*.tf")):
        for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', path.read_text(), re.M | re.S):
            assert "description" in body, f"{path.name}: {kind} {name} has no description"
            assert kind == "output" or re.search(r"^  type +=", body, re.M), f"{path.name}: {name} has no type"


ALERT = "google_monitoring_alert_policy"
MOVED = {
    **{f"google_cloudfunctions2_function.{name}": f"module.{name}" for name in ("validate", "batch", "watch")},
    "google_cloud_run_v2_service_iam_member.events_call_validate": "module.validate",
    "google_cloud_run_v2_service_iam_member.events_call_batch": "module.batch",
    'google_cloud_run_v2_service_iam_member.call_watch["events"]': "module.watch",
    'google_cloud_run_v2_service_iam_member.call_watch["scheduler"]': "google_cloud_run_v2_service_iam_member",
    **{f'google_monitoring_slo.{name}["production"]': "google_monitoring_slo" for name in ("availability", "latency")},
    **{f"{ALERT}.{name}": f'module.alert["{name}"]' for name in ("platform", "undelivered")},
    **{f"{ALERT}.{name}": f'module.production_alert["{name}"]' for name in ("errors", "latency")},
    f'{ALERT}.down["production"]': 'module.production_alert["down"]',
    f"{ALERT}.training_job[0]": 'module.alert["training-job"]',
    f'module.log_alert["gate-failed"].{ALERT}.this': 'module.log_alert["gate-failed"].module.alert',
}
"""Where what was deployed stood before it was a module's, or one of several, and where it is now."""


def in_state(addresses: Iterable[str]) -> list[dict[str, Any]]:
    """Resources as Terraform's state file holds them (version 4 of its format), the instances of one together."""
    found: dict[str, dict[str, Any]] = {}
    for address in addresses:
        module, kind, name, key = re.fullmatch(r"(?:(module\..+)\.)?(\w+)\.(\w+)(?:\[(.+)\])?", address).groups()  # type: ignore[union-attr]
        resource = found.setdefault(
            address.removesuffix(f"[{key}]"),
            {
                **({"module": module} if module else {}),
                **({"each": "list" if key.isdigit() else "map"} if key else {}),
                "mode": "managed",
                "type": kind,
                "name": name,
                "instances": [],
                "provider": 'provider["registry.terraform.io/hashicorp/google"]',
            },
        )
        place = {"index_key": json.loads(key)} if key else {}
        resource["instances"].append({"schema_version": 0, "attributes": {"id": "x", "name": "x"}, **place})
    return list(found.values())


def test_what_was_deployed_is_moved_and_not_made_anew(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path).get()
    state = {
        "version": 4,
        "terraform_version": "1.5.0",
        "serial": 1,
        "lineage": "x",
        "outputs": {},
        "resources": in_state(MOVED),
    }
    (workspace.infra / "terraform.tfstate").write_text(json.dumps(state))
    planned = workspace.changes("-refresh=false", slo={}, train_as="job")
    changes = [change for change in planned if "previous_address" in change]
    assert {change["previous_address"] for change in changes} == {*MOVED}
    for change in changes:
        assert change["address"].startswith(MOVED[change["previous_address"]])
        assert change["change"]["actions"] == ["update"]


def wrong_argument(workspace: Workspace) -> str:
    workspace.change("schedule.tf", "attempt_deadline", "attempt_dead_line")
    return workspace.run("validate", "-no-color").text


def public_bucket(workspace: Workspace) -> str:
    workspace.change("storage.tf", '"enforced"', '"inherited"')
    return workspace.run("test", "-no-color", "-filter=tests/expectations.tftest.hcl").text


def missing_retry(workspace: Workspace) -> str:
    workspace.change("modules/event_function/main.tf", '    retry_policy          = "RETRY_POLICY_RETRY"\n', "")
    return workspace.run("test", "-no-color", "-filter=tests/expectations.tftest.hcl").text


def timeout_of_600(workspace: Workspace) -> str:
    return workspace.refused_or_planned(validate_timeout_seconds=600).text


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (wrong_argument, 'An argument named "attempt_dead_line" is not expected here'),
        (public_bucket, "both buckets must have uniform access and enforced public access prevention"),
        (missing_retry, "events must be tried again"),
        (timeout_of_600, "the platform ends an event function after 540 s"),
    ],
)
def test_a_planted_mistake_is_caught(tmp_path: Path, mistake: Any, said: str) -> None:
    workspace = Workspace(tmp_path)
    (workspace.infra / "tests").mkdir()
    shutil.copy(HERE / "expectations.tftest.hcl", workspace.infra / "tests")
    assert said in mistake(workspace.get()).replace("│ ", "")
