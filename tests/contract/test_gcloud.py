"""The real `gcloud storage` against the HTTP door."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import command_line
from tests.contract.command_line import Tool
from tests.contract.objects import names, read, write
from tests.local_storage import LocalStorage

BINARY = bytes(range(256)) * 50_000


@pytest.fixture
def gcloud(storage: LocalStorage, tmp_path: Path) -> Tool:
    return command_line.gcloud(storage, tmp_path)


def test_gcloud_copies_up_and_down(gcloud: Tool, bucket: Any) -> None:
    gcloud.run("cp", gcloud.write("up.txt", b"hello\n"), f"gs://{bucket.name}/a/up.txt")
    assert read(bucket, "a/up.txt") == b"hello\n"
    gcloud.run("cp", f"gs://{bucket.name}/a/up.txt", "down.txt")
    assert gcloud.read("down.txt") == b"hello\n"


def test_gcloud_copies_large_files_up_and_down(gcloud: Tool, bucket: Any) -> None:
    gcloud.run("cp", gcloud.write("big.bin", BINARY), f"gs://{bucket.name}/big.bin")
    assert read(bucket, "big.bin") == BINARY
    gcloud.run("cp", f"gs://{bucket.name}/big.bin", "back.bin")
    assert gcloud.read("back.bin") == BINARY


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


def test_gcloud_lists_names_and_folders(gcloud: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    root = f"gs://{bucket.name}"
    assert gcloud.run("ls", root).split() == [f"{root}/b", f"{root}/a/"]
    assert gcloud.run("ls", f"{root}/a/*").split() == [f"{root}/a/1", f"{root}/a/2"]


def test_gcloud_prints_an_object(gcloud: Tool, bucket: Any) -> None:
    write(bucket, "o", b"hello")
    assert gcloud.run("cat", f"gs://{bucket.name}/o") == "hello"


def test_gcloud_removes_objects(gcloud: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    gcloud.run("rm", f"gs://{bucket.name}/b")
    gcloud.run("rm", "-r", f"gs://{bucket.name}/a")
    assert names(bucket) == []
