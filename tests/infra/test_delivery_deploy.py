"""make deploy, plan and destroy: every stage fails once, says how to go on, and going on does nothing twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.cloud import dataflow_v1beta3 as flex
from google.protobuf import json_format

from infra.delivery.dead_letters import BY_EVENT
from tests.infra.fake_cloud import ROOT, FakeCloud
from tests.infra.terraform import INFRA
from tests.tools import require

PROJECT, REGION = "my-project", "europe-west1"
STATE = f"gs://{PROJECT}-tabular-tfstate"
BUCKET = f"{PROJECT}-tabular"
REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/tabular"
SERVICE = "tabular-predict-staging"
IMAGE = f"{REPOSITORY}/predict@sha256:{'b' * 64}"
PLACEHOLDER = "us-docker.pkg.dev/cloudrun/container/hello"


@pytest.fixture
def cloud(healthy: str, tmp_path: Path) -> FakeCloud:
    """A project in which nothing is deployed yet."""
    fake = FakeCloud(tmp_path / "cloud")
    service = {"image": PLACEHOLDER, "revisions": [PLACEHOLDER]}
    outputs = {
        "bucket": BUCKET,
        "repository": REPOSITORY,
        "job": f"projects/{PROJECT}/locations/{REGION}/jobs/tabular-train-weekly",
        "services": {"staging": SERVICE, "production": "tabular-predict-production"},
        "staging_url": healthy,
        "training": {"job": None, "seconds": 1800},
    }
    fake.change(
        on_apply={"outputs": outputs, "services": {SERVICE: service}, "buckets": [f"gs://{BUCKET}"]},
        on_job={f"gs://{BUCKET}": ["data/stud.csv", "data/dataset.toml", "staging/current.json"]},
        urls={IMAGE: healthy},
    )
    return fake


def call(fake: FakeCloud, command: str, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    where = (f"--project={PROJECT}", f"--region={REGION}")
    return subprocess.run(
        [sys.executable, "-m", f"infra.delivery.{command}", *where, *options],
        cwd=ROOT,
        env=fake.environment(),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def deploy(fake: FakeCloud, *options: str) -> subprocess.CompletedProcess[str]:
    return call(fake, "deploy", "--minutes=0.001", "--poll-seconds=0.01", "--retry-seconds=0", *options)


def test_a_first_deploy_goes_from_an_empty_project_to_a_tested_staging(cloud: FakeCloud) -> None:
    done = deploy(cloud)
    assert done.returncode == 0, done.stderr + done.stdout
    verbs = [" ".join(line.split()[:4]) for line in cloud.changes()]
    order = ["gcloud storage buckets create", "gcloud storage cp", "gcloud builds submit", "gcloud scheduler jobs run"]
    positions = [next(i for i, verb in enumerate(verbs) if verb.startswith(start)) for start in order]
    assert positions == sorted(positions)
    uploads = [line for line in cloud.changes() if line.startswith("gcloud storage cp")]
    assert [line.rpartition("/")[2] for line in uploads] == ["stud.csv", "dataset.toml"]  # the spec last
    assert cloud.state["services"][SERVICE]["image"] == IMAGE
    assert "does what it must" in done.stdout
    assert "make promote" in done.stdout


def test_the_trigger_s_subscription_gives_up_to_the_dead_letter_topic(cloud: FakeCloud) -> None:
    assert deploy(cloud).returncode == 0
    told = [line for line in cloud.calls if line.startswith("gcloud pubsub subscriptions")]
    assert len(told) == 6
    for name, bound, updated in (("validate", *told[:2]), ("batch", *told[2:4]), ("watch", *told[4:])):
        require_given_up(f"subscriptions/of-of-tabular-{name}", bound, updated)


def require_given_up(subscription: str, bound: str, updated: str) -> None:
    assert bound.startswith(f"gcloud pubsub subscriptions add-iam-policy-binding {subscription} ")
    assert "--member=serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" in bound
    assert updated.startswith(f"gcloud pubsub subscriptions update {subscription} ")
    assert f"--dead-letter-topic=projects/{PROJECT}/topics/tabular-undelivered" in updated


def test_a_second_deploy_changes_only_what_terraform_does(cloud: FakeCloud) -> None:
    assert deploy(cloud).returncode == 0
    before = len(cloud.changes())
    again = deploy(cloud)
    assert again.returncode == 0, again.stderr
    after = [line for line in cloud.changes()[before:] if " tags add " not in line]
    assert [" ".join(line.split()[:4]) for line in after if not line.startswith("terraform")] == [
        "gcloud storage buckets update",
        "gcloud services enable pubsub.googleapis.com",
        "gcloud beta services identity",
        "gcloud beta services identity",
        "gcloud beta services identity",
        *["gcloud pubsub subscriptions update"] * len(BY_EVENT),
    ]
    assert ["apply" in line for line in after if line.startswith("terraform")] == [True, True]
    assert "does what it must" in again.stdout  # staging is asked again


@pytest.mark.parametrize(
    ("fails", "stage"),
    [
        ("buckets create", "the bucket of Terraform's state"),
        ("terraform/owner init", "what only an owner may change"),
        ("infra/terraform init", "the infrastructure"),
        (" output ", "the infrastructure"),
        ("pubsub subscriptions update", "undeliverable events"),
        ("gcloud storage cp", "the dataset"),
        ("builds submit", "the image of the predict service"),
        ("run jobs describe", "the image of the training job"),
        ("environmentVariables.DATAFLOW_TEMPLATE", "the image of Dataflow's workers"),
        ("jobs run", "the first model"),
        ("services update ", "staging serves the image"),
        ("print-identity-token", "staging serves the image"),
    ],
)
def test_a_stage_that_fails_says_how_to_go_on_and_going_on_completes_it(
    cloud: FakeCloud, fails: str, stage: str
) -> None:
    cloud.change(fail=[fails])
    stopped = deploy(cloud)
    assert stopped.returncode == 1
    assert f", {stage}: " in stopped.stderr
    assert f"go on:    make deploy PROJECT={PROJECT} REGION={REGION} " in stopped.stderr
    assert "Traceback" not in stopped.stderr
    cloud.change(fail=[])
    again = deploy(cloud)
    assert again.returncode == 0, again.stderr
    assert cloud.state["services"][SERVICE]["image"] == IMAGE
    assert len([line for line in cloud.calls if "buckets create" in line]) == (2 if fails == "buckets create" else 1)


def test_a_first_model_that_does_not_come_is_explained(cloud: FakeCloud) -> None:
    cloud.change(on_job={})
    stopped = deploy(cloud)
    assert stopped.returncode == 1
    assert "no staging/current.json within 0.001 minutes" in stopped.stderr
    assert "gcloud logging read" in stopped.stderr


RUN = "20260105T070000Z-0123abcd"
REFUSED_CALL = {"status": "refused", "problems": ["column 'score' is missing", "row 7 is empty"]}
REFUSED_RUN = {"passed": False, "checks": [{"name": "beats_mean", "passed": False}, {"name": "x", "passed": True}]}


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"runs/1.json": REFUSED_CALL}, "training ended without a model (refused): column 'score' is missing; row 7"),
        (
            {"runs/1.json": {"status": "trained", "run_id": RUN}, f"candidates/{RUN}/decision.json": REFUSED_RUN},
            f"the gate refused the first model, {RUN}: beats_mean; the whole of it is in candidates/{RUN}/",
        ),
    ],
)
def test_a_first_model_that_will_never_come_is_told_at_once_with_the_reason(
    cloud: FakeCloud, left: dict[str, object], said: str
) -> None:
    """A refused table was waited for 45 minutes."""
    earlier = {"runs/0.json": {"status": "failed", "problems": ["an earlier call's"]}}
    contents = {f"gs://{BUCKET}/{key}": json.dumps(document) for key, document in {**earlier, **left}.items()}
    cloud.change(contents=contents, on_job={f"gs://{BUCKET}": [*earlier, *left]}, on_apply={
        **cloud.state["on_apply"], "buckets": []}, buckets={f"gs://{BUCKET}": [*earlier]})  # fmt: skip
    stopped = deploy(cloud, "--minutes=5")
    assert stopped.returncode == 1
    assert said in stopped.stderr
    assert "earlier" not in stopped.stderr


def test_a_training_job_gets_its_image_before_the_first_model_and_keeps_it(cloud: FakeCloud) -> None:
    cloud.change(jobs={"tabular-train": "us-docker.pkg.dev/cloudrun/container/job"})
    assert deploy(cloud).returncode == 0
    image = f"{REPOSITORY}/train@sha256:{'b' * 64}"
    assert cloud.state["jobs"] == {"tabular-train": image}
    lines = cloud.calls
    moved = next(place for place, line in enumerate(lines) if line.startswith("gcloud run jobs update tabular-train "))
    built = next(place for place, line in enumerate(lines) if "/build/training.zip " in line)
    first = next(place for place, line in enumerate(lines) if line.startswith("gcloud scheduler jobs run"))
    assert built < moved < first
    again = deploy(cloud)
    assert f"tabular-train runs {image} already" in again.stdout
    assert len([line for line in cloud.calls if "/build/training.zip " in line]) == 1


def test_dataflow_s_workers_get_their_image_and_the_template_names_it(cloud: FakeCloud) -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    address = f"gs://{BUCKET}-sources/flex/batch.json"
    applied = cloud.state["on_apply"]
    cloud.change(template=address, on_apply={**applied, "buckets": [*applied["buckets"], f"gs://{BUCKET}-sources"]})
    done = deploy(cloud)
    assert done.returncode == 0, done.stderr
    image = f"{REPOSITORY}/batch-flex@sha256:{'b' * 64}"
    told = json_format.Parse(cloud.state["contents"][address], flex.ContainerSpec.pb(flex.ContainerSpec()))
    assert (told.image, told.default_environment.sdk_container_image) == (image, image)
    assert told.default_environment.machine_type
    assert [parameter.name for parameter in told.metadata.parameters] == ["bucket", "folder"]
    again = deploy(cloud)
    assert f"{address} names the image of these sources already" in again.stdout
    assert len([line for line in cloud.calls if "/build/flex.zip " in line]) == 1
    assert len([line for line in cloud.calls if line.endswith(f" {address}") and " cp " in line]) == 1


def test_no_image_is_built_for_dataflow_where_no_file_goes_to_it(cloud: FakeCloud) -> None:
    assert "every file is answered by the function itself" in deploy(cloud).stdout
    assert [line for line in cloud.calls if "flex" in line] == []


def test_alerts_that_reach_nobody_are_told(cloud: FakeCloud) -> None:
    assert "alerts reach nobody: set notification_email" in deploy(cloud).stdout
    applied = cloud.state["on_apply"]
    cloud.change(on_apply={**applied, "outputs": {**applied["outputs"], "told": "ml@example.com"}})
    assert "alerts reach nobody" not in deploy(cloud).stdout


def test_everything_that_is_missing_is_said_at_once_and_nothing_is_changed(cloud: FakeCloud) -> None:
    cloud.change(
        versions={"gcloud": "400.0.0", "terraform": "1.5.7"}, fail=["application-default", "projects describe"]
    )
    stopped = deploy(cloud)
    assert stopped.returncode == 1
    assert "nothing was changed" in stopped.stderr
    for line in ("gcloud 450.0 or newer, found 400.0.0", "terraform 1.9 or newer, found 1.5.7"):
        assert line in stopped.stderr
    cloud.change(versions={"gcloud": "528.0.0", "terraform": "1.11.4"})
    stopped = deploy(cloud)
    assert "gcloud auth application-default login" in stopped.stderr
    assert f"project {PROJECT} does not exist" in stopped.stderr
    cloud.change(fail=[], account="")
    assert "gcloud auth login" in deploy(cloud).stderr
    assert cloud.changes() == []


def test_missing_tools_are_named_with_where_they_come_from(tmp_path: Path) -> None:
    fake = FakeCloud(tmp_path / "cloud", programs=())
    fake.bin.joinpath("git").symlink_to(require("git", source="Debian's git"))
    command = [sys.executable, "-m", "infra.delivery.deploy", f"--project={PROJECT}", f"--region={REGION}"]
    environment = {**os.environ, "PATH": str(fake.bin)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no gcloud here: install the Google Cloud CLI" in done.stderr
    assert "there is no terraform here: install Terraform 1.9" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "cannot read the dataset's spec"), ("target = 1", "not a dataset's spec"), ('source = "x.csv"', "no ")],
)
def test_a_dataset_that_cannot_be_uploaded_is_refused_before_anything_is_called(
    cloud: FakeCloud, tmp_path: Path, text: str | None, expected: str
) -> None:
    spec = tmp_path / "dataset.toml"
    if text is not None:
        spec.write_text(text)
    stopped = deploy(cloud, f"--dataset={spec}")
    assert stopped.returncode == 1
    assert expected in stopped.stderr
    assert cloud.calls == []


def test_a_first_plan_needs_no_state_and_leaves_nothing(cloud: FakeCloud) -> None:
    done = call(cloud, "plan")
    assert done.returncode == 0, done.stderr
    assert "a first deploy" in done.stdout
    assert not list(INFRA.rglob("first_plan_override.tf"))
    assert cloud.changes() == []
    cloud.change(fail=["terraform -chdir"])
    assert call(cloud, "plan").returncode == 1
    assert not list(INFRA.rglob("first_plan_override.tf"))


def test_a_plan_of_a_deployment_uses_its_state(cloud: FakeCloud) -> None:
    cloud.change(buckets={STATE: []})
    done = call(cloud, "plan")
    assert done.returncode == 0, done.stderr
    assert any("-backend-config=bucket=my-project-tabular-tfstate" in line for line in cloud.calls)


@pytest.mark.parametrize("typed", ["", "yes\n", "my-projec\n"])
def test_destroy_does_nothing_until_the_project_is_typed(cloud: FakeCloud, typed: str) -> None:
    cloud.change(buckets={STATE: []})
    done = call(cloud, "destroy", typed=typed)
    assert done.returncode == 1
    assert "not confirmed; nothing was changed" in done.stderr
    assert [line for line in cloud.calls if line.startswith("terraform") and "version" not in line] == []


def test_destroy_keeps_the_data_and_says_so(cloud: FakeCloud) -> None:
    kept = ["google_storage_bucket.pipeline"]
    cloud.change(
        buckets={STATE: []}, fail=["infra/terraform destroy"], left=kept
    )  # the bucket is not empty and protected
    done = call(cloud, "destroy", typed=f"{PROJECT}\n")
    assert done.returncode == 0, done.stderr
    assert f"the data stays in gs://{BUCKET}" in done.stdout
    assert not any("deletion_protection=false" in line for line in cloud.calls)
    assert "infra/terraform/owner destroy" in cloud.calls[-1]  # accounts and roles last: the rest acts by them


@pytest.mark.parametrize(("option", "stays"), [((), True), (("--data",), False)])
def test_destroy_lists_everything_that_it_leaves_before_it_asks(
    cloud: FakeCloud, option: tuple[str, ...], stays: bool
) -> None:
    cloud.change(buckets={STATE: []})
    said = call(cloud, "destroy", *option, typed="no\n").stdout
    for left in (STATE, "gcf-v2-sources", "soft deletion", "APIs", "agents", "custom roles"):
        assert left in said
    assert (f"gs://{BUCKET} with the data" in said) == stays


def test_destroy_names_what_it_could_not_take_down(cloud: FakeCloud) -> None:
    cloud.change(buckets={STATE: []}, fail=["destroy"], left=["google_cloud_scheduler_job.train"])
    done = call(cloud, "destroy", "--yes")
    assert done.returncode == 1
    assert "Still there: google_cloud_scheduler_job.train" in done.stderr


def test_destroy_takes_the_data_only_when_told(cloud: FakeCloud) -> None:
    cloud.change(buckets={STATE: []})
    done = call(cloud, "destroy", "--yes", "--data")
    assert done.returncode == 0, done.stderr
    assert "FOR GOOD" in done.stdout
    lines = [line for line in cloud.calls if "deletion_protection=false" in line]
    assert [" apply " in lines[0], " destroy " in lines[1]] == [True, True]
    assert not any("/owner" in line for line in lines)  # a variable that a root does not have is an error


@pytest.mark.parametrize("target", ["deploy", "plan", "destroy", "release"])
def test_make_says_what_it_needs(target: str) -> None:
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"make {target} PROJECT=my-project REGION=europe-west1" in done.stderr


def test_make_plan_reaches_the_command(cloud: FakeCloud) -> None:
    command = ["make", "plan", f"PROJECT={PROJECT}", "REGION=Europe", "NAME=other"]
    done = subprocess.run(command, cwd=ROOT, env=cloud.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a region such as europe-west1, found 'Europe'" in done.stderr


def test_gcloud_knows_every_command_that_is_called(cloud: FakeCloud, tmp_path: Path) -> None:
    """The real gcloud parses the command lines, all in one process: each start of it takes two seconds."""
    real = require("gcloud", source="the Google Cloud CLI")
    (ROOT / "build").mkdir(exist_ok=True)
    cloud.change(template=f"gs://{BUCKET}/flex/batch.json")
    deploy(cloud)
    shapes: dict[tuple[str, ...], str] = {}
    for line in cloud.calls:
        words = line.split()
        flags = tuple(word.split("=")[0] for word in words if word.startswith("--"))
        shapes.setdefault((*words[:4], *flags), line)
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "config"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    checked = [line for line in shapes.values() if line.startswith("gcloud") and "application-default" not in line]
    assert len(checked) >= 12
    wrong = "gcloud run services update-traffic x --to-newest"
    lines = tmp_path / "commands.json"
    lines.write_text(json.dumps([{"command_string": line} for line in [*checked, wrong]]))
    done = subprocess.run(
        [real, "meta", "lint-gcloud-commands", f"--commands-file={lines}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {entry["command_string"]: entry["error_message"] for entry in json.loads(done.stdout)}
    assert "unrecognized arguments: --to-newest" in found.pop(wrong)
    assert found == dict.fromkeys(checked)


def test_an_apply_that_fails_once_is_made_again(cloud: FakeCloud) -> None:
    """A grant of the same apply may not have reached the functions' builds yet (provider issue 20571)."""
    cloud.change(once=[" apply "])
    done = deploy(cloud)
    assert done.returncode == 0, done.stderr
    assert len([line for line in cloud.calls if " apply " in line]) == 3  # the owner's root twice, then the rest


