"""What the delivery asks of storage, asked by the real gcloud, whose words decide what is absent and what failed."""

from pathlib import Path
from typing import Any

import pytest

from infra.delivery import variables
from infra.delivery.commands import find
from infra.delivery.errors import Stopped
from infra.delivery.terraform import Root
from tests.contract import command_line
from tests.local_storage import LocalStorage


@pytest.fixture(autouse=True)
def environment(storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_line.gcloud(storage, tmp_path).environment.items():
        monkeypatch.setenv(name, value)


def generation(address: str) -> str | None:
    return find("gcloud", "storage", "objects", "describe", address, "--format=value(generation)")


def test_what_does_not_exist_is_absent(bucket: Any) -> None:
    assert generation(f"gs://{bucket.name}/data/dataset.toml") is None
    assert find("gcloud", "storage", "buckets", "describe", "gs://no-such-bucket-here") is None
    bucket.blob("data/dataset.toml").upload_from_string(b"x")
    assert generation(f"gs://{bucket.name}/data/dataset.toml")


def test_a_storage_that_does_not_answer_is_a_failure(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", "http://127.0.0.1:9/storage/v1/")
    with pytest.raises(Stopped, match="objects describe"):
        generation(f"gs://{bucket.name}/data/dataset.toml")


def test_whoever_is_not_signed_in_is_told_the_command_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nobody"))
    monkeypatch.setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
    monkeypatch.delenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", raising=False)
    image = "europe-west1-docker.pkg.dev/my-project/tabular/predict:tested"
    with pytest.raises(Stopped) as stopped:
        find("gcloud", "artifacts", "docker", "images", "describe", image)
    assert str(stopped.value) == "nobody is signed in to gcloud, or the login has lapsed: gcloud auth login"


def test_the_settings_of_a_deployment_go_there_and_come_back(bucket: Any, tmp_path: Path) -> None:
    root = Root(tmp_path, "terraform", "terraform.tfvars", knows_commit=False)
    file = root.settings
    file.write_text("public = true\n")
    before = variables.settle(bucket.name, root, pytest.fail)
    variables.keep(bucket.name, root, before)
    file.unlink()
    assert variables.settle(bucket.name, root, pytest.fail).text == "public = true\n"
    assert file.read_text() == "public = true\n"
    file.write_text("public = false\n")
    with pytest.raises(Stopped, match="cp"):
        variables.keep(bucket.name, root, before)  # somebody stored another one since
    assert variables.stored(bucket.name, root).text == "public = true\n"
