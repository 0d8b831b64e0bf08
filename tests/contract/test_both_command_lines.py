"""What gsutil, over HTTPS, and `gcloud storage`, over HTTP, both do with the local storage."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import command_line
from tests.contract.command_line import Tool
from tests.contract.objects import ONCE, names, read, write
from tests.local_storage import LocalStorage

BINARY = bytes(range(256)) * 50_000
"""12.8 MB: gsutil uploads it resumably and downloads it in slices that it may resume."""


@pytest.fixture(params=["gsutil", "gcloud"])
def tool(request: pytest.FixtureRequest, storage: LocalStorage, tmp_path: Path) -> Tool:
    make = {"gsutil": command_line.gsutil, "gcloud": command_line.gcloud}[request.param]
    return make(storage, tmp_path)


def test_it_copies_up_and_down(tool: Tool, bucket: Any) -> None:
    tool.run("cp", tool.write("up.txt", b"hello\n"), f"gs://{bucket.name}/a/up.txt")
    assert read(bucket, "a/up.txt") == b"hello\n"
    tool.run("cp", f"gs://{bucket.name}/a/up.txt", "down.txt")
    assert tool.read("down.txt") == b"hello\n"


def test_it_copies_large_files_up_and_down(tool: Tool, bucket: Any) -> None:
    tool.run("cp", tool.write("big.bin", BINARY), f"gs://{bucket.name}/big.bin")
    assert read(bucket, "big.bin") == BINARY
    tool.run("cp", f"gs://{bucket.name}/big.bin", "back.bin")
    assert tool.read("back.bin") == BINARY


def test_it_lists_names_and_folders(tool: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    root = f"gs://{bucket.name}"
    assert tool.run("ls", root).split() == [f"{root}/b", f"{root}/a/"]
    assert tool.run("ls", f"{root}/a/*").split() == [f"{root}/a/1", f"{root}/a/2"]


def test_it_removes_objects(tool: Tool, bucket: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        write(bucket, name)
    tool.run("rm", f"gs://{bucket.name}/b")
    tool.run("rm", "-r", f"gs://{bucket.name}/a")
    assert names(bucket) == []


def test_a_copy_carries_the_words_that_stand_beside_it(tool: Tool, bucket: Any) -> None:
    """As the markers of promotions and challenges do: who asks, why, and on which terms."""
    write(bucket, "staging/current.json")
    source, marker = (
        f"gs://{bucket.name}/staging/current.json",
        f"gs://{bucket.name}/promote/production.challenger.json",
    )
    said = {"mode": "canary", "percent": "10", "why": "newer data"}
    if "gsutil" in tool.command[0]:
        headers = [part for name, word in said.items() for part in ("-h", f"x-goog-meta-{name}:{word}")]
        tool.run(*headers, "cp", source, marker)
    else:
        words = ",".join(f"{name}={word}" for name, word in said.items())
        tool.run("cp", f"--custom-metadata={words}", source, marker)
    copied = bucket.get_blob("promote/production.challenger.json", **ONCE)
    assert copied.metadata == said
    assert bucket.get_blob("staging/current.json", **ONCE).metadata is None