@pytest.mark.parametrize("fails", ["objects describe", "buckets describe"])
def test_what_cannot_be_looked_at_is_not_taken_for_absent(cloud: FakeCloud, fails: str) -> None:
    """One passing error once uploaded the sample over a customer's dataset."""
    assert deploy(cloud).returncode == 0
    before = cloud.state["contents"]
    cloud.change(fail=[fails])
    stopped = deploy(cloud)
    assert (stopped.returncode, "made to fail" in stopped.stderr) == (1, True)
    assert cloud.state["contents"] == before
    assert len([line for line in cloud.calls if "buckets create" in line]) == 1


def test_a_dataset_that_came_meanwhile_is_not_overwritten(cloud: FakeCloud) -> None:
    mine = f"gs://{BUCKET}/data/stud.csv"
    cloud.change(on_apply={**cloud.state["on_apply"], "buckets": []})
    cloud.change(buckets={f"gs://{BUCKET}": ["data/stud.csv"]}, contents={mine: "somebody's own"})
    stopped = deploy(cloud)
    assert stopped.returncode == 1
    assert cloud.state["contents"][mine] == "somebody's own"


def test_a_region_in_which_the_project_may_not_build_is_refused_before_anything_is_made(cloud: FakeCloud) -> None:
    place = "europe-west3"
    quota = {
        "quotaId": "ConcurrentPublicPoolBuildsPerProjectPerRegion",
        "dimensionsInfos": [{"applicableLocations": [place], "details": {"value": "0"}}],
    }
    cloud.change(quotas=[quota])
    stopped = deploy(cloud, f"--region={place}")
    assert stopped.returncode == 1
    assert f"may not run builds in {place}" in stopped.stderr
    assert "europe-west1" in stopped.stderr
    assert cloud.changes() == []


def test_a_region_of_which_nothing_is_known_is_named(cloud: FakeCloud) -> None:
    done = deploy(cloud, "--region=europe-west3")
    assert "may be kept from building in europe-west3" in done.stdout


def test_the_agents_of_google_s_services_are_made_before_terraform_grants_them_anything(cloud: FakeCloud) -> None:
    """Waiting does not create them: the first grant to one was refused (provider issues 25294 and 14584)."""
    assert deploy(cloud).returncode == 0
    calls = cloud.calls
    applied = next(i for i, line in enumerate(calls) if " apply " in line)
    made = [line for line in calls[:applied] if "identity create" in line or "service-agent" in line]
    assert [line.partition("--service=")[2].split()[0] for line in made if "--service=" in line] == [
        "pubsub.googleapis.com",
        "eventarc.googleapis.com",
        "monitoring.googleapis.com",
    ]
    assert any(line.startswith("gcloud storage service-agent") for line in made)
