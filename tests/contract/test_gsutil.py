"""The real gsutil against the HTTPS door: how people promote a model and look around."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import command_line
from tests.contract.command_line import Tool
from tests.contract.objects import ONCE, names, read, write
from tests.local_storage import LocalStorage

BINARY = bytes(range(256)) * 50_000
"""12.8 MB: gsutil uploads it resumably and downloads it in slices that it may resume."""


@pytest.fixture
def gsutil(storage: LocalStorage, tmp_path: Path) -> Tool:
    return command_line.gsutil(storage, tmp_path)


def test_gsutil_copies_up_and_down(gsutil: Tool, bucket: Any) -> None:
    gsutil.run("cp", gsutil.write("up.txt", b"hello\r\n"), f"gs://{bucket.name}/a/up.txt")
    assert read(bucket, "a/up.txt") == b"hello\r\n"
    assert bucket.get_blob("a/up.txt", **ONCE).content_type == "text/plain"
    gsutil.run("cp", f"gs://{bucket.name}/a/up.txt", "down.txt")
    assert gsutil.read("down.txt") == b"hello\r\n"


def test_gsutil_copies_large_files_up_and_down(gsutil: Tool, bucket: Any) -> None:
    gsutil.run("cp", gsutil.write("big.bin", BINARY), f"gs://{bucket.name}/big.bin")
    assert read(bucket, "big.bin") == BINARY
    gsutil.run("cp", f"gs://{bucket.name}/big.bin", "back.bin")
    assert gsutil.read("back.bin") == BINARY


def test_gsutil_copies_inside_the_bucket_as_a_promotion_does(gsutil: Tool, bucket: Any, storage: LocalStorage) -> None:
    pointer = b'{"run_id": "20260101T000000Z-00000000"}'
    write(bucket, "staging/current.json", pointer, content_type="application/json")
    gsutil.run("cp", f"gs://{bucket.name}/staging/current.json", f"gs://{bucket.name}/promote/production.json")
    assert read(bucket, "promote/production.json") == pointer
    event = storage.outbox(bucket.name)[-1]
    assert (event["type"], event["name"]) == (
        "google.cloud.storage.object.v1.finalized",
        "promote/production.json",
    )
    assert event["data"]["contentType"] == "application/json"


def test_gsutil_does_not_overwrite_when_told_so(gsutil: Tool, bucket: Any) -> None:
    write(bucket, "o", b"first")
    gsutil.run("cp", "-n", gsutil.write("o", b"second"), f"gs://{bucket.name}/o")
    assert read(bucket, "o") == b"first"
    gsutil.run("cp", "-n", "o", f"gs://{bucket.name}/new")
    assert read(bucket, "new") == b"second"


def test_gsutil_lists_names_and_folders(gsutil: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    root = f"gs://{bucket.name}"
    assert gsutil.run("ls", root).split() == [f"{root}/b", f"{root}/a/"]
    assert gsutil.run("ls", f"{root}/a/*").split() == [f"{root}/a/1", f"{root}/a/2"]
    assert "Hash (md5):" in gsutil.run("ls", "-L", f"{root}/b")


def test_gsutil_prints_an_object(gsutil: Tool, bucket: Any) -> None:
    write(bucket, "o", b"hello")
    assert gsutil.run("cat", f"gs://{bucket.name}/o") == "hello"
    assert gsutil.run("cat", "-r", "1-3", f"gs://{bucket.name}/o") == "ell"


def test_gsutil_removes_objects(gsutil: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    gsutil.run("rm", f"gs://{bucket.name}/b")
    gsutil.run("rm", "-r", f"gs://{bucket.name}/a")
    assert names(bucket) == []


def test_gsutil_copies_a_folder_on_condition_of_a_generation(gsutil: Tool, bucket: Any) -> None:
    (gsutil.folder / "folder").mkdir()
    gsutil.write("folder/one", b"1")
    gsutil.write("folder/two", b"2")
    gsutil.run("-h", "x-goog-if-generation-match:0", "cp", "-r", "folder", f"gs://{bucket.name}/")
    assert names(bucket) == ["folder/one", "folder/two"]
    with pytest.raises(AssertionError, match="412"):
        gsutil.run("-h", "x-goog-if-generation-match:0", "cp", "folder/two", f"gs://{bucket.name}/folder/one")
    assert read(bucket, "folder/one") == b"1"
