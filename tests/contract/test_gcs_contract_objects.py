"""Objects, their metadata, names, generations and checksums, through the real client library."""

import gzip
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from tests.contract.objects import ONCE, crc32c, md5, names, read, write
from tests.local_storage import LocalStorage

AWKWARD_NAMES = (
    "sp ace/ü ñ.txt",
    "a+b&c=d?e#f.txt",
    "100%.txt",
    "x%2Fy.txt",
    "日本/語.csv",
    "semi;colon:at@.txt",
    "q'uo\"te.txt",
    "dt=2026-01-01/h=10/part-0.parquet",
    "tr ailing /x",
    "[br]{ac}*.txt",
)


def test_uploaded_bytes_come_back_with_all_their_fields(bucket: Any) -> None:
    blob = write(bucket, "a/one.txt", b"hello", content_type="text/plain")
    assert read(bucket, "a/one.txt") == b"hello"
    assert (blob.md5_hash, blob.crc32c) == (md5(b"hello"), crc32c(b"hello"))
    assert (blob.content_type, blob.size) == ("text/plain", 5)
    assert blob.etag
    assert blob.time_created
    assert blob.updated


def test_custom_metadata_is_kept_at_upload(bucket: Any) -> None:
    blob = bucket.blob("meta.txt")
    blob.metadata = {"k": "v", "Ü": "ü"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"x", **ONCE)
    found = bucket.get_blob("meta.txt", **ONCE)
    assert (found.metadata, found.cache_control) == ({"k": "v", "Ü": "ü"}, "no-store")


def test_a_missing_object_is_not_found_by_any_call(bucket: Any) -> None:
    assert bucket.get_blob("nope", **ONCE) is None
    for call in ("reload", "download_as_bytes", "delete"):
        with pytest.raises(exceptions.NotFound):
            getattr(bucket.blob("nope"), call)(**ONCE)


def test_an_upload_to_a_missing_bucket_is_not_found(client: Any) -> None:
    with pytest.raises(exceptions.NotFound):
        write(client.bucket("no-such-bucket-xyz"), "x")


def test_a_deleted_object_is_gone(bucket: Any) -> None:
    write(bucket, "d").delete(**ONCE)
    assert not bucket.blob("d").exists(**ONCE)


def test_a_metadata_patch_keeps_the_generation_and_raises_the_metageneration(bucket: Any) -> None:
    blob = write(bucket, "a")
    blob.metadata = {"q": "1"}
    blob.patch(**ONCE)
    found = bucket.get_blob("a", **ONCE)
    assert found.metadata == {"q": "1"}
    assert (found.generation, found.metageneration) == (blob.generation, 2)


def test_an_overwrite_raises_the_generation_and_resets_the_metageneration(bucket: Any) -> None:
    first = write(bucket, "g", b"1")
    first.patch(**ONCE)
    second = write(bucket, "g", b"2")
    assert int(second.generation) > int(first.generation) > 1
    assert bucket.get_blob("g", **ONCE).metageneration == 1


def test_an_overwritten_generation_is_gone_without_versioning(bucket: Any) -> None:
    old = write(bucket, "p", b"1").generation
    write(bucket, "p", b"2")
    with pytest.raises(exceptions.NotFound):
        bucket.blob("p", generation=old).download_as_bytes(**ONCE)


def test_a_versioned_bucket_keeps_what_was_overwritten_and_deleted(client: Any, versioned: Any) -> None:
    assert client.get_bucket(versioned.name, **ONCE).versioning_enabled
    first, second = (write(versioned, "o", data).generation for data in (b"1", b"22"))
    assert versioned.blob("o", generation=first).download_as_bytes(**ONCE) == b"1"
    assert [blob.generation for blob in versioned.list_blobs(versions=True, **ONCE)] == [first, second]
    versioned.blob("o").delete(**ONCE)
    assert not versioned.blob("o").exists(**ONCE)
    assert versioned.blob("o", generation=second).download_as_bytes(**ONCE) == b"22"


def test_downloads_are_verified_with_every_checksum(bucket: Any, storage: LocalStorage) -> None:
    write(bucket, "a/b", b"hello")
    for checksum in ("md5", "crc32c", "auto"):
        assert read(bucket, "a/b", checksum=checksum) == b"hello"
    address = f"{storage.http_url}/download/storage/v1/b/{bucket.name}/o/a%2Fb"
    answer = requests.get(address, params={"alt": "media"}, timeout=30)
    assert answer.headers["x-goog-hash"] == f"crc32c={crc32c(b'hello')},md5={md5(b'hello')}"


def test_an_upload_with_a_wrong_md5_is_refused(bucket: Any) -> None:
    blob = bucket.blob("bad")
    blob.md5_hash = md5(b"other")
    with pytest.raises(exceptions.BadRequest):
        blob.upload_from_string(b"zzz", **ONCE)
    assert not bucket.blob("bad").exists(**ONCE)


def test_gzip_content_is_unzipped_unless_the_client_wants_it_raw(bucket: Any) -> None:
    zipped = gzip.compress(b"hello gz")
    blob = bucket.blob("z.gz")
    blob.content_encoding = "gzip"
    blob.upload_from_string(zipped, content_type="text/plain", **ONCE)
    assert read(bucket, "z.gz") == b"hello gz"
    assert read(bucket, "z.gz", raw_download=True) == zipped


def test_an_empty_object_is_an_object(bucket: Any) -> None:
    write(bucket, "empty", b"")
    assert read(bucket, "empty") == b""
    assert bucket.get_blob("empty", **ONCE).size == 0


def test_awkward_names_work_in_every_call(bucket: Any) -> None:
    for name in AWKWARD_NAMES:
        write(bucket, name, name.encode())
        assert read(bucket, name) == name.encode()
        assert bucket.get_blob(name, **ONCE).name == name
        assert name in names(bucket, prefix=name)
        bucket.blob(name).delete(**ONCE)
        assert not bucket.blob(name).exists(**ONCE)


def test_a_name_may_be_the_folder_of_another(bucket: Any) -> None:
    write(bucket, "k", b"1")
    write(bucket, "k/x", b"2")
    assert (read(bucket, "k"), read(bucket, "k/x")) == (b"1", b"2")


def test_a_name_may_have_1024_bytes_and_no_more(bucket: Any) -> None:
    write(bucket, "n" * 1024)
    assert bucket.blob("n" * 1024).exists(**ONCE)
    with pytest.raises(exceptions.BadRequest):
        write(bucket, "n" * 1025)
