"""Preconditions on every kind of call, through the real client library. The promotion's safety rests on them."""

from io import BytesIO
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from tests.contract.objects import ONCE, md5, read, write
from tests.local_storage import LocalStorage


def test_a_patch_with_a_stale_metageneration_fails(bucket: Any) -> None:
    blob = write(bucket, "a")
    blob.metadata = {"q": "2"}
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=blob.metageneration + 7, **ONCE)
    assert bucket.get_blob("a", **ONCE).metadata is None


def test_create_only_succeeds_once(bucket: Any) -> None:
    write(bucket, "p", b"1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        write(bucket, "p", b"2", if_generation_match=0)
    assert read(bucket, "p") == b"1"


def test_a_write_succeeds_at_the_current_generation_only(bucket: Any) -> None:
    old = write(bucket, "p", b"1").generation
    write(bucket, "p", b"2", if_generation_match=old)
    with pytest.raises(exceptions.PreconditionFailed):
        write(bucket, "p", b"3", if_generation_match=old)
    assert read(bucket, "p") == b"2"


def test_create_only_succeeds_after_a_delete(bucket: Any) -> None:
    write(bucket, "p", b"1").delete(**ONCE)
    write(bucket, "p", b"2", if_generation_match=0)
    assert read(bucket, "p") == b"2"


def test_a_delete_at_a_stale_generation_fails(bucket: Any) -> None:
    old = write(bucket, "p", b"1").generation
    current = write(bucket, "p", b"2").generation
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("p").delete(if_generation_match=old, **ONCE)
    assert bucket.blob("p").exists(**ONCE)
    bucket.blob("p").delete(if_generation_match=current, **ONCE)


def test_a_create_only_copy_succeeds_once(bucket: Any) -> None:
    source = write(bucket, "s")
    bucket.copy_blob(source, bucket, "t", if_generation_match=0, **ONCE)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(source, bucket, "t", if_generation_match=0, **ONCE)


def test_a_create_only_rewrite_succeeds_once(bucket: Any) -> None:
    source = write(bucket, "s")
    bucket.blob("t").rewrite(source, if_generation_match=0, **ONCE)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("t").rewrite(source, if_generation_match=0, **ONCE)


def test_a_copy_of_a_stale_source_generation_fails(bucket: Any) -> None:
    source = write(bucket, "s")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(source, bucket, "t", if_source_generation_match=int(source.generation) - 5, **ONCE)
    assert not bucket.blob("t").exists(**ONCE)


def test_a_create_only_composition_of_an_existing_name_fails(bucket: Any) -> None:
    part = write(bucket, "part")
    write(bucket, "all")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("all").compose([part], if_generation_match=0, **ONCE)


def test_reading_a_resource_that_did_not_change_is_not_modified(bucket: Any, storage: LocalStorage) -> None:
    blob = write(bucket, "g")
    address = f"{storage.http_url}/storage/v1/b/{bucket.name}/o/g"
    answer = requests.get(address, params={"ifGenerationNotMatch": blob.generation}, timeout=30)
    assert (answer.status_code, answer.content) == (304, b"")
    with pytest.raises(exceptions.NotModified):
        bucket.blob("g").reload(if_generation_not_match=blob.generation, **ONCE)


def test_downloading_what_did_not_change_is_not_modified(bucket: Any) -> None:
    blob = write(bucket, "g", b"2")
    with pytest.raises(exceptions.NotModified):
        read(bucket, "g", if_generation_not_match=blob.generation)
    assert read(bucket, "g", if_generation_not_match=int(blob.generation) - 1) == b"2"


def test_a_download_at_a_stale_generation_fails(bucket: Any) -> None:
    blob = write(bucket, "g")
    with pytest.raises(exceptions.PreconditionFailed):
        read(bucket, "g", if_generation_match=int(blob.generation) - 1)


def test_a_create_only_resumable_upload_of_an_existing_name_fails(bucket: Any) -> None:
    write(bucket, "big", b"small")
    data = b"z" * (9 * 2**20)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("big").upload_from_file(BytesIO(data), if_generation_match=0, **ONCE)
    assert bucket.get_blob("big", **ONCE).md5_hash == md5(b"small")
