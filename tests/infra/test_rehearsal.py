"""The rehearsal passes, and the server that it rests on refuses what Google refuses."""

import tempfile
from pathlib import Path

import pytest

from tests.infra.rehearsal.__main__ import rehearse
from tests.infra.rehearsal.apart import Apart
from tests.infra.rehearsal.google import PERSON, PROJECT, Google
from tests.infra.rehearsal.refusals import Refused
from tests.infra.rehearsal.terraform import SPREAD_SECONDS, Terraform

DELIVERY = f"tabular-delivery@{PROJECT}.iam.gserviceaccount.com"
AGENT = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
POLICY = {"policy": {"bindings": [{"role": "roles/pubsub.subscriber", "members": [AGENT]}]}}
SUBSCRIPTION = f"/v1/projects/{PROJECT}/subscriptions/s"


@pytest.mark.timeout(1500)  # a minute and a half; on a busy machine every gcloud takes its time
def test_the_whole_life_of_a_deployment() -> None:
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:  # a provider's socket has a short name at most
        rows = rehearse(Path(folder))
    assert [(title, shown) for title, passed, _, shown in rows if not passed] == []
    assert len(rows) == 12


@pytest.mark.timeout(1500)
def test_production_in_a_project_of_its_own() -> None:
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        rows = rehearse(Path(folder), Apart)
    assert [(title, shown) for title, passed, _, shown in rows if not passed] == []
    assert len(rows) == 7


def ask(google: Google, verb: str, label: str, path: str, body: object = None, who: str = PERSON, **query: str) -> str:
    """What the server refuses a request with; "" where it answers."""
    try:
        google.answer(who, label, verb, path, query, body)
    except Refused as refused:
        return refused.message
    return ""


def test_a_request_is_held_against_the_description_of_its_api() -> None:
    google = Google(on={"pubsub", "run"}, agents={"pubsub"})
    assert ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", POLICY) == ""
    assert "no field 'polcy'" in ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", {"polcy": {}})
    assert "no parameter" in ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", POLICY, colour="red")
    assert "has no method" in ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setPolicy", POLICY)


def test_what_a_fresh_project_lacks_is_refused() -> None:
    google = Google()
    assert "has not been used" in ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", POLICY)
    google.on.add("pubsub")
    assert "does not exist" in ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", POLICY)
    google.agents.add("pubsub")
    assert ask(google, "POST", "pubsub", f"{SUBSCRIPTION}:setIamPolicy", POLICY) == ""


def test_an_account_may_do_what_it_was_granted_and_nothing_else() -> None:
    google = Google(on={"cloudbuild"}, held={("NAME-delivery", "x", "project"): {"cloudbuild.builds.list"}})
    builds = f"/v1/projects/{PROJECT}/locations/europe-west1/builds"
    assert ask(google, "GET", "cloudbuild", builds, who=DELIVERY) == ""
    assert "cloudbuild.builds.create" in ask(google, "POST", "cloudbuild", builds, {"steps": []}, DELIVERY)
    assert "denied" in ask(google, "GET", "cloudbuild", builds, who=f"tabular-checks@{PROJECT}.iam.gserviceaccount.com")


@pytest.mark.parametrize(
    ("address", "lacks"),
    [
        ("owner.google_project_iam_member.eventarc_agent", "eventarc does not exist"),
        ("google_pubsub_topic_iam_member.undelivered", "pubsub does not exist"),
        ("google_monitoring_alert_policy.job_stopped", "monitoring API has not been used"),
    ],
)
def test_terraform_meets_what_does_not_exist_yet(address: str, lacks: str) -> None:
    root = "owner" if address.startswith("owner") else "terraform"
    terraform = Terraform(Google(on={"pubsub"}), {root: {address: {"name": "x"}}}, print)
    with pytest.raises(Refused, match=lacks):
        terraform.run(PERSON, root, "apply", [])


def test_a_function_is_not_built_before_its_grants_have_spread() -> None:
    told = {"name": "tabular-train", "service_config": [{"environment_variables": {}}]}
    function = {"google_cloudfunctions2_function.train": told}
    google = Google(on={"cloudfunctions"}, granted_at={'owner.x.reads_sources["build"]': 0}, clock=SPREAD_SECONDS - 1)
    terraform = Terraform(google, {"terraform": function}, print)
    with pytest.raises(Refused, match="Build failed"):
        terraform.run(PERSON, "terraform", "apply", [])
    terraform.run(PERSON, "terraform", "apply", [])
    assert "tabular-train" in google.functions


def test_the_delivery_cannot_even_plan_what_is_the_owner_s() -> None:
    address = "owner.google_billing_budget.monthly[0]"
    terraform = Terraform(Google(), {"owner": {}}, print)
    terraform.states["owner"].add(address)
    with pytest.raises(Refused, match="may not read"):
        terraform.run(DELIVERY, "owner", "plan", [])
