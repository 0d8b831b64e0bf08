"""The outbox: which events each change leaves, as another process reads them while the server runs."""

import re
from typing import Any

import pytest
from google.api_core import exceptions

from tests.contract.objects import ONCE, crc32c, md5, write
from tests.local_storage import LocalStorage

PREFIX = "google.cloud.storage.object.v1."


def changes(storage: LocalStorage, bucket: Any) -> list[tuple[str, str, int]]:
    return [(row["type"].removeprefix(PREFIX), row["name"], row["generation"]) for row in storage.outbox(bucket.name)]


def test_a_new_object_is_finalized_with_its_whole_resource(storage: LocalStorage, bucket: Any) -> None:
    blob = bucket.blob("a/ü.txt")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"hello", content_type="text/plain", **ONCE)
    (event,) = storage.outbox(bucket.name)
    assert event["type"] == "google.cloud.storage.object.v1.finalized"
    assert (event["bucket"], event["name"], event["generation"]) == (bucket.name, "a/ü.txt", blob.generation)
    assert re.fullmatch(r"\d{10,20}", event["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["time"])
    generation, created = str(blob.generation), event["data"]["timeCreated"]
    path = f"storage/v1/b/{bucket.name}/o/a%2F%C3%BC.txt"
    assert event["data"] == {
        "kind": "storage#object",
        "id": f"{bucket.name}/a/ü.txt/{generation}",
        "selfLink": f"https://www.googleapis.com/{path}",
        "mediaLink": f"https://storage.googleapis.com/download/{path}?generation={generation}&alt=media",
        "name": "a/ü.txt",
        "bucket": bucket.name,
        "generation": generation,
        "metageneration": "1",
        "contentType": "text/plain",
        "size": "5",
        "md5Hash": md5(b"hello"),
        "crc32c": crc32c(b"hello"),
        "etag": blob.etag,
        "storageClass": "STANDARD",
        "metadata": {"k": "v"},
        "timeCreated": created,
        "updated": created,
        "timeFinalized": created,
        "timeStorageClassUpdated": created,
    }


def test_an_overwrite_deletes_the_old_generation_and_finalizes_the_new(storage: LocalStorage, bucket: Any) -> None:
    first, second = (write(bucket, "o", data).generation for data in (b"1", b"2"))
    assert changes(storage, bucket) == [("finalized", "o", first), ("deleted", "o", first), ("finalized", "o", second)]


def test_an_overwrite_in_a_versioned_bucket_archives_the_old_generation(storage: LocalStorage, versioned: Any) -> None:
    first, second = (write(versioned, "o", data).generation for data in (b"1", b"2"))
    expected = [("finalized", "o", first), ("archived", "o", first), ("finalized", "o", second)]
    assert changes(storage, versioned) == expected
    assert "timeDeleted" in storage.outbox(versioned.name)[1]["data"]


def test_a_delete_archives_what_is_live_and_deletes_a_named_generation(storage: LocalStorage, versioned: Any) -> None:
    generation = write(versioned, "o").generation
    versioned.blob("o").delete(**ONCE)
    versioned.blob("o", generation=generation).delete(**ONCE)
    assert changes(storage, versioned)[1:] == [("archived", "o", generation), ("deleted", "o", generation)]


def test_a_delete_without_versioning_is_deleted(storage: LocalStorage, bucket: Any) -> None:
    blob = write(bucket, "o")
    blob.delete(**ONCE)
    assert changes(storage, bucket)[1:] == [("deleted", "o", blob.generation)]


def test_a_patch_is_a_metadata_update_of_the_same_generation(storage: LocalStorage, bucket: Any) -> None:
    blob = write(bucket, "o")
    blob.metadata = {"k": "v"}
    blob.patch(**ONCE)
    event = storage.outbox(bucket.name)[-1]
    assert (event["type"], event["generation"]) == (f"{PREFIX}metadataUpdated", blob.generation)
    assert (event["data"]["metageneration"], event["data"]["metadata"]) == ("2", {"k": "v"})


def test_a_composition_and_a_copy_finalize_their_targets(storage: LocalStorage, bucket: Any) -> None:
    part = write(bucket, "part")
    whole = bucket.blob("whole")
    whole.compose([part, part], **ONCE)
    copy = bucket.copy_blob(part, bucket, "copy", **ONCE)
    assert changes(storage, bucket)[1:] == [
        ("finalized", "whole", whole.generation),
        ("finalized", "copy", copy.generation),
    ]
    composed, copied = (event["data"] for event in storage.outbox(bucket.name)[1:])
    assert composed["componentCount"] == 2
    assert "md5Hash" not in composed
    assert copied["md5Hash"] == md5(b"1")


def test_a_refused_write_leaves_no_event(storage: LocalStorage, bucket: Any) -> None:
    write(bucket, "o")
    with pytest.raises(exceptions.PreconditionFailed):
        write(bucket, "o", b"2", if_generation_match=0)
    assert len(storage.outbox(bucket.name)) == 1


def test_event_ids_and_sequence_numbers_are_unique_and_grow(storage: LocalStorage, bucket: Any) -> None:
    for _ in range(20):
        write(bucket, "o")
    rows = storage.outbox(bucket.name)
    for field in ("seq", "id"):
        values = [int(row[field]) for row in rows]
        assert values == sorted(set(values))
