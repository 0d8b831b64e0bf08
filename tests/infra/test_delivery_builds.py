"""The build files: by the schema, with ids and substitutions that fit together, and steps that exist here."""

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.delivery import builds, dataflow, newest, release, staging, training, variables
from infra.delivery.errors import Stopped
from infra.delivery.terraform import ROOTS, Root
from tests.infra.fake_cloud import ROOT, FakeCloud

DELIVERIES = ("cloudbuild.yaml", "infra/delivery/cloudbuild-release.yaml")
"""What a trigger starts, under the delivery's account."""
SENT = ("infra/delivery/cloudbuild-checks.yaml", "infra/delivery/cloudbuild-image.yaml")
"""What these and `make deploy` start, each under an account that may do nothing else."""
BUILDS = (*DELIVERIES, *SENT)
BUILTIN = {"PROJECT_ID", "PROJECT_NUMBER", "COMMIT_SHA", "TAG_NAME", "TRIGGER_NAME"}
SET_BY_TRIGGER = {"_REGION", "_NAME", "_REPOSITORY", "_STATE_BUCKET", "_PRODUCTION_PROJECT", "_PRODUCTION_NUMBER"}


def build(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


def used(value: Any) -> set[str]:
    return set(re.findall(r"\$\{?([A-Z_]+)\}?", yaml.safe_dump(value, width=10_000)))


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_file_keeps_the_schema(name: str) -> None:
    command = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.cloudbuild", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", BUILDS)
def test_ids_are_unique_and_every_wait_is_for_an_earlier_step(name: str) -> None:
    seen: list[str] = []
    for step in build(name)["steps"]:
        assert step["id"] not in seen
        assert set(step.get("waitFor", [])) <= set(seen), step["id"]
        assert "waitFor" in step or not seen, step["id"]
        seen.append(step["id"])


@pytest.mark.parametrize("name", DELIVERIES)
def test_every_substitution_is_declared_and_used(name: str) -> None:
    found = build(name)
    declared = set(found["substitutions"])
    assert declared <= SET_BY_TRIGGER
    assert used(found["steps"]) - BUILTIN == declared
    assert used(found["substitutions"]) <= BUILTIN


@pytest.mark.parametrize("name", BUILDS)
def test_every_image_is_pinned_by_a_version(name: str) -> None:
    for step in build(name)["steps"]:
        assert re.search(r":\d+\.\d+\.\d+(-[a-z]+)?$", step["name"]), step["name"]


def test_production_is_reached_only_after_everything_before_it() -> None:
    steps = {step["id"]: step for step in build("cloudbuild.yaml")["steps"]}

    def before(step: str) -> set[str]:
        direct = set(steps[step].get("waitFor", []))
        return direct.union(*(before(earlier) for earlier in direct)) if direct else direct

    assert before("staging") == set(steps) - {"staging"}
    assert {"checks", "image"} <= before("apply")


def test_code_of_others_never_runs_under_the_account_that_deploys() -> None:
    """Lint and tests once ran as the delivery, which could administer IAM: any test's package could have."""
    for name in DELIVERIES:
        ours = {"gcr.io/google.com/cloudsdktool/google-cloud-cli", "hashicorp/terraform"}
        for step in build(name)["steps"]:
            runs_ours = step["args"][:2] == ["-m", "infra.delivery.bundles"]  # the standard library and our sources
            assert step["name"].partition(":")[0] in ours or runs_ours, step["id"]
            assert step.get("entrypoint") not in ("make", "docker", "bash", "sh", "pip"), step["id"]


def test_each_build_that_is_sent_runs_as_its_own_account(kept: FakeCloud) -> None:
    where = ("my-project", "europe-west1", "tabular")
    builds.check(*where)
    builds.build_image(*where, "europe-west1-docker.pkg.dev/my-project/tabular/predict:x")
    for call, account, config in zip(kept.calls, ("checks", "build"), SENT, strict=True):
        assert f"--service-account=projects/my-project/serviceAccounts/tabular-{account}@" in call
        assert f"--gcs-source-staging-dir=gs://my-project-tabular-sources/{account} " in call
        assert f"/{config} " in call
        assert build(config)["options"]["logging"] == "CLOUD_LOGGING_ONLY"  # neither may write to a bucket


