"""Listing, through the real client library."""

from typing import Any

import pytest

from tests.contract.objects import ONCE, names, write


@pytest.fixture
def tree(bucket: Any) -> Any:
    for name in ("L/x/1", "L/x/2", "L/y/1", "L/top"):
        write(bucket, name)
    return bucket


def test_a_prefix_and_a_delimiter_show_a_folder(tree: Any) -> None:
    found = tree.list_blobs(prefix="L/", delimiter="/", **ONCE)
    assert [blob.name for blob in found] == ["L/top"]
    assert found.prefixes == {"L/x/", "L/y/"}
    assert names(tree, prefix="L/") == ["L/top", "L/x/1", "L/x/2", "L/y/1"]


def test_pages_have_the_size_that_was_asked_for(tree: Any) -> None:
    pages = [[blob.name for blob in page] for page in tree.list_blobs(prefix="L/", page_size=2, **ONCE).pages]
    assert pages == [["L/top", "L/x/1"], ["L/x/2", "L/y/1"]]


def test_offsets_and_globs_select_names(tree: Any) -> None:
    assert names(tree, start_offset="L/x/2", end_offset="L/z") == ["L/x/2", "L/y/1"]
    assert names(tree, match_glob="L/*/1") == ["L/x/1", "L/y/1"]
