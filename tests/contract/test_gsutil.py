"""The real gsutil against the HTTPS door: how people promote a model and look around."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import command_line
from tests.contract.command_line import Tool
from tests.contract.objects import ONCE, names, read, write
from tests.local_storage import LocalStorage


@pytest.fixture
def gsutil(storage: LocalStorage, tmp_path: Path) -> Tool:
    return command_line.gsutil(storage, tmp_path)


def test_gsutil_copies_up_and_down(gsutil: Tool, bucket: Any) -> None:
    gsutil.run("cp", gsutil.write("up.txt", b"hello\r\n"), f"gs://{bucket.name}/a/up.txt")
    assert read(bucket, "a/up.txt") == b"hello\r\n"
    assert bucket.get_blob("a/up.txt", **ONCE).content_type == "text/plain"
    gsutil.run("cp", f"gs://{bucket.name}/a/up.txt", "down.txt")
    assert gsutil.read("down.txt") == b"hello\r\n"


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


def test_gsutil_shows_the_digest_of_an_object(gsutil: Tool, bucket: Any) -> None:
    write(bucket, "b")
    assert "Hash (md5):" in gsutil.run("ls", "-L", f"gs://{bucket.name}/b")


def test_gsutil_prints_an_object(gsutil: Tool, bucket: Any) -> None:
    write(bucket, "o", b"hello")
    assert gsutil.run("cat", f"gs://{bucket.name}/o") == "hello"
    assert gsutil.run("cat", "-r", "1-3", f"gs://{bucket.name}/o") == "ell"


def test_gsutil_copies_a_folder_on_condition_of_a_generation(gsutil: Tool, bucket: Any) -> None:
    (gsutil.folder / "folder").mkdir()
    gsutil.write("folder/one", b"1")
    gsutil.write("folder/two", b"2")
    gsutil.run("-h", "x-goog-if-generation-match:0", "cp", "-r", "folder", f"gs://{bucket.name}/")
    assert names(bucket) == ["folder/one", "folder/two"]
    with pytest.raises(AssertionError, match="412"):
        gsutil.run("-h", "x-goog-if-generation-match:0", "cp", "folder/two", f"gs://{bucket.name}/folder/one")
    assert read(bucket, "folder/one") == b"1"