@pytest.mark.parametrize("name", BUILDS)
def test_a_step_calls_a_target_or_a_module_that_exists_with_options_that_it_takes(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for step in build(name)["steps"]:
        match step.get("entrypoint"), step["args"]:
            case "make", [target]:
                assert target in targets
            case "python" | "python3", ["-m", module, *options]:
                assert callable(importlib.import_module(module).main)
                if "bundles" not in module:
                    taken = help_of(module)
                    assert [option for option in options if option.split("=")[0] not in taken] == []
            case "docker", ["build", *_]:
                assert name in SENT
            case None, ["-chdir=infra/terraform", verb, *_]:
                assert (step["name"].split(":")[0], verb) in {
                    ("hashicorp/terraform", known) for known in ("init", "plan", "apply")
                }
            case other:
                pytest.fail(f"{step['id']}: {other}")


def help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_modules_that_a_build_calls_need_nothing_but_the_standard_library() -> None:
    """Their images bring Python and gcloud, and none of our packages."""
    modules = [module.__name__ for module in (builds, staging, newest, release, training, dataflow, variables)]
    probe = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"import infra.delivery.bundles, tests.smoke.__main__, {', '.join(modules)}\n"
        "print([name for name, module in sys.modules.items()\n"
        "       if 'site-packages' in (getattr(module, '__file__', None) or '')])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_image_is_built_from_the_bundle_and_named_by_the_commit(kept: FakeCloud) -> None:
    steps = {step["id"]: step for step in build("cloudbuild.yaml")["steps"]}
    assert {"train", "validate", "predict"} <= set(steps["bundles"]["args"])
    values = {"PROJECT_ID": "my-project", "_REGION": "europe-west1", "_NAME": "tabular", "COMMIT_SHA": "a" * 40}
    values["_REPOSITORY"] = "europe-west1-docker.pkg.dev/my-project/tabular"
    arguments = [re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text) for text in steps["image"]["args"][2:]]
    assert builds.main(arguments) == 0
    assert "/build/predict.zip " in kept.calls[0]
    assert f"--substitutions=_IMAGE={values['_REPOSITORY']}/predict:{'a' * 40}" in kept.calls[0]
    with zipfile.ZipFile(bundle_of_predict(kept.folder)) as bundle:
        assert "Dockerfile" in bundle.namelist()


def bundle_of_predict(folder: Path) -> Path:
    """The bundle of predict, made in `folder`."""
    command = [sys.executable, "-m", "infra.delivery.bundles", "predict", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "predict.zip"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """A state's bucket, `gs://state`, in which nothing is stored yet."""
    fake = FakeCloud(tmp_path / "cloud")
    fake.change(buckets={"gs://state": []})
    for name, value in fake.environment().items():
        monkeypatch.setenv(name, value)
    return fake


def nobody(question: str) -> str:
    pytest.fail(f"nothing was to be asked: {question}")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root in a folder of the test's own."""
    return Root(tmp_path, "terraform", "terraform.tfvars", knows_commit=False)


def test_the_variables_of_a_deployment_come_back_and_an_old_file_does_not_stay(root: Root, kept: FakeCloud) -> None:
    file = root.settings
    variables.keep("state", root, variables.NOTHING)
    assert kept.state["buckets"]["gs://state"] == []
    file.write_text("public = true\n")
    assert variables.fetch("state", root) is False
    assert not file.exists()
    file.write_text("public = true\n")
    variables.keep("state", root, variables.NOTHING)
    file.unlink()
    assert variables.fetch("state", root) is True
    assert file.read_text() == "public = true\n"


def test_a_fresh_clone_gets_the_settings_that_the_deployment_was_made_with(root: Root, kept: FakeCloud) -> None:
    """Defaults in their place once took triggers, promoters, callers and the budget away."""
    file = root.settings
    assert variables.settle("state", root, nobody) == variables.NOTHING
    assert not file.exists()
    file.write_text("public = true\n")
    variables.keep("state", root, variables.settle("state", root, nobody))
    file.unlink()
    assert variables.settle("state", root, nobody).text == "public = true\n"
    assert file.read_text() == "public = true\n"
    assert variables.settle("state", root, nobody).text == "public = true\n"  # alike: nothing to ask


@pytest.mark.parametrize(
    ("answer", "holds"), [("s", "public = true\n"), ("h", "public = false\n"), ("", None), ("y", None)]
)
def test_settings_that_differ_are_shown_and_asked_about(
    root: Root, kept: FakeCloud, capfd: pytest.CaptureFixture[str], answer: str, holds: str | None
) -> None:
    file = root.settings
    file.write_text("public = true\n")
    variables.keep("state", root, variables.NOTHING)
    file.write_text("public = false\n")
    if holds is None:
        with pytest.raises(Stopped, match="differs from the one that the deployment was made with"):
            variables.settle("state", root, lambda _: answer)
        assert file.read_text() == "public = false\n"
    else:
        before = variables.settle("state", root, lambda _: answer)
        assert file.read_text() == holds
        variables.keep("state", root, before)
        assert kept.state["contents"]["gs://state/terraform.tfvars"] == holds.strip()
    assert "-public = true\n+public = false" in capfd.readouterr().out


def test_what_the_owner_set_and_what_the_delivery_applies_are_kept_apart() -> None:
    """The delivery's account may read its own settings and state, and may not even read the owner's."""
    assert [root.key for root in ROOTS] == ["owner.tfvars", "terraform.tfvars"]
    assert len({root.prefix for root in ROOTS} | {root.settings for root in ROOTS}) == 4
