"""Buckets, through the real client library."""

from typing import Any

import pytest
from google.api_core import exceptions

from tests.contract.conftest import bucket_name
from tests.contract.objects import ONCE


def test_a_bucket_can_be_created_in_a_location(client: Any) -> None:
    created = client.create_bucket(bucket_name(), location="EU", **ONCE)
    assert (created.location, created.metageneration) == ("EU", 1)


def test_creating_a_bucket_again_is_a_conflict(client: Any, bucket: Any) -> None:
    with pytest.raises(exceptions.Conflict):
        client.create_bucket(bucket.name, **ONCE)


def test_a_bucket_is_found_and_a_missing_one_is_not(client: Any, bucket: Any) -> None:
    assert client.lookup_bucket(bucket.name, **ONCE) is not None
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("no-such-bucket-xyz", **ONCE)


def test_lifecycle_rules_and_labels_of_a_bucket_are_kept(client: Any, bucket: Any) -> None:
    bucket.add_lifecycle_delete_rule(age=7)
    bucket.labels = {"env": "test"}
    bucket.patch(**ONCE)
    found = client.get_bucket(bucket.name, **ONCE)
    assert [rule["condition"]["age"] for rule in found.lifecycle_rules] == [7]
    assert found.labels == {"env": "test"}


def test_a_notification_can_be_created_and_listed(bucket: Any) -> None:
    wanted = bucket.notification(
        topic_name="changes", topic_project="local-project", event_types=["OBJECT_FINALIZE"], payload_format="NONE"
    )
    wanted.create(**ONCE)
    (found,) = bucket.list_notifications(**ONCE)
    assert (found.topic_name, found.event_types) == ("changes", ["OBJECT_FINALIZE"])
