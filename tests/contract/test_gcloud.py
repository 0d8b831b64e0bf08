"""The real `gcloud storage` against the HTTP door."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import command_line
from tests.contract.command_line import Tool
from tests.contract.objects import read, write
from tests.local_storage import LocalStorage


@pytest.fixture
def gcloud(storage: LocalStorage, tmp_path: Path) -> Tool:
    return command_line.gcloud(storage, tmp_path)


def test_gcloud_copies_inside_the_bucket(gcloud: Tool, bucket: Any) -> None:
    write(bucket, "staging/current.json", b"{}")
    gcloud.run("cp", f"gs://{bucket.name}/staging/current.json", f"gs://{bucket.name}/promote/production.json")
    assert read(bucket, "promote/production.json") == b"{}"


def test_gcloud_writes_on_condition_of_a_generation(gcloud: Tool, bucket: Any) -> None:
    source, target = gcloud.write("o", b"1"), f"gs://{bucket.name}/o"
    gcloud.run("cp", "--if-generation-match=0", source, target)
    gcloud.write("o", b"2")
    with pytest.raises(AssertionError, match=r"412|pre-condition"):
        gcloud.run("cp", "--if-generation-match=0", source, target)
    assert read(bucket, "o") == b"1"


def test_gcloud_prints_an_object(gcloud: Tool, bucket: Any) -> None:
    write(bucket, "o", b"hello")
    assert gcloud.run("cat", f"gs://{bucket.name}/o") == "hello"
