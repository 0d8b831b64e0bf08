"""`PRODUCTION_PROJECT=`: said once, kept, found by every later command; another one is refused, unchanged."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.delivery.production import KEY
from infra.delivery.terraform import PRODUCTION_AGENTS
from tests.infra.fake_cloud import ROOT, FakeCloud

PROJECT, LIVE, REGION = "my-project", "my-project-live", "europe-west1"
STATE = f"gs://{PROJECT}-tabular-tfstate"
REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/tabular"
SERVICE = "tabular-predict-production"
COMMIT = "a" * 40
OWNERS_STATE = "owner/default.tfstate"


@pytest.fixture
def cloud(tmp_path: Path) -> FakeCloud:
    fake = FakeCloud(tmp_path / "cloud")
    fake.change(buckets={f"gs://{PROJECT}-tabular": []}, on_apply={"outputs": {"bucket": f"{PROJECT}-tabular"}})
    return fake


def call(fake: FakeCloud, command: str, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    where = (f"--project={PROJECT}", f"--region={REGION}")
    return subprocess.run(
        [sys.executable, "-m", f"infra.delivery.{command}", *where, *options],
        cwd=ROOT, env=fake.environment(), input=typed, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip


def deploy(fake: FakeCloud, *options: str) -> subprocess.CompletedProcess[str]:
    """Deploy the infrastructure only: which image serves does not matter here."""
    fake.change(fail=[*fake.state["fail"], "gcloud functions describe"])
    return call(fake, "deploy", "--retry-seconds=0", *options)


def keep(fake: FakeCloud, project: str) -> None:
    fake.change(buckets={**fake.state["buckets"], STATE: [KEY]}, contents={f"{STATE}/{KEY}": project})


def of_terraform(fake: FakeCloud, verb: str) -> list[str]:
    return [line for line in fake.calls if line.startswith("terraform") and f" {verb} " in line]


def test_the_first_deploy_keeps_where_production_is_and_tells_both_roots(cloud: FakeCloud) -> None:
    done = deploy(cloud, f"--production-project={LIVE}")
    assert "stage 7, undeliverable events" in done.stderr, done.stderr
    assert cloud.state["contents"][f"{STATE}/{KEY}"] == LIVE
    owner, delivery = of_terraform(cloud, "apply")
    assert f"-var=production_project={LIVE}" in owner and "production_project_number" not in owner
    assert f"-var=production_project={LIVE} -var=production_project_number=123456789012" in delivery
    made = [line for line in cloud.calls if "identity create" in line and f"--project={LIVE}" in line]
    assert [line.partition("--service=")[2].partition(".")[0] for line in made] == list(PRODUCTION_AGENTS)
    assert f"go on:    make deploy PROJECT={PROJECT} REGION={REGION} PRODUCTION_PROJECT={LIVE} " in done.stderr


def test_a_later_deploy_a_plan_and_a_destroy_find_it_without_being_told(cloud: FakeCloud) -> None:
    keep(cloud, LIVE)
    deploy(cloud)
    assert call(cloud, "plan").returncode == 0
    assert call(cloud, "destroy", typed=f"{PROJECT}\n").returncode == 0
    for verb, times in (("apply", 2), ("plan", 2), ("destroy", 2)):
        said = of_terraform(cloud, verb)
        assert [f"-var=production_project={LIVE}" in line for line in said] == [True] * times, verb
    assert not any(f" {STATE}/{KEY}" in line for line in cloud.changes()), "it is kept once"


@pytest.mark.parametrize("command", ["deploy", "plan", "destroy", "release"])
@pytest.mark.parametrize(
    ("kept", "asked", "serves"), [(LIVE, PROJECT, LIVE), (LIVE, "other-project", LIVE), (None, LIVE, PROJECT)]
)
def test_another_project_than_the_one_that_serves_is_refused_and_nothing_changes(
    cloud: FakeCloud, command: str, kept: str | None, asked: str, serves: str
) -> None:
    """Terraform would take production down where it is, and make an empty one elsewhere."""
    if kept:
        keep(cloud, kept)
    else:  # deployed before, by somebody who said nothing of production
        cloud.change(buckets={STATE: [OWNERS_STATE]})
    cloud.change(images={f"{REPOSITORY}/predict:tested-{COMMIT}": "sha256:" + "1" * 64})
    more = (f"--repository={REPOSITORY}", f"--commit={COMMIT}") if command == "release" else ()
    done = call(cloud, command, f"--production-project={asked}", *more, typed=f"{PROJECT}\n")
    assert done.returncode == 1
    assert f"is in project {serves}, and PRODUCTION_PROJECT={asked} names another one" in done.stderr
    assert cloud.changes() == []


def test_a_deployment_in_one_project_says_nothing_of_another(cloud: FakeCloud) -> None:
    done = deploy(cloud)
    assert "PRODUCTION_PROJECT" not in done.stdout + done.stderr
    assert not any("production_project" in line or KEY in line for line in cloud.changes())


def test_a_project_that_cannot_be_seen_is_told_before_anything_is_made(cloud: FakeCloud) -> None:
    cloud.change(fail=[f"projects describe {LIVE}"])
    done = deploy(cloud, f"--production-project={LIVE}")
    assert f"project {LIVE} does not exist, or this account may not see it" in done.stderr
    assert cloud.changes() == []


def test_a_release_moves_the_service_in_production_s_project(cloud: FakeCloud) -> None:
    keep(cloud, LIVE)
    old = f"{REPOSITORY}/predict@sha256:{'0' * 64}"
    cloud.change(
        services={SERVICE: {"image": old, "revisions": [old]}},
        images={f"{REPOSITORY}/predict:tested-{COMMIT}": "sha256:" + "1" * 64},
    )
    call(cloud, "release", f"--repository={REPOSITORY}", f"--commit={COMMIT}")
    asked = [line for line in cloud.calls if line.startswith("gcloud run")]
    assert any(f"services update {SERVICE}" in line for line in asked)
    assert [f"--project={LIVE}" in line for line in asked] == [True] * len(asked)
