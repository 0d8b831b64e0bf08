"""Copy, rewrite, compose and batches, through the real client library."""

from typing import Any

from tests.contract.objects import ONCE, names, read, write


def test_a_copy_has_the_bytes_and_a_generation_of_its_own(bucket: Any) -> None:
    source = write(bucket, "one", b"hello")
    copy = bucket.copy_blob(source, bucket, "two", **ONCE)
    assert int(copy.generation) > int(source.generation)
    assert read(bucket, "two") == b"hello"


def test_a_rewrite_is_done_at_once_and_keeps_the_metadata(bucket: Any) -> None:
    source = bucket.blob("one")
    source.metadata = {"k": "v"}
    source.upload_from_string(b"x", **ONCE)
    token, done, total = bucket.blob("two").rewrite(source, **ONCE)
    assert (token, done, total) == (None, 1, 1)
    assert bucket.get_blob("two", **ONCE).metadata == {"k": "v"}


def test_a_composite_has_the_parts_in_order_and_no_md5(bucket: Any) -> None:
    parts = [write(bucket, f"part-{number}", b"p%d" % number) for number in range(3)]
    whole = bucket.blob("all")
    whole.content_type = "text/plain"
    whole.compose(parts, **ONCE)
    assert read(bucket, "all", checksum="crc32c") == b"p0p1p2"
    whole.reload(**ONCE)
    assert (whole.component_count, whole.md5_hash, whole.content_type) == (3, None, "text/plain")


def test_a_batch_deletes_all_its_objects(client: Any, bucket: Any) -> None:
    for number in range(3):
        write(bucket, f"b/{number}")
    with client.batch():
        for number in range(3):
            bucket.blob(f"b/{number}").delete()
    assert names(bucket, prefix="b/") == []
